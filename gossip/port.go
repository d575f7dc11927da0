package gossip

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Port is the one port of a node: membership's datagrams and connections, and
// the streams, told apart by the first byte of a connection. It is memberlist's
// Transport, and the streams' listener and dialler.
//
// It owns every connection through it until that is closed: Shutdown closes
// them all and returns when nothing of the port runs any more.
type Port struct {
	link      Link
	advertise netip.AddrPort
	meters    *Meters
	report    *reporter

	packets chan *memberlist.Packet
	conns   chan net.Conn // membership's
	streams chan net.Conn // first byte read back in

	ctx  context.Context // ends with Shutdown
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // protects what is below
	closed bool
	open   map[net.Conn]struct{} // membership's and those not told apart yet
	silent *list.List            // of net.Conn: no first byte yet, the oldest first
}

var _ memberlist.NodeAwareTransport = (*Port)(nil)

// PortOptions say where a port is.
type PortOptions struct {
	// Bind is HOST:PORT to listen on; port 0 picks a free one. A name is
	// resolved once and its first address taken.
	Bind string
	// Advertise is HOST:PORT that peers reach this node at; empty is the bound
	// address, or where that is unspecified (0.0.0.0, ::) an address of this
	// machine's interfaces, a private one first. Port 0 is the bound port.
	Advertise string
	// Network is where to listen; nil is this machine's TCP and UDP.
	Network Network
	Logger  *slog.Logger // never nil
	Meters  *Meters      // never nil

	report *reporter
}

const (
	// firstByteWait is how long a connection may take to send its first byte:
	// less than any handshake's bound, many times a round trip.
	firstByteWait = 5 * time.Second
	// maxSilent bounds the connections that have sent nothing. Past it the
	// oldest is closed, so that an honest peer, which sends at once, is served
	// while somebody holds connections open.
	maxSilent = 256
	// acceptPause keeps an accept that fails again and again (no file
	// descriptors left) from taking a core.
	acceptPause = 50 * time.Millisecond

	// tlsRecordHandshake begins a TLS ClientHello, memberlistLabel everything
	// of a memberlist that has a label, which ours has.
	tlsRecordHandshake = 0x16
	memberlistLabel    = 244
)

// OpenPort listens. The caller must call Shutdown, unless it hands the port to
// a serf instance, which does so itself.
func OpenPort(ctx context.Context, o PortOptions) (*Port, error) {
	if o.Network == nil {
		o.Network = NetNetwork{}
	}
	if o.report == nil {
		o.report = newReporter(o.Logger, o.Meters)
	}
	bind, err := resolveHostPort(ctx, o.Bind)
	if err != nil {
		return nil, fmt.Errorf("bind address: %w", err)
	}
	var advertise netip.AddrPort
	if o.Advertise != "" {
		if advertise, err = resolveHostPort(ctx, o.Advertise); err != nil {
			return nil, fmt.Errorf("advertised address: %w", err)
		}
		if advertise.Addr().IsUnspecified() {
			return nil, fmt.Errorf("advertised address %q: no peer can reach an unspecified address", o.Advertise)
		}
	}
	link, err := o.Network.Listen(bind)
	if err != nil {
		return nil, err
	}
	p := &Port{
		link: link, meters: o.Meters, report: o.report,
		packets: make(chan *memberlist.Packet), conns: make(chan net.Conn), streams: make(chan net.Conn),
		open: make(map[net.Conn]struct{}), silent: list.New(),
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if p.advertise, err = advertised(link.Addr(), advertise); err != nil {
		return nil, errors.Join(err, link.Close())
	}
	p.wg.Go(p.readPackets)
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the address that was bound.
func (p *Port) Addr() netip.AddrPort { return p.link.Addr() }

// AdvertiseAddr is the address that peers are told.
func (p *Port) AdvertiseAddr() netip.AddrPort { return p.advertise }

// readPackets copies each datagram to a slice of its size. (memberlist's own
// transport allocates 64 KiB for each, most of an idle node's garbage.)
func (p *Port) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.link.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 {
			continue
		}
		now := time.Now()
		p.meters.addBytes(trafficDatagram, directionIn, n)
		packet := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: net.UDPAddrFromAddrPort(from), Timestamp: now}
		select {
		case p.packets <- packet:
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *Port) accept() {
	for {
		conn, err := p.link.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-time.After(acceptPause):
				continue
			case <-p.ctx.Done():
				return
			}
		}
		entry := p.addSilent(conn)
		if entry == nil {
			conn.Close()
			return
		}
		p.wg.Go(func() { p.route(conn, entry) })
	}
}

// addSilent tracks a new connection; nil means that the port is shut down.
func (p *Port) addSilent(conn net.Conn) *list.Element {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if p.silent.Len() >= maxSilent {
		// Its route returns with an error, and counts it.
		p.silent.Front().Value.(net.Conn).Close()
		p.silent.Remove(p.silent.Front())
	}
	p.open[conn] = struct{}{}
	return p.silent.PushBack(conn)
}

// route reads the first byte of a connection, no more, and hands it on.
func (p *Port) route(conn net.Conn, entry *list.Element) {
	var first [1]byte
	err := conn.SetReadDeadline(time.Now().Add(firstByteWait))
	if err == nil {
		_, err = conn.Read(first[:])
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	p.mu.Lock()
	p.silent.Remove(entry)
	p.mu.Unlock()
	peer := conn.RemoteAddr().String()
	if err != nil {
		p.forget(conn)
		select {
		case <-p.ctx.Done():
		default:
			p.report.report(ReasonSilent, peer, fmt.Errorf("read the first byte: %w", err))
		}
		return
	}
	switch b := first[0]; {
	case b == tlsRecordHandshake:
		counted := &portConn{Conn: conn, port: p, kind: trafficStream, first: first[:]}
		p.hand(p.streams, counted)
	case b == memberlistLabel:
		counted := &portConn{Conn: conn, port: p, kind: trafficMembership, first: first[:]}
		p.hand(p.conns, counted)
	default:
		p.report.report(ReasonGarbage, peer, fmt.Errorf("a connection begins with byte 0x%02x", b))
		p.forget(conn)
	}
}

func (p *Port) hand(to chan<- net.Conn, conn net.Conn) {
	select {
	case to <- conn:
	case <-p.ctx.Done():
		conn.Close()
	}
}

// track takes charge of a connection; it closes it and says no after Shutdown.
func (p *Port) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *Port) forget(conn net.Conn) error {
	p.mu.Lock()
	delete(p.open, conn)
	p.mu.Unlock()
	return conn.Close()
}

// StreamConns gives the connections that begin a TLS handshake.
func (p *Port) StreamConns() <-chan net.Conn { return p.streams }

// DialStream connects to a peer's port for a stream.
func (p *Port) DialStream(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return p.dial(ctx, to, trafficStream)
}

func (p *Port) dial(ctx context.Context, to netip.AddrPort, kind int) (net.Conn, error) {
	conn, err := p.link.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	if !p.track(conn) {
		return nil, net.ErrClosed
	}
	return &portConn{Conn: conn, port: p, kind: kind}, nil
}

// Shutdown implements memberlist.Transport: it stops listening, closes every
// connection of membership and every stream, and waits for what the port runs. It may
// be called more than once. What was read and not yet taken is dropped.
func (p *Port) Shutdown() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.wg.Wait()
		return nil
	}
	p.closed = true
	open := make([]net.Conn, 0, len(p.open))
	for conn := range p.open {
		open = append(open, conn)
	}
	p.mu.Unlock()

	p.stop()
	err := p.link.Close()
	for _, conn := range open {
		conn.Close()
	}
	p.wg.Wait()
	return err
}

// portConn gives back the byte that route took, counts, and tells the port when
// it is closed. Close may be called by several at once.
type portConn struct {
	net.Conn
	port  *Port
	kind  int
	first []byte // only touched by Read, which one goroutine calls
}

func (c *portConn) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		c.port.meters.addBytes(c.kind, directionIn, n)
		return n, nil
	}
	n, err := c.Conn.Read(b)
	c.port.meters.addBytes(c.kind, directionIn, n)
	return n, err
}

func (c *portConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.port.meters.addBytes(c.kind, directionOut, n)
	return n, err
}

func (c *portConn) Close() error { return c.port.forget(c.Conn) }
