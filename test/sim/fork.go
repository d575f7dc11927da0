package sim

import (
	"crypto/ed25519"
	"math/rand/v2"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// fork puts an old copy of a machine's disk in the place of the newest, so that
// it cannot be told, and keeps the machine from everybody who knows better for
// longer than its node waits for them. So it goes on from there, under a seq that
// others have another update of. What it wrote there cannot all be kept: a freeze
// takes it back everywhere, its consumers are told, and its node, once it was
// restarted, publishes again under a new origin what it had acknowledged.
//
// Other faults go on beside this one, but for those that wait themselves.
func (w *world) fork(m *machine) {
	if !m.durable || m.proc == nil || !w.sacrifice(m) {
		return
	}
	r := w.rand.fault
	w.restore()
	if m.proc == nil {
		return
	}
	m.disk.copyAway()
	w.load.press(m, time.Second)
	w.run(w.now+between(r, 200*time.Millisecond, 1500*time.Millisecond), nil)
	if m.proc == nil {
		return
	}
	m.crash(false)
	w.lost(m)
	m.disk.put(m.disk.copies[len(m.disk.copies)-1])
	m.disk.unchanged = true
	w.history.Forks, w.forked = true, chain.OriginOf(m.disk.key.Public().(ed25519.PublicKey))
	alone := recoverWait + between(r, time.Second, 3*time.Second)
	w.isolate(m, alone)
	m.start()
	w.load.press(m, alone)
	w.load.press(m, alone+2*time.Second)
	w.beside(r, alone, Crashes|DiskErrors|DiskFull|Pauses|Resets|SlowLinks)
	w.beside(r, between(r, 0, 5*time.Second), Crashes|PowerCuts|DiskErrors|DiskFull|Pauses|Resets|SlowLinks|Partitions|Leaves)
}

// beside goes on for a while, and lets faults of some kinds come.
func (w *world) beside(r *rand.Rand, lasts time.Duration, kinds Fault) {
	end := w.now + lasts
	kinds &= w.opt.Faults
	for w.now < end {
		w.run(min(w.now+between(r, 300*time.Millisecond, 1500*time.Millisecond), end), nil)
		if kinds != noFaults && w.now < end {
			w.rand.fault = rand.New(rand.NewPCG(r.Uint64(), 0))
			w.strike(draw(w.rand.fault, kinds))
		}
	}
	w.rand.fault = r
}
