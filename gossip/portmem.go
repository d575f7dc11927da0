package gossip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// MemNetwork is a Network within one process: no sockets, so that nodes on it
// can run within testing/synctest, where virtual time replaces waiting. Its
// addresses mean nothing outside; loopback ones (127.x.y.z) suit best.
//
// Datagrams get lost when a receiver does not keep up, as they do on a real
// network; connections are buffered and wait. All methods are safe for
// concurrent use.
type MemNetwork struct {
	mu    sync.Mutex // protects what is below
	links map[netip.AddrPort]*memLink
	conns map[*memConn]struct{} // the diallers' ends
	next  uint16
	path  func(from, to netip.AddrPort) (time.Duration, bool)
}

const (
	memDatagrams = 4096      // queued for one receiver
	memBacklog   = 128       // connections not yet accepted
	memBuffer    = 256 << 10 // bytes of one direction of a connection
	memFirstPort = 20000
	// memRetry is how soon a connection tries again what did not get through:
	// the least that TCP waits with a retransmission.
	memRetry = 200 * time.Millisecond
)

// NewMemNetwork makes a network without nodes.
func NewMemNetwork() *MemNetwork {
	return &MemNetwork{links: make(map[netip.AddrPort]*memLink), conns: make(map[*memConn]struct{}), next: memFirstPort}
}

// SetPath decides the fate of what goes from one address to another from now
// on: its delay, and whether it arrives at all. It is asked for each datagram,
// each write to a connection, and each end of one. A datagram that does not
// arrive is lost, and one with a shorter delay overtakes others. A connection
// keeps its order and loses nothing: as TCP makes it, a write waits until it gets
// through, and so does the news that the other end was closed. A dial needs the
// path both ways, and fails at its deadline. path must not call the network; nil
// lets everything through at once.
func (n *MemNetwork) SetPath(path func(from, to netip.AddrPort) (time.Duration, bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.path = path
}

func (n *MemNetwork) fate(from, to netip.AddrPort) (time.Duration, bool) {
	n.mu.Lock()
	path := n.path
	n.mu.Unlock()
	if path == nil {
		return 0, true
	}
	return path(from, to)
}

// Reset breaks the open connections of the pairs of addresses that it is told.
func (n *MemNetwork) Reset(pair func(dialler, listener netip.AddrPort) bool) {
	n.mu.Lock()
	var broken []*memConn
	for c := range n.conns {
		if pair(c.local, c.remote) {
			broken = append(broken, c)
			delete(n.conns, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		for _, p := range []*memPipe{c.in, c.out} {
			p.close(syscall.ECONNRESET, syscall.ECONNRESET)
		}
	}
}

// Listen implements Network.
func (n *MemNetwork) Listen(bind netip.AddrPort) (Link, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for bind.Port() == 0 {
		n.next = max(n.next+1, memFirstPort) // past 65535 it begins again
		if candidate := netip.AddrPortFrom(bind.Addr(), n.next); n.links[candidate] == nil {
			bind = candidate
		}
	}
	if n.links[bind] != nil {
		return nil, fmt.Errorf("listen on %s: %w", bind, syscall.EADDRINUSE)
	}
	l := &memLink{
		net: n, addr: bind, done: make(chan struct{}),
		datagrams: make(chan memDatagram, memDatagrams), backlog: make(chan net.Conn, memBacklog),
	}
	n.links[bind] = l
	return l, nil
}

func (n *MemNetwork) link(at netip.AddrPort) *memLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[at]
}

type memDatagram struct {
	from netip.AddrPort
	b    []byte
}

type memLink struct {
	net       *MemNetwork
	addr      netip.AddrPort
	datagrams chan memDatagram
	backlog   chan net.Conn
	once      sync.Once
	done      chan struct{}
}

func (l *memLink) Addr() netip.AddrPort { return l.addr }

func (l *memLink) ReadFrom(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-l.datagrams:
		return copy(b, d.b), d.from, nil
	case <-l.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (l *memLink) WriteTo(b []byte, to netip.AddrPort) error {
	delay, ok := l.net.fate(l.addr, to)
	peer := l.net.link(to)
	if !ok || peer == nil {
		return nil
	}
	d := memDatagram{from: l.addr, b: append([]byte(nil), b...)}
	deliver := func() {
		select {
		case peer.datagrams <- d:
		default:
		}
	}
	if delay > 0 {
		time.AfterFunc(delay, deliver)
	} else {
		deliver()
	}
	return nil
}

func (l *memLink) Accept() (net.Conn, error) {
	select {
	case conn := <-l.backlog:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memLink) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	for {
		_, there := l.net.fate(l.addr, to)
		_, back := l.net.fate(to, l.addr)
		if there && back {
			break
		}
		select {
		case <-time.After(memRetry):
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: %w", to, ctx.Err())
		}
	}
	peer := l.net.link(to)
	if peer == nil {
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	}
	there, back := newMemPipe(), newMemPipe()
	ours := &memConn{net: l.net, local: l.addr, remote: to, in: back, out: there}
	theirs := &memConn{net: l.net, local: to, remote: l.addr, in: there, out: back}
	select {
	case peer.backlog <- theirs:
		select {
		case <-peer.done: // nobody accepts it any more
			theirs.Close()
		default:
		}
		l.net.mu.Lock()
		l.net.conns[ours] = struct{}{}
		l.net.mu.Unlock()
		return ours, nil
	case <-peer.done:
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", to, ctx.Err())
	}
}

func (l *memLink) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.links, l.addr)
		l.net.mu.Unlock()
		close(l.done)
		for {
			select {
			case conn := <-l.backlog:
				conn.Close()
				continue
			default:
			}
			break
		}
	})
	return nil
}
