package gossip

import (
	"slices"

	"github.com/tidings-mesh/tidings/chain"
)

// pushRing holds the newest own runs, in commit order and without holes. Each
// peer's queue is a place in it, so a run is kept once for all.
type pushRing struct {
	runs  []ownRun
	bytes int
	next  chain.Seq // after the last run
}

type ownRun struct {
	Run
	ackWanted bool
}

// ringKeep is how many bytes stay in the ring when no peer waits for them: what
// a peer missed while its stream was opened anew is then still pushed to it.
const ringKeep = 64 << 10

// first is the first seq that the ring holds, next if it is empty.
func (r *pushRing) first() chain.Seq {
	if len(r.runs) == 0 {
		return r.next
	}
	return r.runs[0].First
}

// skipTo empties the ring where the own chain went on elsewhere.
func (r *pushRing) skipTo(next chain.Seq) {
	if next > r.next {
		r.runs, r.bytes, r.next = nil, 0, next
	}
}

func (r *pushRing) add(run ownRun) {
	r.runs = append(r.runs, run)
	r.bytes += len(run.Encoded)
	r.next = run.Last + 1
}

func (r *pushRing) drop() {
	r.bytes -= len(r.runs[0].Encoded)
	r.runs[0] = ownRun{}
	r.runs = r.runs[1:]
}

// from returns the runs that hold seq and what follows.
func (r *pushRing) from(seq chain.Seq) []ownRun {
	i, _ := slices.BinarySearchFunc(r.runs, seq, func(run ownRun, seq chain.Seq) int {
		if run.Last < seq {
			return -1
		}
		return 1
	})
	return r.runs[i:]
}

// Local takes own runs, committed and synced, in the order of the chain, for every peer.
// Some may have to wait while more gathers, unless ackWanted: that asks the peers to
// acknowledge them. It comes before the Committed that tells the own head.
func (e *Engine) Local(at At, runs []Run, ackWanted bool) {
	e.advance(at)
	if e.own.ended {
		return // what the batch appended is beyond the freeze that it brought
	}
	for i := range runs {
		r := &runs[i]
		if r.Last < e.ring.next {
			continue
		}
		if r.First != e.ring.next {
			e.ring.skipTo(r.First)
		}
		if ackWanted {
			e.wantPushedAck(r.Last)
		}
		e.ring.add(ownRun{*r, ackWanted})
		e.raise(chain.Head{Origin: e.self, Seq: r.Last, Hash: r.Hash})
	}
	e.trimRing()
}

// trimRing drops the oldest runs beyond the bounds, and those that nobody
// waits for. Whoever still waited for one is told heads from then on.
func (e *Engine) trimRing() {
	r := &e.ring
	for len(r.runs) > 0 && (r.bytes > e.limits.QueueBytes || len(r.runs) > e.limits.QueueRuns) {
		last := r.runs[0].Last
		for _, p := range e.ranked {
			if p.ready() && !p.queue.lagging && p.queue.next <= last {
				e.lag(p)
			}
		}
		r.drop()
	}
	waited := r.next
	for _, p := range e.ranked {
		if p.ready() && !p.queue.lagging {
			waited = min(waited, p.queue.next)
		}
	}
	for len(r.runs) > 0 && r.bytes > ringKeep && r.runs[0].Last < waited {
		r.drop()
	}
}

// lag ends pushing to a peer until it has caught up by pulling.
func (e *Engine) lag(p *peer) {
	e.stats.RunsDropped += uint64(len(e.ring.from(p.queue.next)))
	p.queue.lagging = true
}

// startPush begins where the peer says that it stands.
func (e *Engine) startPush(p *peer, has chain.Seq) {
	p.queue.next = has + 1
	p.queue.lagging = p.queue.next < e.ring.first()
	p.queue.needAcks = e.ackAsk > p.ack.acked.Seq
}

// resumePush goes on pushing to a peer that lagged and has come so far that
// the ring holds what follows.
func (e *Engine) resumePush(p *peer) { e.resumeAt(p, p.knows(e.own)+1) }

func (e *Engine) resumeAt(p *peer, next chain.Seq) {
	if !p.queue.lagging || next < e.ring.first() {
		return
	}
	p.queue.lagging = false
	p.queue.next = next
	p.queue.needAcks = e.ackAsk > p.ack.acked.Seq
}

// pumpPushes sends each idle peer what waits for it and is to gather no more for it: several
// runs in one frame only if they came together, gathered, or a write was in flight
// meanwhile. Peers at the same place get the same frame.
func (e *Engine) pumpPushes() {
	e.frames = e.frames[:0]
	to := e.pushGathering()
	for _, p := range e.ranked {
		e.pushTo(p, to)
	}
	if len(e.frames) > 0 {
		e.trimRing()
	}
}

// pushFrame is a frame of this pump that other peers at the same place get, too.
type pushFrame struct {
	from, to chain.Seq
	send     int // index in out.Send
}

// pushTo sends a peer a frame of what waits for it, up to a seq, if it is idle.
func (e *Engine) pushTo(p *peer, to chain.Seq) {
	if !p.ready() || p.queue.lagging || p.queue.next >= e.ring.next || p.queue.pushing() || !p.queue.room() {
		return
	}
	if p.queue.next < e.ring.first() {
		e.lag(p) // the chain went on elsewhere: its own end came back from a peer
		return
	}
	if p.queue.next > to {
		return
	}
	i := slices.IndexFunc(e.frames, func(f pushFrame) bool { return f.from == p.queue.next && f.to == to })
	if i < 0 {
		i = len(e.frames)
		e.frames = append(e.frames, pushFrame{p.queue.next, to, len(e.out.Send)})
		f := e.buildPush(p.queue.next, to)
		e.out.Send = append(e.out.Send, Send{Frame: f, Size: encodedSize(f)})
	}
	s := &e.out.Send[e.frames[i].send]
	f := s.Frame.(*Push)
	s.To = append(s.To, p.origin)
	p.queue.sent += s.Size
	p.queue.pushEnd = p.queue.sent
	p.queue.next = f.Runs[len(f.Runs)-1].Last + 1
	e.stats.RunsPushed += uint64(len(f.Runs))
}

// buildPush makes a frame of the runs from a seq on up to another, within the budget
// but of one run at least.
func (e *Engine) buildPush(from, to chain.Seq) *Push {
	f := &Push{}
	bytes := 0
	for _, r := range e.ring.from(from) {
		if r.First > to || bytes > 0 && bytes+len(r.Encoded) > e.limits.FrameBytes {
			break
		}
		bytes += len(r.Encoded)
		f.AckWanted = f.AckWanted || r.ackWanted
		f.Runs = append(f.Runs, r.Run)
	}
	f.Runs = joinRuns(f.Runs)
	return f
}

// joinRuns makes few runs of those that follow each other, under the last seal of each:
// what more of them take on the wire, and of each receiver's time, is of no use to anybody.
func joinRuns(runs []Run) (joined []Run) {
	if len(runs) < 2 {
		return runs
	}
	decoded := make([]*chain.Run, len(runs))
	for i := range runs {
		var err error
		if decoded[i], err = chain.DecodeRun(runs[i].Encoded); err != nil {
			return runs // not of a ledger, which encodes them well: as they are
		}
	}
	for len(decoded) > 0 {
		one, rest := chain.Join(decoded)
		n := len(decoded) - len(rest)
		r := runs[0]
		if n > 1 {
			last := &runs[n-1]
			r.Last, r.Hash, r.Encoded = last.Last, last.Hash, one.Append(nil)
		}
		joined = append(joined, r)
		decoded, runs = rest, runs[n:]
	}
	return joined
}

func (e *Engine) onPush(p *peer, f *Push) {
	if f.AckWanted {
		for i := range f.Runs {
			if f.Runs[i].Origin == p.origin {
				p.ack.want(f.Runs[i].Last)
			}
		}
	}
	e.offer(p, f.Runs, true, f.AckWanted)
}

// pumpLagging tells a peer that lags the own head, when it moved.
func (e *Engine) pumpLagging(p *peer) {
	q := &p.queue
	if !q.lagging || q.headsSeq >= e.own.head.Seq || e.at.Mono < q.headsAt+beaconEvery && q.headsSeq > 0 {
		return
	}
	q.headsAt, q.headsSeq = e.at.Mono, e.own.head.Seq
	e.send(p, &Heads{Heads: []chain.ID{{Origin: e.self, Seq: e.own.head.Seq}}})
}
