package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Network opens links. NetNetwork is the machine's own; MemNetwork connects
// nodes of one process without sockets.
type Network interface {
	// Listen opens a link at an address; port 0 picks a free one.
	Listen(bind netip.AddrPort) (Link, error)
}

// Link carries one node's datagrams and connections at one address. All methods
// are safe for concurrent use. It is memberlist's Transport reduced to what a
// network has to do; the Port does the rest.
type Link interface {
	// Addr is the address that was bound, with its final port.
	Addr() netip.AddrPort
	// ReadFrom waits for a datagram. After Close it returns net.ErrClosed; any
	// other error concerns one datagram only.
	ReadFrom(b []byte) (int, netip.AddrPort, error)
	// WriteTo sends a datagram, which may get lost. It does not wait.
	WriteTo(b []byte, to netip.AddrPort) error
	// Accept waits for a connection. After Close it returns net.ErrClosed; any
	// other error is passing.
	Accept() (net.Conn, error)
	// Dial connects to another link.
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Close ends ReadFrom and Accept. Connections stay open.
	Close() error
}

// NetNetwork is TCP and UDP of this machine.
type NetNetwork struct{}

const (
	// portAttempts bounds the search for a port that is free for TCP and UDP.
	portAttempts = 16
	// datagramBuffer holds the bursts in which membership sends.
	datagramBuffer = 2 << 20
	// sendAgainMost bounds how long TCP waits before it sends again what had no
	// answer, where the system takes a bound (boundBackoff). With as many attempts
	// as Linux makes (net.ipv4.tcp_retries2 is 15) it then gives a connection up after
	// 15 s, as StreamIdle does. Where an answer takes longer than this all is sent twice.
	sendAgainMost = time.Second
	// unansweredMost is after how long without an answer to what it sent a
	// connection is given up, where the system takes only that. A peer that
	// reads nothing for so long, and lets more pile up than its machine takes
	// for it, is given up with those that are cut off.
	unansweredMost = 5 * time.Second
)

// Listen binds TCP and UDP to one port.
func (NetNetwork) Listen(bind netip.AddrPort) (Link, error) {
	attempts := 1
	if bind.Port() == 0 {
		// The kernel picks a port that is free for TCP; UDP's may be taken.
		attempts = portAttempts
	}
	var err error
	for range attempts {
		var l *netLink
		if l, err = listenBoth(bind); err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

func listenBoth(bind netip.AddrPort) (*netLink, error) {
	// Told the family, "0.0.0.0" does not also mean every IPv6 address.
	family := "6"
	switch {
	case bind.Addr().Is4():
		family = "4"
	case bind.Addr() == netip.IPv6Unspecified():
		family = ""
	}
	tcp, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(bind))
	if err != nil {
		return nil, fmt.Errorf("listen for connections: %w", err)
	}
	bound := netip.AddrPortFrom(bind.Addr(), tcp.Addr().(*net.TCPAddr).AddrPort().Port())
	udp, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(bound))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for datagrams: %w", err), tcp.Close())
	}
	// A smaller buffer than asked for is no reason not to start.
	for size := datagramBuffer; size > 0 && udp.SetReadBuffer(size) != nil; size /= 2 {
	}
	return &netLink{tcp: tcp, udp: udp, addr: bound}, nil
}

type netLink struct {
	tcp  *net.TCPListener
	udp  *net.UDPConn
	addr netip.AddrPort
}

func (l *netLink) Addr() netip.AddrPort { return l.addr }

func (l *netLink) ReadFrom(b []byte) (int, netip.AddrPort, error) {
	n, from, err := l.udp.ReadFromUDPAddrPort(b)
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

func (l *netLink) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := l.udp.WriteToUDPAddrPort(b, to)
	return err
}

// Accept sets the options on each connection: a listener for multipath TCP, as
// Go's is where the system has that, refuses them.
func (l *netLink) Accept() (net.Conn, error) {
	conn, err := l.tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	if raw, err := conn.SyscallConn(); err == nil {
		boundBackoff(raw)
	}
	return conn, nil
}

func (l *netLink) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		boundBackoff(raw)
		return nil
	}}
	return d.DialContext(ctx, "tcp", to.String())
}

func (l *netLink) Close() error { return errors.Join(l.tcp.Close(), l.udp.Close()) }
