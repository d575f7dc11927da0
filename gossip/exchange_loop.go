package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// input is something that happened, for the engine.
type input func(At)

// post queues an input and never waits. What is queued is bounded by who
// queues: a stream's reader and writer have one input each, a peer one read,
// and the node's writer loop a few for each batch.
func (x *Exchange) post(in input) bool {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return false
	}
	x.inbox = append(x.inbox, in)
	if len(x.inbox) == 1 { // else the loop is woken already, and takes all at once
		signal(x.wake)
	}
	x.mu.Unlock()
	return true
}

// ask runs a question on the loop and waits for it. It reports whether it was
// answered: after Close it is not.
func (x *Exchange) ask(question func(At)) bool {
	answered := make(chan struct{})
	if !x.post(func(at At) { question(at); close(answered) }) {
		return false
	}
	select {
	case <-answered:
		return true
	case <-x.done:
		return false
	}
}

// loop owns the engine.
func (x *Exchange) loop() {
	defer close(x.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	due := never // when the timer is
	var batch []input
	for {
		select {
		case <-x.wake:
		case <-timer.C:
			due = never
		case <-x.quit:
			x.mu.Lock()
			x.closed, x.inbox = true, nil
			x.mu.Unlock()
			return
		}
		x.mu.Lock()
		batch, x.inbox = x.inbox, batch[:0]
		x.mu.Unlock()
		at := x.now()
		for i, in := range batch {
			in(at)
			batch[i] = nil
		}
		if x.engine.NextTick() <= at.Mono {
			x.engine.Tick(at)
		}
		x.carryOut(x.engine.Take())
		// A timer that is due before is left: then the loop looks once for nothing.
		if next := min(x.engine.NextTick(), at.Mono+time.Hour); next < due {
			due = next
			timer.Reset(max(next-time.Since(x.started), 0))
		}
	}
}

// carryOut does what the engine wants, in the order that Effects states.
func (x *Exchange) carryOut(out Effects) {
	for _, c := range out.Close {
		x.meters.refuse(c.Reason)
		x.closings.warn(x.log, c.Peer, c.Reason, nil)
		if l := x.links[c.Peer]; l != nil {
			l.link.Close()
		}
	}
	for _, a := range out.Accept {
		if l := x.links[a.From]; l != nil && l.asking {
			l.accepts = append(l.accepts, a)
		} else {
			x.post(func(at At) { x.engine.Outcome(at, a.ID, nil) })
		}
	}
	for _, l := range x.asking {
		l.asking = false
		l.answer <- l.accepts
		l.accepts = nil
	}
	clear(x.asking)
	x.asking = x.asking[:0]
	for _, s := range out.Send {
		f := NewOutFrame(AppendFrame(make([]byte, 0, s.Size), s.Frame), updatesIn(s.Frame) >= compressFrom)
		for _, to := range s.To {
			if l := x.links[to]; l != nil {
				x.meters.count(directionOut, s.Frame.Kind(), len(f.Payload()))
				l.queue.put(f, s.Size)
			}
		}
	}
	for _, r := range out.Read {
		x.wg.Go(func() { x.readLog(r) })
	}
	for _, r := range out.Evidence {
		x.wg.Go(func() { x.readEvidence(r) })
	}
	if out.SyncSoon {
		x.ledger.SyncSoon()
	}
	for _, a := range out.Acked {
		if x.conf.OnAcked != nil {
			x.conf.OnAcked(a.Peer, a.Head)
		}
	}
	if out.CaughtUp && x.conf.OnCaughtUp != nil {
		x.conf.OnCaughtUp()
	}
}

// reading waits until the log may be read for a peer, and returns what ends that; it
// reports false once the exchange ends.
func (x *Exchange) reading(peer chain.Origin) (end func(), ok bool) {
	done, ok := x.turn(peer, x.leaving)
	if !ok {
		return nil, false
	}
	select {
	case x.reads <- struct{}{}:
		return func() { <-x.reads; done() }, true
	case <-x.quit:
		done()
		return nil, false
	}
}

// readLog reads the log for a peer.
func (x *Exchange) readLog(r Read) {
	end, ok := x.reading(r.Peer)
	if !ok {
		return
	}
	defer end()
	runs, rest, err := ReadRanges(x.ledger.Serve, r.Ranges, r.Bytes)
	if err != nil {
		x.meters.refuse("log")
		x.log.Error("log could not be read for a peer", "peer", r.Peer, "error", err)
	}
	x.post(func(at At) { x.engine.ReadDone(at, r, runs, rest, err) })
}

// readEvidence reads what ended a chain, for a peer.
func (x *Exchange) readEvidence(r ReadEvidence) {
	end, ok := x.reading(r.Peer)
	if !ok {
		return
	}
	defer end()
	b, err := x.ledger.Evidence(r.Origin)
	if err != nil {
		x.meters.refuse("log")
		x.log.Error("evidence of a freeze could not be read for a peer", "peer", r.Peer, "origin", r.Origin, "error", err)
		b = nil
	}
	x.post(func(at At) { x.engine.EvidenceRead(at, r, b) })
}

// membersChanged is the transport's word about who is there.
func (x *Exchange) membersChanged(members []Member) {
	origins := make(map[chain.Origin]bool, len(members))
	for _, m := range members {
		origins[m.Origin] = true
	}
	x.mu.Lock()
	gone := x.origins
	x.members, x.origins = members, origins
	close(x.changed)
	x.changed = make(chan struct{})
	x.mu.Unlock()
	for o := range origins {
		delete(gone, o)
	}
	if len(gone) > 0 {
		x.post(func(At) {
			for o := range gone {
				x.engine.Forget(o)
			}
		})
	}
	if x.conf.OnMembers != nil {
		x.conf.OnMembers(members)
	}
}
