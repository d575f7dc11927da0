package gossip

import (
	"context"
	"crypto/ed25519"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Hub connects nodes of one process: no sockets, no encryption, no failure
// detection; the same engine and the same frames. The zero value is not ready,
// use NewHub.
type Hub struct {
	mu    sync.Mutex // protects nodes and what is in them
	nodes []*HubNode
}

// NewHub returns a hub without nodes.
func NewHub() *Hub { return &Hub{} }

// HubNode is one node's transport on a hub.
type HubNode struct {
	hub    *Hub
	member Member
	key    ed25519.PublicKey

	open    bool
	serve   func(FrameStream)
	changed func([]Member)
	pairs   []*hubPair

	telling sync.Mutex // keeps the calls of changed in order
}

const (
	// hubFrames is how many frames wait between two nodes: a frame is about
	// what a socket's buffers hold.
	hubFrames = 4
	// hubAgain is how long a pair waits before its stream is opened anew.
	hubAgain = 50 * time.Millisecond
)

// Transport returns the transport of a node with this public key. A node that
// was closed may be opened again by a new one.
func (h *Hub) Transport(key ed25519.PublicKey, tags Tags) *HubNode {
	return &HubNode{hub: h, key: key, member: Member{
		Origin: chain.OriginOf(key), Epoch: 1, Tags: tags, Version: StreamVersion, Status: StatusAlive, Since: time.Now(),
	}}
}

// Open implements Transport: it connects the node with all others of the hub.
func (n *HubNode) Open(_ context.Context, serve func(FrameStream), changed func([]Member)) error {
	h := n.hub
	h.mu.Lock()
	for _, other := range h.nodes {
		if other.open && (other.member.Origin == n.member.Origin || other.member.Name == n.member.Name) {
			h.mu.Unlock()
			return &TwinError{SameKey: other.member.Origin == n.member.Origin, Name: n.member.Name, Other: other.member}
		}
	}
	h.nodes = slices.DeleteFunc(h.nodes, func(o *HubNode) bool {
		return o.member.Origin == n.member.Origin || o.member.Name == n.member.Name
	})
	n.open, n.serve, n.changed = true, serve, changed
	for _, other := range h.nodes {
		if other.open {
			p := &hubPair{a: n, b: other, quit: make(chan struct{}), done: make(chan struct{})}
			n.pairs, other.pairs = append(n.pairs, p), append(other.pairs, p)
			go p.run()
		}
	}
	h.nodes = append(h.nodes, n)
	h.mu.Unlock()
	h.tell()
	return nil
}

// Forget implements Transport.
func (n *HubNode) Forget(name string) error {
	h := n.hub
	h.mu.Lock()
	i := slices.IndexFunc(h.nodes, func(o *HubNode) bool { return o.member.Name == name })
	switch {
	case i < 0:
		h.mu.Unlock()
		return ErrNoMember
	case h.nodes[i].open:
		h.mu.Unlock()
		return ErrMemberAlive
	}
	h.nodes = slices.Delete(h.nodes, i, i+1)
	h.mu.Unlock()
	h.tell()
	return nil
}

// Close implements Transport. Nobody has to be told, so it does not wait for
// anything but its own streams.
func (n *HubNode) Close(context.Context) error {
	h := n.hub
	h.mu.Lock()
	if !n.open {
		h.mu.Unlock()
		return nil
	}
	n.open = false
	n.member.Status, n.member.Since = StatusLeft, time.Now()
	pairs := n.pairs
	n.pairs = nil
	for _, p := range pairs {
		close(p.quit)
		other := p.a
		if other == n {
			other = p.b
		}
		other.pairs = slices.DeleteFunc(other.pairs, func(q *hubPair) bool { return q == p })
	}
	h.mu.Unlock()
	for _, p := range pairs {
		<-p.done
	}
	h.tell()
	return nil
}

// tell tells every node the members, by origin.
func (h *Hub) tell() {
	h.mu.Lock()
	nodes := slices.Clone(h.nodes)
	h.mu.Unlock()
	for _, n := range nodes {
		n.telling.Lock()
		h.mu.Lock()
		open := n.open
		members := make([]Member, len(h.nodes))
		for i, o := range h.nodes {
			members[i] = o.member
		}
		h.mu.Unlock()
		slices.SortFunc(members, func(a, b Member) int { return a.Origin.Compare(b.Origin) })
		if open {
			n.changed(members)
		}
		n.telling.Unlock()
	}
}

// hubPair keeps a stream between two nodes while both are open.
type hubPair struct {
	a, b       *HubNode
	quit, done chan struct{}
}

func (p *hubPair) run() {
	defer close(p.done)
	for {
		a, b := newHubLinks(p.a, p.b)
		ended := make(chan struct{})
		go func() {
			select {
			case <-p.quit:
				a.Close()
			case <-ended:
			}
		}()
		var wg sync.WaitGroup
		wg.Go(func() { p.a.serve(a); a.Close() })
		wg.Go(func() { p.b.serve(b); b.Close() })
		wg.Wait()
		close(ended)
		select {
		case <-p.quit:
			return
		case <-time.After(hubAgain):
		}
	}
}

// hubLink is one end of a stream. Frames are passed on as they are: whoever
// wrote one keeps sharing it with its readers.
type hubLink struct {
	peer    *HubNode
	in, out chan []byte
	over    *hubOver
}

// hubOver is the end of a stream, common to both its ends.
type hubOver struct {
	once sync.Once
	done chan struct{}
}

func newHubLinks(a, b *HubNode) (ofA, ofB *hubLink) {
	over := &hubOver{done: make(chan struct{})}
	there, back := make(chan []byte, hubFrames), make(chan []byte, hubFrames)
	return &hubLink{b, back, there, over}, &hubLink{a, there, back, over}
}

func (l *hubLink) Peer() chain.Origin         { return l.peer.member.Origin }
func (l *hubLink) PeerKey() ed25519.PublicKey { return l.peer.key }

func (l *hubLink) ReadFrame([]byte) ([]byte, error) {
	select {
	case b := <-l.in:
		return b, nil
	case <-l.over.done:
		return nil, io.EOF
	}
}

func (l *hubLink) WriteFrames(frames []*OutFrame) error {
	for _, f := range frames {
		select {
		case l.out <- f.Payload():
		case <-l.over.done:
			return io.ErrClosedPipe
		}
	}
	return nil
}

func (l *hubLink) Close() error {
	l.over.once.Do(func() { close(l.over.done) })
	return nil
}
