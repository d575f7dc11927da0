package gossip

import (
	"iter"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// peer is what the engine knows of one other node. It outlives the stream, so
// that the next one need not begin from nothing.
type peer struct {
	origin chain.Origin
	up     bool // there is a stream
	hello  bool // the peer's Hello has come on it

	epoch      uint64
	durable    bool
	catchingUp bool
	root       chain.Hash
	ownHead    OwnHead // as its last Hello said
	heardAt    time.Duration
	known      []chain.Seq // by chainState.index: what the peer has said it has

	clock peerClock
	queue peerQueue
	serve peerServe
	ack   peerAck
	vec   peerDigest

	freezes peerFreezes
	waits   peerWaits

	toldAt    time.Duration // when it was last sent a beacon
	told      uint64        // version up to which it was told heads, by beacon or digest
	pulls     int           // outstanding with it
	pullBytes int           // what the next one asks for
	slowUntil time.Duration // a pull timed out
}

// ready reports whether the peer can be talked to.
func (p *peer) ready() bool { return p.up && p.hello }

func (p *peer) knows(c *chainState) chain.Seq {
	if c.index < len(p.known) {
		return p.known[c.index]
	}
	return 0
}

// set records what the peer has of a chain, learn that it has so much at least.
func (p *peer) set(c *chainState, seq chain.Seq) {
	seq = c.believed(seq)
	if c.index >= len(p.known) {
		if seq == 0 {
			return
		}
		p.known = append(p.known, make([]chain.Seq, c.index+1-len(p.known))...)
	}
	p.known[c.index] = seq
}

func (p *peer) learn(c *chainState, seq chain.Seq) {
	if seq > p.knows(c) {
		p.set(c, seq)
	}
}

// PeerUp tells that a stream to a peer is open. If there was one, it is gone.
func (e *Engine) PeerUp(at At, origin chain.Origin) {
	e.advance(at)
	if origin == e.self || origin.IsZero() {
		e.close(origin, "own origin")
		return
	}
	p := e.peers[origin]
	if p == nil {
		p = &peer{origin: origin}
		e.peers[origin] = p
		i, _ := e.rank(origin)
		e.ranked = slices.Insert(e.ranked, i, p)
	}
	if p.up {
		e.down(p)
	}
	p.up, p.heardAt = true, at.Mono
	p.clock.reset(e.nextPing(p))
	p.vec.reset(at.Mono)
	p.queue.reset()
	p.pullBytes = min(pullFirst, e.limits.PullBytes)
	e.sendHello(p)
}

// PeerDown tells that the stream to a peer is closed.
func (e *Engine) PeerDown(at At, origin chain.Origin) {
	e.advance(at)
	if p := e.peers[origin]; p != nil && p.up {
		e.down(p)
	}
}

func (e *Engine) down(p *peer) {
	p.up, p.hello = false, false
	p.queue.reset()
	p.serve = peerServe{}
	p.freezes = peerFreezes{}
	p.ack.wanted, p.ack.sent = 0, 0
	p.vec.active = false
	e.dropPulls(p)
	e.recount()
}

// following are the peers in the order of origins, in a ring that begins after this node.
func (e *Engine) following() iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		first, _ := e.rank(e.self)
		for i := range e.ranked {
			if !yield(e.ranked[(first+i)%len(e.ranked)]) {
				return
			}
		}
	}
}

// rank is where a peer is, or belongs, in ranked.
func (e *Engine) rank(o chain.Origin) (int, bool) {
	return slices.BinarySearchFunc(e.ranked, o, func(p *peer, o chain.Origin) int { return p.origin.Compare(o) })
}

// Forget drops what is kept of a peer that has no stream.
func (e *Engine) Forget(origin chain.Origin) {
	if p := e.peers[origin]; p != nil && !p.up {
		delete(e.peers, origin)
		e.ranked = removeFrom(e.ranked, p)
	}
}

// Message takes one frame of a peer. Its runs have been verified.
func (e *Engine) Message(at At, origin chain.Origin, f Frame) {
	e.advance(at)
	p := e.peers[origin]
	if p == nil || !p.up {
		return
	}
	p.heardAt = at.Mono
	if _, ok := f.(*Hello); !ok && !p.hello {
		e.close(origin, "no hello")
		return
	}
	switch f := f.(type) {
	case *Hello:
		e.onHello(p, f)
	case *Push:
		e.onPush(p, f)
	case *Heads:
		e.onHeads(p, f)
	case *Pull:
		e.onPull(p, f)
	case *Served:
		e.onServed(p, f)
	case *Ping:
		e.onPing(p, f)
	case *Digest:
		e.onDigest(p, f)
	case *Ack:
		e.onAck(p, f)
	case *AckWanted:
		e.onAckWanted(p, f)
	case *AppliedWanted:
		e.onAppliedWanted(p, f)
	case *Applied:
		e.onApplied(p, f)
	case *Freeze:
		e.onFreeze(p, f)
	case *Frozen:
		e.onFrozen(p, f)
	case *Hashes:
		e.onHashes(p, f)
	default:
		e.stats.UnknownFrames++
	}
}

// close asks for a stream's end. The peer is spoken to no more.
func (e *Engine) close(origin chain.Origin, reason string) {
	e.stats.ProtocolErrors++
	e.out.Close = append(e.out.Close, Close{origin, reason})
	if p := e.peers[origin]; p != nil {
		p.hello = false
	}
}

func (e *Engine) sendHello(p *peer) {
	theirs := e.headOf(p.origin)
	e.gather.release(e.own.head.Seq) // this tells it
	e.send(p, &Hello{
		Version: Version, Epoch: e.epoch, Durable: e.durable, CatchingUp: e.catchingUp,
		Sent: micros(e.at.Mono), Wall: wallOf(e.at), Root: e.root,
		Own:   HeadHash{e.own.head.Seq, e.own.head.Hash},
		Yours: HeadHash{theirs.Seq, theirs.Hash},
	})
}

func (e *Engine) headOf(o chain.Origin) chain.Head {
	if c := e.chains[o]; c != nil {
		return c.head
	}
	return chain.Head{Origin: o}
}

func (e *Engine) onHello(p *peer, f *Hello) {
	if f.Version != Version {
		e.close(p.origin, "protocol version")
		return
	}
	again := p.hello
	if !again && f.Epoch != p.epoch {
		// Other storage: nothing of what it once had is sure to be there.
		p.known, p.told, p.vec.agreed = nil, 0, 0
		p.ack.acked = chain.Head{}
	}
	p.hello, p.epoch, p.durable, p.catchingUp, p.root = true, f.Epoch, f.Durable, f.CatchingUp, f.Root
	p.clock.heard(f.Sent, e.at)
	p.ownHead = OwnHead{
		Peer: p.origin, Head: chain.Head{Origin: e.self, Seq: f.Yours.Seq, Hash: f.Yours.Hash}, CatchingUp: f.CatchingUp,
	}
	e.out.OwnHeads = append(e.out.OwnHeads, p.ownHead)
	p.set(e.own, f.Yours.Seq)
	e.report(p, p.origin, f.Own.Seq, false)
	e.report(p, e.self, f.Yours.Seq, false)
	if again {
		return
	}
	e.startPush(p, f.Yours.Seq)
	e.sendPing(p)
	e.onRoot(p)
}
