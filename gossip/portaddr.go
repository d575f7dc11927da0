package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// resolveHostPort reads HOST:PORT, where the host may be a name.
func resolveHostPort(ctx context.Context, s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
	}
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want HOST:PORT: %w", s, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want a port from 0 to 65535", s)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
	}
	if len(ips) == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q: the name has no address", s)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// advertised chooses what peers are told.
func advertised(bound, asked netip.AddrPort) (netip.AddrPort, error) {
	switch {
	case asked.IsValid() && asked.Port() != 0:
		return asked, nil
	case asked.IsValid():
		return netip.AddrPortFrom(asked.Addr(), bound.Port()), nil
	case !bound.Addr().IsUnspecified():
		return bound, nil
	}
	ifAddrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find an address to advertise: %w", err)
	}
	var best netip.Addr
	for _, a := range ifAddrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := prefix.Addr().Unmap()
		if !ip.IsGlobalUnicast() || bound.Addr().Is4() && !ip.Is4() {
			continue
		}
		if !best.IsValid() || rankAdvertised(ip) < rankAdvertised(best) {
			best = ip
		}
	}
	if !best.IsValid() {
		return netip.AddrPort{}, errors.New("no interface has an address to advertise: give one")
	}
	return netip.AddrPortFrom(best, bound.Port()), nil
}

func rankAdvertised(ip netip.Addr) int {
	rank := 0
	if !ip.IsPrivate() {
		rank += 2
	}
	if !ip.Is4() {
		rank++
	}
	return rank
}
