package gossip

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// FinalAdvertiseAddr implements memberlist.Transport. Both its arguments come
// from the memberlist configuration, which leaves the matter to the port.
func (p *Port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return p.advertise.Addr().AsSlice(), int(p.advertise.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (p *Port) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	err = p.link.WriteTo(b, to)
	if err == nil {
		p.meters.addBytes(trafficDatagram, directionOut, len(b))
	}
	return time.Now(), err
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (p *Port) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, a.Addr)
}

// PacketCh implements memberlist.Transport.
func (p *Port) PacketCh() <-chan *memberlist.Packet { return p.packets }

// StreamCh implements memberlist.Transport: membership's own connections.
func (p *Port) StreamCh() <-chan net.Conn { return p.conns }

// DialTimeout implements memberlist.Transport.
func (p *Port) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	return p.dial(ctx, to, trafficMembership)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (p *Port) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return p.DialTimeout(a.Addr, timeout)
}
