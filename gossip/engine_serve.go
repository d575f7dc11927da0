package gossip

// peerServe is what a peer asked of the log, and waits for.
type peerServe struct {
	pulls   []serving
	reading bool // a Read is outstanding
}

type serving struct {
	id     uint64
	left   int // bytes that may still be served
	ranges []Range
}

// servesMost bounds the requests that a peer may have outstanding. It is more
// than any engine's PullsPerPeer, as a request that timed out there may still
// be in the queue here.
const servesMost = 16

func (e *Engine) onPull(p *peer, f *Pull) {
	if !p.queue.answerable() {
		return // it is not reading; to it the request timed out
	}
	if len(p.serve.pulls) >= servesMost {
		e.stats.PullsRefused++
		e.send(p, &Served{ID: f.ID, Done: true})
		return
	}
	bytes := int(min(f.Bytes, uint64(16*e.limits.PullBytes)))
	p.serve.pulls = append(p.serve.pulls, serving{f.ID, max(bytes, 1), f.Ranges})
}

// pumpServe reads the next piece for a peer while its stream has room. So a
// slow peer is served at its own pace, and holds one piece here.
func (e *Engine) pumpServe(p *peer) {
	s := &p.serve
	if len(s.pulls) == 0 || s.reading || p.queue.inFlight() >= serveRoom {
		return
	}
	s.reading = true
	next := &s.pulls[0]
	e.out.Read = append(e.out.Read, Read{Peer: p.origin, Ranges: next.ranges, Bytes: min(next.left, e.limits.FrameBytes)})
}

// ReadDone answers a Read: what ReadRanges returned. An error of the log is
// none of the peer's: it gets no answer, and asks others in time. To be told that
// there is nothing, it would take this node's word for what it has for wrong.
func (e *Engine) ReadDone(at At, read Read, runs []Run, rest []Range, err error) {
	e.advance(at)
	p := e.peers[read.Peer]
	if p == nil || !p.ready() || !p.serve.reading || len(p.serve.pulls) == 0 {
		return
	}
	s := &p.serve
	next := &s.pulls[0]
	if &next.ranges[0] != &read.Ranges[0] {
		return // it was for the peer's stream before this one
	}
	s.reading = false
	for i := range runs {
		next.left -= len(runs[i].Encoded)
	}
	next.ranges = rest
	if err != nil {
		s.pulls = s.pulls[1:]
		return
	}
	done := len(rest) == 0 || next.left <= 0
	e.send(p, &Served{ID: next.id, Done: done, Runs: runs})
	if done {
		s.pulls = s.pulls[1:]
	}
	for i := len(runs) - 1; i >= 0; i-- {
		// The stream keeps the order: what is pushed now comes after this.
		if runs[i].Origin == e.self {
			e.resumeAt(p, runs[i].Last+1)
			break
		}
	}
}
