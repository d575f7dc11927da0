package sim

import (
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// mesh is a node's side of gossip: the engine with streams around it, as
// gossip.Exchange runs it, and who the node takes for a member.
type mesh struct {
	links  map[int]*end // by machine
	since  map[int]time.Duration
	seen   map[int]*sighting
	keys   map[chain.Origin]ed25519.PublicKey // of chains seen but perhaps not committed
	known  *core.Known
	acked  core.Acks
	waits  []*ackWait
	tickAt time.Duration
	from   *end // whose frame the engine is looking at
}

func newMesh() mesh {
	return mesh{
		links: map[int]*end{}, since: map[int]time.Duration{}, seen: map[int]*sighting{},
		keys: map[chain.Origin]ed25519.PublicKey{}, acked: core.Acks{},
	}
}

// ackWait is a caller that waits until so many nodes hold an update.
type ackWait struct {
	seq   chain.Seq
	want  int
	reply func(count int)
}

func (p *process) startMesh() {
	record, err := p.archive.Private(core.KnownRecord)
	p.must(err)
	p.known, err = core.DecodeKnown(record)
	p.must(err)
	heads, applied := p.heads(), []chain.Head{}
	for _, c := range p.chains() {
		applied = append(applied, c.Applied)
	}
	var ends []chain.ID
	for _, f := range p.archive.Freezes() {
		ends = append(ends, chain.ID{Origin: f.Origin, Seq: f.After})
	}
	p.engine = gossip.NewEngine(p.at(), gossip.EngineConfig{
		Self: p.origin, Epoch: uint64(p.w.now) + 1, Durable: p.m.durable, Heads: heads, Applied: applied, Frozen: ends,
		Root: p.archive.Summary().SyncRoot, Limits: p.limits(),
	})
	for i := range p.w.machines {
		if i != p.m.index {
			p.dial(i, 50*time.Millisecond)
		}
	}
	p.watchMembers()
	p.every(watchEvery, func() bool {
		p.lookAtClock()
		p.do(p.stageKnown)
		p.sayConverged()
		return true
	})
}

func (p *process) limits() gossip.Limits {
	if p.w.opt.Faults.Has(TightQueues) {
		return gossip.Limits{QueueBytes: 2 << 10, QueueRuns: 4, PullBytes: 4 << 10, FrameBytes: 1 << 10, VectorBytes: 128}
	}
	return gossip.Limits{}
}

// chains are all chains, by origin.
func (p *process) chains() []chain.ChainInfo {
	chains := p.archive.Chains()
	slices.SortFunc(chains, func(a, b chain.ChainInfo) int { return a.Received.Origin.Compare(b.Received.Origin) })
	return chains
}

func (p *process) heads() []chain.Head {
	var heads []chain.Head
	for _, c := range p.chains() {
		heads = append(heads, c.Received)
	}
	return heads
}

// receive takes one frame off a stream.
func (p *process) receive(e *end, b []byte) {
	f, err := gossip.DecodeFrame(b)
	if err != nil {
		p.must(err)
	}
	p.w.note("frame", p.m.index, uint64(e.to), uint64(f.Kind()), uint64(len(b)), sumOf(b))
	hints := p.verify(e, f)
	e.reports.take(f, e.peer(), p.w.now)
	if p.deaf(f) {
		return
	}
	p.from = e
	p.engine.Message(p.at(), e.peer(), f)
	if len(hints) > 0 {
		p.engine.Message(p.at(), e.peer(), &gossip.Heads{Heads: hints})
	}
	p.act()
	p.from = nil
}

func runsOf(f gossip.Frame) []gossip.Run {
	switch f := f.(type) {
	case *gossip.Push:
		return f.Runs
	case *gossip.Served:
		return f.Runs
	}
	return nil
}

// verify decodes and verifies a frame's runs, as a stream's reader does.
func (p *process) verify(e *end, f gossip.Frame) (hints []chain.ID) {
	if f, ok := f.(*gossip.Freeze); ok {
		var err error
		f.Verified, err = chain.DecodeFreeze(f.Encoded)
		p.must(err)
		p.must(f.Verified.Verify())
		return nil
	}
	runs := runsOf(f)
	kept := runs[:0]
	for i := range runs {
		r, err := chain.DecodeRun(runs[i].Encoded)
		p.must(err)
		var key ed25519.PublicKey
		if r.First > 1 {
			if key = p.key(e, r.Origin); key == nil {
				hints = append(hints, chain.ID{Origin: r.Origin, Seq: r.Last()})
				continue
			}
		}
		p.must(r.Verify(key))
		if r.First == 1 {
			if g, err := chain.DecodeGenesis(r.Entries[0].Body); err == nil {
				p.keys[r.Origin] = g.Key
			}
		}
		head := r.Head()
		kept = append(kept, gossip.Run{
			Origin: r.Origin, First: r.First, Last: head.Seq, Hash: head.Hash, Encoded: runs[i].Encoded, Verified: r,
		})
	}
	switch f := f.(type) {
	case *gossip.Push:
		f.Runs = kept
	case *gossip.Served:
		f.Runs = kept
	}
	return hints
}

func (p *process) key(e *end, o chain.Origin) ed25519.PublicKey {
	if o == e.peer() {
		return e.other.p.public
	}
	if c, ok := p.archive.Info(o); ok {
		return c.Genesis.Key
	}
	return p.keys[o]
}

func gossipRuns(runs []*chain.Run) []gossip.Run {
	out := make([]gossip.Run, len(runs))
	for i, r := range runs {
		head := r.Head()
		out[i] = gossip.Run{Origin: r.Origin, First: r.First, Last: head.Seq, Hash: head.Hash, Encoded: r.Append(nil)}
	}
	return out
}

// act carries out what the engine wants, and arranges for its next tick.
func (p *process) act() {
	if p.dead {
		return
	}
	if p.engine.NextTick() <= p.w.now {
		p.engine.Tick(p.at())
	}
	out := p.engine.Take()
	for _, c := range out.Close {
		p.w.say(p.m.index, "closes the stream to %s: %s", c.Peer, c.Reason)
		if e := p.linkTo(c.Peer); e != nil {
			e.close(true)
		}
	}
	for _, a := range out.Accept {
		p.accept(a)
	}
	for _, s := range out.Send {
		b := gossip.AppendFrame(nil, s.Frame)
		for _, to := range s.To {
			if e := p.linkTo(to); e != nil {
				e.write(frame{b, s.Size})
			}
		}
	}
	for _, r := range out.Read {
		p.after(between(p.w.rand.disk, 20*time.Microsecond, 400*time.Microsecond), func() {
			runs, rest, err := gossip.ReadRanges(p.archive.Runs, r.Ranges, r.Bytes)
			p.engine.ReadDone(p.at(), r, runs, rest, err)
			p.act()
		})
	}
	for _, r := range out.Evidence {
		p.after(between(p.w.rand.disk, 20*time.Microsecond, 400*time.Microsecond), func() {
			encoded, err := p.archive.Evidence(r.Origin)
			if err != nil {
				encoded = nil
			}
			p.engine.EvidenceRead(p.at(), r, encoded)
			p.act()
		})
	}
	if out.SyncSoon {
		p.core.SyncSoon()
		p.kick()
	}
	for _, a := range out.Acked {
		p.noteAck(a)
	}
	if out.CaughtUp {
		p.caughtUp = true
	}
	p.wake()
}

func (p *process) linkTo(o chain.Origin) *end {
	for _, e := range p.m.ends() {
		if e.peer() == o {
			return e
		}
	}
	return nil
}

// wake arranges for the next tick.
func (p *process) wake() {
	next := max(p.engine.NextTick(), p.w.now+100*time.Microsecond)
	if next == 1<<63-1 || p.tickAt > p.w.now && p.tickAt <= next {
		return
	}
	p.tickAt = next
	p.after(next-p.w.now, func() {
		if p.tickAt <= p.w.now {
			p.act()
		}
	})
}

// accept hands runs to the writer. The stream that brought them waits while the
// inbox is full.
func (p *process) accept(a gossip.Accept) {
	e := p.from
	if e == nil || e.peer() != a.From {
		p.engine.Outcome(p.at(), a.ID, nil)
		return
	}
	runs := make([]*chain.Run, len(a.Runs))
	for i := range a.Runs {
		runs[i] = a.Runs[i].Verified
	}
	if p.w.has(QueueDrops) && chance(p.w.rand.net, 3) {
		outcomes := make([]chain.Outcome, len(runs))
		for i := range outcomes {
			outcomes[i].Verdict = chain.Accepted
		}
		p.engine.Outcome(p.at(), a.ID, outcomes)
		return
	}
	came := p.w.now
	p.inbox = append(p.inbox, &arrival{runs, a.Freeze, a.AckWanted, func(outcomes []chain.Outcome, err error) {
		if err != nil {
			outcomes = nil
			p.engine.LedgerClosed(p.at())
		} else if a.Pushed {
			p.engine.Waited(p.at(), a.From, p.w.now-came)
		}
		p.engine.Outcome(p.at(), a.ID, outcomes)
	}})
	e.stuck = len(p.inbox) >= inboxMost
	p.kick()
}

// noteAck takes a peer's word that it holds the own chain durably.
func (p *process) noteAck(a gossip.Acked) {
	u, err := p.archive.Update(chain.ID{Origin: p.origin, Seq: a.Head.Seq})
	if err != nil || u.Hash != a.Head.Hash {
		p.w.say(p.m.index, "%s acknowledged another update than this node's", a.Peer)
		return
	}
	if p.acked.Note(a.Peer, a.Head.Seq) {
		p.w.note("acked", p.m.index, uint64(p.w.number(a.Peer)), uint64(a.Head.Seq))
		p.checkAcks()
	}
}

// holders is how many nodes hold an own update durably.
func (p *process) holders(seq chain.Seq) int {
	n := p.acked.Count(seq, p.known.Origins())
	if p.m.durable || p.w.has(AcksMiscounted) {
		n++
	}
	if p.w.has(AcksMiscounted) {
		n++
	}
	return n
}

// awaitAcks answers once want nodes hold an own update durably, or the wait is
// over.
func (p *process) awaitAcks(id chain.ID, want int, wait time.Duration, reply func(int)) {
	have := 0
	if p.m.durable {
		have = 1
	}
	if have >= want || id.Origin != p.origin {
		reply(have)
		return
	}
	p.engine.WantAck(p.at(), id.Seq)
	p.act()
	a := &ackWait{id.Seq, want, reply}
	p.waits = append(p.waits, a)
	p.checkAcks()
	p.after(wait, func() {
		if i := slices.Index(p.waits, a); i >= 0 {
			p.waits = slices.Delete(p.waits, i, i+1)
			reply(p.holders(a.seq))
		}
	})
}

func (p *process) checkAcks() {
	waits := p.waits
	p.waits = nil
	for _, a := range waits {
		if n := p.holders(a.seq); n >= a.want {
			a.reply(n)
		} else {
			p.waits = append(p.waits, a)
		}
	}
}

// sumOf is a short hash of bytes for the trace.
func sumOf(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
