package gossip

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Streams keeps one stream open to each peer that it is told of, and accepts
// those that peers open.
//
// There is one stream for a pair of nodes. The node with the lower origin dials
// at once, the other only after DialAfter without a stream, so that two nodes
// of which only one can reach the other meet too. Where two streams come about
// all the same, the one that the lower origin dialled stays. A peer's later
// start always replaces its earlier one.
type Streams struct {
	port   *Port
	shake  *handshaker
	self   chain.Origin
	serve  func(*Stream)
	log    *slog.Logger
	meters *Meters
	report *reporter
	maxAge time.Duration

	begun      atomic.Bool   // streams may open
	settled    atomic.Bool   // no twin can turn up any more
	handshakes chan struct{} // a place for each handshake with a dialler
	dials      chan struct{} // a place for each dial
	ctx        context.Context
	stop       context.CancelFunc
	wg         sync.WaitGroup

	mu     sync.Mutex // protects what is below
	closed bool
	open   map[chain.Origin]*Stream
	peers  map[chain.Origin]*keeper
}

// StreamsOptions are what streams need.
type StreamsOptions struct {
	Port  *Port
	Key   ed25519.PrivateKey // the node's chain key: its identity
	Ring  MeshKeys
	Epoch uint64 // of this start; a later start of the node has a higher one
	// Serve is called in a goroutine of its own for each stream that opens. The
	// stream is closed when it returns, and it must return soon after the
	// stream is closed. For one peer it is never called again before it has
	// returned.
	Serve  func(*Stream)
	Logger *slog.Logger // never nil
	Meters *Meters      // never nil

	report *reporter
}

const (
	// DialAfter is how long the node with the higher origin waits for the other
	// one to dial.
	DialAfter = time.Second
	// The delay before a dial grows from dialLeast to dialMost while dials
	// fail. It is jittered by half, so that nodes that lost each other together
	// do not come back together.
	dialLeast = 50 * time.Millisecond
	dialMost  = 5 * time.Second
	// steadyAfter is the age from which a stream's end begins the delays anew.
	steadyAfter = 5 * time.Second

	maxHandshakes = 64
	maxDials      = 16
	// maxStreams bounds the streams that peers may open, maxStrangers those of
	// them that come from nodes which membership has not told of (yet).
	maxStreams   = 4096
	maxStrangers = 64

	// streamAge is when a stream is opened anew, give or take a quarter: its
	// session keys wear out (RFC 8446, section 5.5), and a mesh key that was
	// taken out of the ring no longer holds a stream open.
	streamAge = 12 * time.Hour
)

// StreamPeer is a node to keep a stream to.
type StreamPeer struct {
	Origin chain.Origin
	Epoch  uint64
	Addr   netip.AddrPort // of its port
}

// NewStreams starts accepting. Close ends it.
func NewStreams(o StreamsOptions) (*Streams, error) {
	shake, err := newHandshaker(o.Key, o.Ring, o.Epoch)
	if err != nil {
		return nil, err
	}
	if o.report == nil {
		o.report = newReporter(o.Logger, o.Meters)
	}
	s := &Streams{
		port: o.Port, shake: shake, self: shake.origin, serve: o.Serve, log: o.Logger, meters: o.Meters, report: o.report,
		maxAge: streamAge, handshakes: make(chan struct{}, maxHandshakes), dials: make(chan struct{}, maxDials),
		open: make(map[chain.Origin]*Stream), peers: make(map[chain.Origin]*keeper),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Begin lets streams open. It is called once no twin of this node was found, for
// a twin's streams would take the place of those of the first.
func (s *Streams) Begin() { s.begun.Store(true) }

// Settle says that this node has been here for so long that a twin can only be a
// later one: whoever probes it is told so.
func (s *Streams) Settle() { s.settled.Store(true) }

// Close closes all streams and returns once every Serve has. It may be called
// more than once. The port is not closed.
func (s *Streams) Close() error {
	s.mu.Lock()
	s.closed = true
	open := make([]*Stream, 0, len(s.open))
	for _, st := range s.open {
		open = append(open, st)
	}
	s.mu.Unlock()
	s.stop()
	for _, st := range open {
		st.Close()
	}
	s.wg.Wait()
	return nil
}

// Stream returns the open stream to a peer, or nil.
func (s *Streams) Stream(peer chain.Origin) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[peer]
}

func (s *Streams) accept() {
	for {
		select {
		case conn := <-s.port.StreamConns():
			select {
			case s.handshakes <- struct{}{}:
				s.wg.Go(func() {
					s.welcome(conn)
				})
			default:
				s.report.report(ReasonBusy, conn.RemoteAddr().String(), errors.New("too many handshakes at once"))
				conn.Close()
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// welcome does the accepting end's handshake and serves the stream.
func (s *Streams) welcome(conn net.Conn) {
	addr := conn.RemoteAddr().String()
	ctx, cancel := context.WithTimeout(s.ctx, handshakeWait)
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	shaken, purpose, err := s.shake.accepted(ctx, conn, func(sh shaken, purpose byte) (verdict, flags byte) {
		if s.settled.Load() {
			flags = flagSettled
		}
		if purpose == purposeProbe {
			return verdictWelcome, flags
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.judge(sh, false), flags
	})
	stop()
	cancel()
	<-s.handshakes
	switch {
	case err != nil:
		if s.ctx.Err() == nil {
			s.report.report(reasonOf(err, ReasonHandshake), addr, err)
		}
	case purpose == purposeProbe:
		conn.Close()
	default:
		st, old, err := s.admit(shaken, false)
		if err != nil {
			s.report.report(reasonOf(err, ReasonLost), addr, err)
			return
		}
		s.serveStream(st, old)
	}
}

// judge decides about a new stream. The lock is held.
func (s *Streams) judge(sh shaken, dialled bool) (verdict byte) {
	if s.closed {
		return verdictClosing
	}
	if sh.origin == s.self {
		if sh.epoch == s.shake.epoch {
			return verdictSelf
		}
		return verdictTwin
	}
	if !s.begun.Load() {
		return verdictStarting
	}
	old := s.open[sh.origin]
	if old == nil {
		return s.room(sh.origin, dialled)
	}
	lower := s.self.Compare(sh.origin) < 0
	switch {
	case sh.epoch < old.epoch:
		return verdictStale
	case sh.epoch > old.epoch:
		return verdictWelcome
	case dialled != lower && old.dialled == lower && time.Since(old.opened) < handshakeWait:
		// The new one was dialled by the higher origin, the old one by the
		// lower, and both may have been on their way at once. An older one
		// stands in the way of nothing: the peer dialled because it lost it.
		return verdictDuplicate
	}
	return verdictWelcome
}

// room applies the limits. The lock is held.
func (s *Streams) room(peer chain.Origin, dialled bool) (verdict byte) {
	if dialled || s.peers[peer] != nil {
		if len(s.open) >= maxStreams {
			return verdictBusy
		}
		return verdictWelcome
	}
	strangers := 0
	for origin := range s.open {
		if s.peers[origin] == nil {
			strangers++
		}
	}
	if strangers >= maxStrangers || len(s.open) >= maxStreams {
		return verdictBusy
	}
	return verdictWelcome
}

// admit makes a stream of a connection, unless there is no place for it. Its
// serveStream must follow.
func (s *Streams) admit(sh shaken, dialled bool) (st, old *Stream, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if verdict := s.judge(sh, dialled); verdict != verdictWelcome {
		sh.conn.NetConn().Close()
		return nil, nil, refusalFailure(verdict)
	}
	st, old = newStream(sh, dialled), s.open[sh.origin]
	s.open[sh.origin] = st
	if k := s.peers[sh.origin]; k != nil {
		k.poke()
	}
	s.meters.streamOpened(dialled)
	return st, old, nil
}

// serveStream serves an admitted stream to its end, once the one whose place it
// took has ended.
func (s *Streams) serveStream(st, old *Stream) {
	defer close(st.served)
	if old != nil {
		_ = old.fail(ReasonSuperseded, errors.New("a newer stream to the same peer"))
		<-old.served
	}
	if st.dialled {
		age := s.maxAge*3/4 + rand.N(s.maxAge/2)
		timer := time.AfterFunc(age, func() { _ = st.fail(ReasonExpired, errors.New("opened anew")) })
		defer timer.Stop()
	}
	s.log.Debug("stream opened", "peer", st.peer, "peer_addr", st.RemoteAddr().String(), "dialled", st.dialled)
	s.serve(st)
	st.Close()

	s.mu.Lock()
	if s.open[st.peer] == st {
		delete(s.open, st.peer)
	}
	if k := s.peers[st.peer]; k != nil {
		k.poke()
	}
	s.mu.Unlock()
	s.meters.open.Add(-1)
	if s.ctx.Err() == nil {
		s.report.report(reasonOf(st.Err(), ReasonLost), st.RemoteAddr().String(), st.Err())
	}
}
