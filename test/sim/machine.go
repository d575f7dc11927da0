package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// machine is where a node runs: what outlives its process.
type machine struct {
	w         *world
	index     int
	seed      uint64
	name      string
	authority string
	durable   bool
	share     int // of a batch, what peers sent: little, so that much is applied in parts
	disk      *disk
	clock     clock
	keys      int // made so far
	lives     int
	proc      *process       // nil while none runs
	left      bool           // the last one left in order
	called    bool           // the operator is on the way to restart it
	shown     chain.Frontier // what its processes were seen to apply, and have
}

// authorities is how many there are: the nodes share them.
const authorities = 3

// share is what a batch applies of peers' updates on a machine.
func (w *world) share() int {
	return []int{1, 4 << 10, 1 << 20}[w.rand.clock.IntN(3)]
}

func newMachine(w *world, seed uint64, index int) *machine {
	m := &machine{
		w: w, index: index, seed: seed, name: fmt.Sprintf("n%d", index), authority: fmt.Sprintf("a%d", index%authorities),
		durable: true, share: w.share(), clock: clock{w: w}, shown: chain.Frontier{},
	}
	if w.opt.Faults.Has(MemoryNodes) && index == w.opt.Nodes-1 {
		m.durable = false
	}
	m.clock.set(between(w.rand.clock, -50*time.Millisecond, 50*time.Millisecond))
	m.disk = newDisk(w, index, m.newKey())
	return m
}

// newKey makes the machine's next key, which its seed determines.
func (m *machine) newKey() ed25519.PrivateKey {
	m.keys++
	b := binary.BigEndian.AppendUint64([]byte("tidings sim key"), m.seed)
	b = binary.BigEndian.AppendUint64(b, uint64(m.index)<<32|uint64(m.keys))
	sum := sha256.Sum256(b)
	return ed25519.NewKeyFromSeed(sum[:])
}

// rekey gives the directory a new key, as store.Dir does.
func (m *machine) rekey() {
	d := m.disk
	d.predecessor = chain.OriginOf(d.key.Public().(ed25519.PublicKey))
	d.former = append(slices.Clone(d.former), d.key)
	d.key, d.unchanged = m.newKey(), true
}

// lose replaces the directory by an empty one.
func (m *machine) lose() {
	m.disk = newDisk(m.w, m.index, m.newKey())
	m.w.note("lose", m.index)
}

// runs reports whether a process runs and answers.
func (m *machine) runs() bool { return m.proc != nil && !m.proc.paused }

// ends are the streams of the process, by machine.
func (m *machine) ends() []*end {
	var ends []*end
	if m.proc != nil {
		for i := range m.w.machines {
			if e := m.proc.links[i]; e != nil {
				ends = append(ends, e)
			}
		}
	}
	return ends
}

// crash kills the process. Of what was not synced a part is lost, if tear says so.
func (m *machine) crash(tear bool) {
	p := m.proc
	if p == nil || !m.durable && !m.w.sacrifice(m) {
		return
	}
	p.die()
	d := m.disk
	if step := p.step; step != nil && chance(m.w.rand.disk, 2) {
		step() // it came so far, and nobody heard of it
	}
	keep := len(d.pending)
	if tear {
		switch m.w.rand.disk.IntN(3) {
		case 0:
			keep = 0
		case 1:
			keep = m.w.rand.disk.IntN(keep + 1)
		}
	}
	d.crash(keep)
	m.ended(!m.durable)
}

// ended notes that the process is no more.
func (m *machine) ended(lost bool) {
	m.w.record(Ended{Moment: m.proc.moment(), Lost: lost})
	m.w.note("ended", m.index, bit(lost))
	m.proc = nil
	if !m.durable {
		m.disk = newDisk(m.w, m.index, m.newKey())
	}
}
