package node

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// others are the addresses of Join that are not plainly this node's own: all
// nodes of a mesh may be given one list, and who finds but itself there was
// told to join nobody. A name is taken as it is written, for it may stand for
// others too.
func (c *Config) others() []string {
	return slices.DeleteFunc(slices.Clone(c.Join), func(peer string) bool {
		return reaches(peer, c.Bind) || reaches(peer, c.Advertise)
	})
}

// reaches reports whether host:port is what listens at an address, or is told
// to be there. An address without a host is every one of this machine.
func reaches(peer, listens string) bool {
	peerHost, peerPort, err := net.SplitHostPort(peer)
	if err != nil {
		return false
	}
	host, port, err := net.SplitHostPort(listens)
	if err != nil || port != peerPort {
		return false
	}
	if strings.EqualFold(peerHost, host) {
		return true
	}
	p, l := ipOf(peerHost), ipOf(host)
	if host == "" || l.IsUnspecified() {
		return p.IsLoopback() || p.IsUnspecified()
	}
	return p.IsValid() && p == l
}

// ipOf is the address that a host is, invalid for a name.
func ipOf(host string) netip.Addr {
	if strings.EqualFold(host, "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}
