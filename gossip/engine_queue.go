package gossip

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// peerQueue is the flow control of one stream: what was given to its writer
// and is not written yet, and how far the own chain was pushed on it.
type peerQueue struct {
	sent      int // bytes given to the writer since the stream opened
	wrote     int // of these, written
	pushEnd   int // sent after the last push frame
	next      chain.Seq
	lagging   bool          // it is told heads and pulls; nothing is pushed
	headsAt   time.Duration // when it was last told the own head, while lagging
	headsSeq  chain.Seq     // the head that it was told
	needAcks  bool          // it has to be asked for acknowledgements
	needHello bool          // what the Hello said has changed
}

const (
	// queueRoom is how much may wait for a stream's writer.
	queueRoom = 1 << 20
	// serveRoom is how much of it may be there for one more piece of the log
	// to be read: so reading overlaps with writing, and pushes and pings do not
	// wait behind much.
	serveRoom = 256 << 10
	// answerRoom is how much may be there for a question to be answered at
	// once. All else together stays below it, so who asks and reads is always
	// answered; who only asks fills no more than this.
	answerRoom = 4 << 20
)

func (q *peerQueue) reset()           { *q = peerQueue{} }
func (q *peerQueue) inFlight() int    { return q.sent - q.wrote }
func (q *peerQueue) room() bool       { return q.inFlight() < queueRoom }
func (q *peerQueue) answerable() bool { return q.inFlight() < answerRoom }
func (q *peerQueue) pushing() bool    { return q.wrote < q.pushEnd }

// send gives one frame to one peer. Callers look for room first, unless the
// frame is one of few.
func (e *Engine) send(p *peer, f Frame) {
	size := encodedSize(f)
	p.queue.sent += size
	e.out.Send = append(e.out.Send, Send{To: []chain.Origin{p.origin}, Frame: f, Size: size})
}

// Wrote tells that a stream's writer is done with frames of these many bytes,
// which Send said.
func (e *Engine) Wrote(at At, origin chain.Origin, bytes int) {
	e.advance(at)
	if p := e.peers[origin]; p != nil && p.up {
		p.queue.wrote = min(p.queue.wrote+bytes, p.queue.sent)
	}
}

// pump sends what waits for room: pushes first, then heads, acknowledgements
// and what is asked of the log.
func (e *Engine) pump() {
	for _, p := range e.ranked {
		if p.queue.needHello && p.ready() && p.queue.room() {
			e.gather.release(e.own.head.Seq) // the hello below will tell it
		}
	}
	e.pumpPushes()
	for _, p := range e.ranked {
		if !p.ready() || !p.queue.room() {
			continue
		}
		if p.queue.needHello {
			p.queue.needHello = false
			e.sendHello(p)
		}
		e.pumpLagging(p)
		if p.queue.needAcks && e.ackAsk > 0 {
			e.send(p, &AckWanted{Seq: e.ackAsk})
		}
		p.queue.needAcks = false
		e.pumpAck(p)
		e.pumpFreezes(p)
		e.pumpHashes(p)
		e.pumpServe(p)
	}
}
