package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// keeper keeps the stream to one peer open.
type keeper struct {
	cancel context.CancelFunc
	peer   StreamPeer    // protected by Streams.mu
	wake   chan struct{} // one place: something about the peer has changed
}

// poke lets the keeper look again.
func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// SetPeers says to which nodes streams are to be kept from now on; this node
// itself is passed over. Streams to others are not dialled any more, but those
// that are open stay until they end.
func (s *Streams) SetPeers(peers []StreamPeer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	wanted := make(map[chain.Origin]bool, len(peers))
	for _, p := range peers {
		if p.Origin == s.self {
			continue
		}
		wanted[p.Origin] = true
		k := s.peers[p.Origin]
		if k == nil {
			k = &keeper{peer: p, wake: make(chan struct{}, 1)}
			var ctx context.Context
			ctx, k.cancel = context.WithCancel(s.ctx)
			s.peers[p.Origin] = k
			s.wg.Go(func() { s.keep(ctx, k) })
		} else if k.peer != p {
			k.peer = p
			k.poke()
		}
	}
	for origin, k := range s.peers {
		if !wanted[origin] {
			k.cancel()
			delete(s.peers, origin)
		}
	}
}

// current returns a keeper's peer and the stream to it. One to an earlier start
// does not count, for its machine may have died without a word to this one. It
// stays until the later start has proved to be the peer: membership only says.
func (s *Streams) current(k *keeper) (StreamPeer, *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open[k.peer.Origin]
	if open != nil && open.epoch < k.peer.Epoch {
		open = nil
	}
	return k.peer, open
}

// keep dials whenever there is no stream.
func (s *Streams) keep(ctx context.Context, k *keeper) {
	defer k.cancel()
	peer, _ := s.current(k)
	lower := s.self.Compare(peer.Origin) < 0 // the origin never changes
	failed := 0
	first := true
	for ctx.Err() == nil {
		peer, open := s.current(k)
		if open != nil {
			select {
			case <-open.served:
				if time.Since(open.opened) > steadyAfter {
					failed = 0
				}
				first = false
			case <-k.wake:
			case <-ctx.Done():
			}
			continue
		}
		var delay time.Duration
		if !first {
			delay = dialDelay(failed)
		}
		if !lower {
			delay = max(delay, DialAfter)
		}
		if !s.waitToDial(ctx, k, peer, delay) {
			continue // there is a stream, another address, or an end
		}
		first = false
		failed++
		if err := s.openStream(ctx, peer); err != nil && ctx.Err() == nil {
			s.report.report(reasonOf(err, ReasonUnreachable), peer.Addr.String(), err)
		}
	}
}

// waitToDial reports whether the delay has passed with nothing changed.
func (s *Streams) waitToDial(ctx context.Context, k *keeper, peer StreamPeer, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case <-k.wake:
			if now, open := s.current(k); now != peer || open != nil {
				return false
			}
		}
	}
}

// dialDelay is jittered, from half to the whole of a delay that doubles.
func dialDelay(failed int) time.Duration {
	d := dialMost
	if failed < 8 {
		d = min(dialLeast<<failed, dialMost)
	}
	return d/2 + rand.N(d/2)
}

// openStream dials a peer and leaves the stream to a goroutine of its own.
func (s *Streams) openStream(ctx context.Context, peer StreamPeer) error {
	sh, err := s.dial(ctx, peer.Addr, purposeStream)
	if err != nil {
		return err
	}
	if sh.origin != peer.Origin {
		sh.conn.NetConn().Close()
		return streamFailure(ReasonIdentity, "node %s answers in place of %s", sh.origin, peer.Origin)
	}
	if sh.epoch < peer.Epoch {
		sh.conn.NetConn().Close()
		return streamFailure(ReasonStale, "an earlier start of %s answers", peer.Origin)
	}
	st, old, err := s.admit(sh, true)
	if err != nil {
		return err
	}
	s.wg.Go(func() { s.serveStream(st, old) })
	return nil
}

func (s *Streams) dial(ctx context.Context, addr netip.AddrPort, purpose byte) (shaken, error) {
	select {
	case s.dials <- struct{}{}:
		defer func() { <-s.dials }()
	case <-ctx.Done():
		return shaken{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	conn, err := s.port.DialStream(ctx, addr)
	if err != nil {
		return shaken{}, &StreamError{Reason: ReasonUnreachable, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	return s.shake.dialled(ctx, conn, purpose)
}

// Answer is who answers at an address.
type Answer struct {
	Origin chain.Origin
	Epoch  uint64
	// Settled says that the node has been here for a while: see Streams.Settle.
	Settled bool
}

// Probe asks who is at an address, without opening a stream.
func (s *Streams) Probe(ctx context.Context, addr netip.AddrPort) (Answer, error) {
	sh, err := s.dial(ctx, addr, purposeProbe)
	if err != nil {
		return Answer{}, err
	}
	sh.conn.NetConn().Close()
	return Answer{Origin: sh.origin, Epoch: sh.epoch, Settled: sh.settled}, nil
}
