package gossip

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// linkLoop is one stream at work: a goroutine that reads frames, one that takes
// them, and one that writes.
type linkLoop struct {
	link   FrameStream
	queue  outQueue
	answer chan []Accept // one place: what the reader's frame has for the ledger

	// Of the exchange's loop:
	asking  bool // the reader waits for the answer
	accepts []Accept
}

// serve is the life of a stream: it returns when the stream has ended.
func (x *Exchange) serve(link FrameStream) {
	l := &linkLoop{link: link, answer: make(chan []Accept, 1)}
	l.queue.changed = make(chan struct{}, 1)
	peer := link.Peer()
	if !x.ask(func(at At) {
		x.links[peer] = l
		x.engine.PeerUp(at, peer)
	}) {
		link.Close()
		return
	}
	ended := make(chan struct{})
	in := newInQueue()
	var others sync.WaitGroup
	others.Go(func() { x.write(l, ended) })
	others.Go(func() { x.read(l, in) })
	err := x.take(l, in)
	link.Close()
	in.close()
	close(ended)
	others.Wait()
	x.ask(func(at At) {
		if x.links[peer] == l {
			delete(x.links, peer)
			x.engine.PeerDown(at, peer)
			if !x.isMember(peer) {
				// Nobody would tell of its end, and there may be ever new ones.
				x.engine.Forget(peer)
			}
		}
	})
	if bad, ok := errors.AsType[*refusal](err); ok {
		x.meters.refuse(bad.reason)
		x.closings.warn(x.log, peer, bad.reason, bad.err)
	}
	x.linger(peer)
}

// refusal is why what a peer sent ended its stream.
type refusal struct {
	reason string // label of a counter
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// take handles what the stream brings until it ends.
func (x *Exchange) take(l *linkLoop, in *inQueue) error {
	for {
		if err := in.wait(); err != nil {
			return err
		}
		if err := x.takeNext(l, in); err != nil {
			return err
		}
	}
}

// errStrangerGone ends a stream whose peer went before its turn.
var errStrangerGone = errors.New("a stranger went before its turn")

// takeNext handles the next frame, which there is, once the ledger has come to what the
// last one brought and it is this peer's turn: what comes meanwhile is verified with it.
func (x *Exchange) takeNext(l *linkLoop, in *inQueue) error {
	peer := l.link.Peer()
	if in.bringsRuns() {
		x.ledger.Await(peer)
	}
	end, ok := x.turn(peer, in.over)
	if !ok {
		return errStrangerGone
	}
	defer end()
	f, read, hints, err := x.check(l, in)
	if err != nil {
		return err
	}
	if !x.post(func(at At) {
		if x.links[peer] != l {
			l.answer <- nil
			return
		}
		l.asking, x.asking = true, append(x.asking, l)
		x.engine.Message(at, peer, f)
		if len(hints) > 0 {
			x.engine.Message(at, peer, &Heads{Heads: hints})
		}
	}) {
		return ErrClosed
	}
	var accepts []Accept
	select {
	case accepts = <-l.answer:
	case <-x.done:
		return ErrClosed
	}
	var replies sync.WaitGroup
	for _, a := range accepts {
		replies.Add(1)
		x.accept(a, read, replies.Done)
	}
	if !x.isMember(peer) {
		replies.Wait() // what it costs the ledger is part of its turn
	}
	return nil
}

// check takes the next frame and verifies it, on one of the processors that are for that.
func (x *Exchange) check(l *linkLoop, in *inQueue) (f Frame, read time.Time, hints []chain.ID, err error) {
	x.checks <- struct{}{}
	defer func() { <-x.checks }()
	f, read = in.take()
	hints, err = x.verify(l, f)
	return f, read, hints, err
}

// accept hands runs to the ledger that were read then, and waits until it has room for
// them. It calls done when the ledger has replied.
func (x *Exchange) accept(a Accept, read time.Time, done func()) {
	reply := func(outcomes []chain.Outcome, err error) {
		x.post(func(at At) {
			if err != nil {
				outcomes = nil
				x.engine.LedgerClosed(at)
			} else if a.Pushed && x.isMember(a.From) {
				x.engine.Waited(at, a.From, at.Mono-read.Sub(x.started))
			}
			x.engine.Outcome(at, a.ID, outcomes)
		})
		done()
	}
	if a.Freeze != nil {
		x.ledger.AcceptFreeze(a.From, a.Freeze, reply)
		return
	}
	runs := make([]*chain.Run, len(a.Runs))
	for i := range a.Runs {
		runs[i] = a.Runs[i].Verified
	}
	x.ledger.Accept(a.From, runs, a.AckWanted, reply)
}

// verify decodes and verifies a frame's runs, or its freeze. Runs that follow each other are
// joined, for the last signature covers all, and to verify one is most of what a
// small run costs. A run of a chain whose key is not known here, for its genesis
// has not come, is taken out of the frame; what is left of it is that the peer
// has it.
func (x *Exchange) verify(l *linkLoop, f Frame) (hints []chain.ID, err error) {
	if f, ok := f.(*Freeze); ok {
		f.Verified, err = chain.DecodeFreeze(f.Encoded)
		if err == nil {
			err = f.Verified.Verify()
		}
		if err != nil {
			return nil, &refusal{"freeze_evidence", err}
		}
		return nil, nil
	}
	runs := runsOf(f)
	if len(runs) == 0 {
		return nil, nil
	}
	decoded := make([]*chain.Run, len(runs))
	for i := range runs {
		if decoded[i], err = chain.DecodeRun(runs[i].Encoded); err != nil {
			return nil, &refusal{"run_encoding", err}
		}
	}
	kept := runs[:0]
	for len(decoded) > 0 {
		joined, rest := chain.Join(decoded)
		group := []*chain.Run{joined}
		known, err := x.verifyRun(l, joined)
		if err != nil && len(decoded)-len(rest) > 1 {
			group = decoded[:len(decoded)-len(rest)] // one does not go on from the one before, or is not good
		}
		for _, r := range group {
			if r != joined {
				known, err = x.verifyRun(l, r)
			}
			if err != nil {
				return nil, &refusal{verifyReason(err), fmt.Errorf("run %s.%d: %w", r.Origin, r.First, err)}
			}
			if !known {
				hints = append(hints, chain.ID{Origin: r.Origin, Seq: r.Last()})
				continue
			}
			head := r.Head()
			kept = append(kept, Run{Origin: r.Origin, First: r.First, Last: head.Seq, Hash: head.Hash, Verified: r})
		}
		decoded = rest
	}
	switch f := f.(type) {
	case *Push:
		f.Runs = kept
	case *Served:
		f.Runs = kept
	}
	return hints, nil
}

// verifyRun reports whether the key of a run's chain is known, and what is wrong
// with the run by it.
func (x *Exchange) verifyRun(l *linkLoop, r *chain.Run) (known bool, err error) {
	var key ed25519.PublicKey
	if r.First > 1 {
		if key = x.key(l, r.Origin); key == nil {
			return false, nil
		}
	}
	if err := r.Verify(key); err != nil {
		return true, err
	}
	if r.First == 1 {
		x.learnKey(r)
	}
	return true, nil
}

func verifyReason(err error) string {
	switch {
	case errors.Is(err, chain.ErrSignature):
		return "run_signature"
	case errors.Is(err, chain.ErrKey):
		return "run_key"
	}
	return "run_encoding"
}

// key finds the public key of a chain: the peer's own, the ledger's, or one
// from a genesis that is on its way into the ledger. Whichever it is, it is the
// only one that the origin can be made from.
func (x *Exchange) key(l *linkLoop, o chain.Origin) ed25519.PublicKey {
	if o == l.link.Peer() {
		return l.link.PeerKey()
	}
	if key, ok := x.ledger.Key(o); ok {
		return key
	}
	return x.keys.get(o)
}

// learnKey keeps the key of a verified genesis until the ledger has it.
func (x *Exchange) learnKey(r *chain.Run) {
	if _, ok := x.ledger.Key(r.Origin); ok {
		return
	}
	if g, err := chain.DecodeGenesis(r.Entries[0].Body); err == nil {
		x.keys.put(r.Origin, g.Key)
	}
}

// outQueue holds what waits for a stream's writer. The engine's accounting
// bounds it.
type outQueue struct {
	mu      sync.Mutex // protects frames and size
	frames  []*OutFrame
	size    int           // as the engine accounts them
	changed chan struct{} // one place
}

func (q *outQueue) put(f *OutFrame, size int) {
	q.mu.Lock()
	q.frames = append(q.frames, f)
	q.size += size
	q.mu.Unlock()
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

func (q *outQueue) take() (frames []*OutFrame, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames, size = q.frames, q.size
	q.frames, q.size = nil, 0
	return frames, size
}

// write writes what is queued until the stream ends. A failure to write closes
// the stream, which ends its reader.
func (x *Exchange) write(l *linkLoop, ended <-chan struct{}) {
	peer := l.link.Peer()
	for {
		select {
		case <-l.queue.changed:
		case <-ended:
			return
		}
		frames, size := l.queue.take()
		if len(frames) == 0 {
			continue
		}
		if err := l.link.WriteFrames(frames); err != nil {
			l.link.Close()
			return
		}
		x.post(func(at At) {
			if x.links[peer] == l {
				x.engine.Wrote(at, peer, size)
			}
		})
	}
}
