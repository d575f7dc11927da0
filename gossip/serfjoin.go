package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// joiner meets the nodes that this one was told of and those that it remembers:
// again and again until one is met, and after that, seldom, those that are not
// members, so that two halves of a mesh that started apart find each other.
type joiner struct {
	m    *Membership
	told []string
	self netip.AddrPort
	last time.Time // of a log line
}

const (
	joinLeast = 100 * time.Millisecond
	joinMost  = 5 * time.Second
	// joinAgain is how often nodes that are not members are tried once some
	// other is met.
	joinAgain = 30 * time.Second
	// joinSideBySide bounds the nodes that are asked at once: remembered ones
	// may be gone, and each then takes a whole timeout.
	joinSideBySide = 8
	joinResolve    = 5 * time.Second
)

func newJoiner(m *Membership, told []string, self netip.AddrPort) (*joiner, error) {
	for _, s := range told {
		host, port, err := net.SplitHostPort(s)
		if err != nil || host == "" {
			return nil, fmt.Errorf("join address %q: want HOST:PORT", s)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("join address %q: want a port from 1 to 65535", s)
		}
	}
	return &joiner{m: m, told: slices.Clone(told), self: self}, nil
}

func (j *joiner) run(ctx context.Context) {
	for failed := 0; ; failed++ {
		targets, err := j.targets(ctx)
		if len(targets) > 0 {
			err = errors.Join(err, j.ask(ctx, targets))
		}
		if ctx.Err() != nil {
			return
		}
		delay := min(joinLeast<<min(failed, 10), joinMost)
		select {
		case <-j.m.met:
			delay = joinAgain
		default:
			// One that was just asked without an error is met in a moment.
			if (err != nil || failed > 0) && len(j.told)+len(targets) > 0 && time.Since(j.last) >= reportEvery {
				j.last = time.Now()
				j.m.log.Warn("no other node met yet; trying on", "tried", len(targets), "error", oneLine(err))
			}
		}
		select {
		case <-time.After(delay/2 + rand.N(delay/2)):
		case <-ctx.Done():
			return
		}
	}
}

// oneLine is what an error says without its line breaks, of which memberlist makes a
// list.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// targets are the addresses that no living member has.
func (j *joiner) targets(ctx context.Context) ([]netip.AddrPort, error) {
	members, remembered := j.m.known()
	taken := map[netip.AddrPort]bool{j.self: true}
	for _, m := range members {
		if m.Status == StatusAlive {
			taken[m.Addr] = true
		}
	}
	var targets []netip.AddrPort
	add := func(addr netip.AddrPort) {
		if !taken[addr] {
			taken[addr] = true
			targets = append(targets, addr)
		}
	}
	var errs []error
	for _, s := range j.told {
		addrs, err := resolveAll(ctx, s)
		if err != nil {
			errs = append(errs, err)
		}
		for _, addr := range addrs {
			add(addr)
		}
	}
	rand.Shuffle(len(remembered), func(a, b int) { remembered[a], remembered[b] = remembered[b], remembered[a] })
	for _, addr := range remembered {
		add(addr)
	}
	return targets, errors.Join(errs...)
}

// ask exchanges members with each target. It asks memberlist, for serf's own
// Join asks one after the other; what that adds is a remark that a node which
// had left is back, and no start of a node ever comes back.
func (j *joiner) ask(ctx context.Context, targets []netip.AddrPort) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	j.m.asking.Store(true)
	answered := func() {
		j.m.asking.Store(false)
		j.m.look()
	}
	defer answered()
	places := make(chan struct{}, joinSideBySide)
	for _, addr := range targets {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-places }()
			if _, err := j.m.serf.Memberlist().Join([]string{addr.String()}); err != nil {
				mu.Lock()
				failed = err // one of them tells enough
				mu.Unlock()
				return
			}
			answered()
		})
	}
	wg.Wait()
	return failed
}

// known returns the members and the addresses remembered from earlier starts.
func (m *Membership) known() ([]Member, []netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	addrs := make([]netip.AddrPort, 0, len(m.file.Members))
	for _, r := range m.file.Members {
		addrs = append(addrs, r.Addr)
	}
	return slices.Clone(m.members), addrs
}

// resolveAll gives all addresses of HOST:PORT: a name may stand for many nodes.
func resolveAll(ctx context.Context, s string) ([]netip.AddrPort, error) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
	}
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinResolve)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, err
}
