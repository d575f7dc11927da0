package gossip

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// streamsKeys are n chain keys by ascending origin.
func streamsKeys(t testing.TB, n int) []ed25519.PrivateKey {
	t.Helper()
	keys := make([]ed25519.PrivateKey, 0, n)
	for seed := byte(0); len(keys) < n; seed++ {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
		if len(keys) == 0 || streamsOrigin(keys[len(keys)-1]).Compare(streamsOrigin(key)) < 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

func streamsOrigin(key ed25519.PrivateKey) chain.Origin {
	return chain.OriginOf(key.Public().(ed25519.PublicKey))
}

// streamsNode is a port with streams, on a network of the test's.
type streamsNode struct {
	*Streams
	port   *Port
	meters *Meters
	logs   *streamsLog

	mu   sync.Mutex
	most map[chain.Origin]int // Serve running at once for a peer
	now  map[chain.Origin]int
	got  map[string]int // payloads read
}

// streamsLog collects log lines.
type streamsLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *streamsLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *streamsLog) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

func (l *streamsLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func streamsOpen(t testing.TB, network Network, key ed25519.PrivateKey, change func(*StreamsOptions)) *streamsNode {
	t.Helper()
	n := &streamsNode{
		meters: new(Meters), logs: new(streamsLog),
		most: map[chain.Origin]int{}, now: map[chain.Origin]int{}, got: map[string]int{},
	}
	log := slog.New(slog.NewTextHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelInfo}))
	report := newReporter(log, n.meters)
	var err error
	n.port, err = OpenPort(t.Context(), PortOptions{Bind: "127.0.0.1:0", Network: network, Meters: n.meters, report: report})
	require.NoError(t, err)
	o := StreamsOptions{Port: n.port, Key: key, Epoch: 1, Serve: n.echo, Logger: log, Meters: n.meters, report: report}
	if change != nil {
		change(&o)
	}
	n.Streams, err = NewStreams(o)
	require.NoError(t, err)
	n.Begin()
	return n
}

func (n *streamsNode) shut(t testing.TB) {
	t.Helper()
	require.NoError(t, n.Close())
	require.NoError(t, n.port.Shutdown())
	require.Zero(t, n.meters.StreamsOpen())
}

// echo says who it is each second, and keeps what it hears.
func (n *streamsNode) echo(s *Stream) {
	n.mu.Lock()
	n.now[s.Peer()]++
	n.most[s.Peer()] = max(n.most[s.Peer()], n.now[s.Peer()])
	n.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		for s.WriteFrames([]*OutFrame{NewOutFrame([]byte("from "+n.self.String()), true)}) == nil {
			select {
			case <-time.After(time.Second):
			case <-s.Done():
			}
		}
	})
	var buf []byte
	for {
		var err error
		if buf, err = s.ReadFrame(buf); err != nil {
			break
		}
		n.mu.Lock()
		n.got[string(buf)]++
		n.mu.Unlock()
	}
	wg.Wait()
	n.mu.Lock()
	n.now[s.Peer()]--
	n.mu.Unlock()
}

func (n *streamsNode) heard(from *streamsNode) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got["from "+from.self.String()]
}

func (n *streamsNode) peer() StreamPeer {
	return StreamPeer{Origin: n.self, Epoch: n.shake.epoch, Addr: n.port.Addr()}
}

func streamsBothOpen(a, b *streamsNode) bool {
	x, y := a.Stream(b.self), b.Stream(a.self)
	return x != nil && y != nil && x.dialled != y.dialled
}

func TestStreamsOneForAPair(t *testing.T) {
	keys := streamsKeys(t, 2)
	for _, tc := range []struct {
		name         string
		aKnows       bool // a has the lower origin
		bKnows       bool
		after        time.Duration
		dialledByLow bool
	}{
		{"both can dial", true, true, 100 * time.Millisecond, true},
		{"only the lower can", true, false, 100 * time.Millisecond, true},
		{"only the higher can", false, true, DialAfter + 100*time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemNetwork()
				a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
				defer a.shut(t)
				defer b.shut(t)
				if tc.aKnows {
					a.SetPeers([]StreamPeer{a.peer(), b.peer()})
				}
				if tc.bKnows {
					b.SetPeers([]StreamPeer{a.peer(), b.peer()})
				}
				time.Sleep(tc.after)
				require.True(t, streamsBothOpen(a, b))
				require.Equal(t, tc.dialledByLow, a.Stream(b.self).dialled)
				require.Equal(t, b.shake.dial.Certificates[0].PrivateKey.(ed25519.PrivateKey).Public(), a.Stream(b.self).PeerKey())
				time.Sleep(5 * time.Second)
				dialledA, acceptedA := a.meters.StreamsOpened()
				require.Equal(t, uint64(1), dialledA+acceptedA, "it stays the only one")
				require.GreaterOrEqual(t, a.heard(b), 4)
				require.GreaterOrEqual(t, b.heard(a), 4)
				in, out := a.meters.StreamBytes()
				require.NotZero(t, in)
				require.NotZero(t, out)
			})
		})
	}
}

// Two streams that are opened at the same moment end as one, the one that the
// lower origin dialled, and Serve never runs twice for a peer.
func TestStreamsDialledAtOnce(t *testing.T) {
	keys := streamsKeys(t, 2)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemNetwork()
			a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
			defer a.shut(t)
			defer b.shut(t)
			var wg sync.WaitGroup
			wg.Go(func() { _ = a.openStream(t.Context(), b.peer()) })
			wg.Go(func() { _ = b.openStream(t.Context(), a.peer()) })
			time.Sleep(3 * time.Second)
			require.True(t, streamsBothOpen(a, b))
			require.True(t, a.Stream(b.self).dialled, "the lower origin's stays")
			heard := a.heard(b)
			time.Sleep(3 * time.Second)
			require.Greater(t, a.heard(b), heard)
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
			wg.Wait()
			require.Equal(t, 1, a.most[b.self])
			require.Equal(t, 1, b.most[a.self])
		})
	}
}

func TestStreamsRedialAndRestart(t *testing.T) {
	keys := streamsKeys(t, 2)
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
		defer a.shut(t)
		a.SetPeers([]StreamPeer{b.peer()})
		b.SetPeers([]StreamPeer{a.peer()})
		time.Sleep(100 * time.Millisecond)
		first := a.Stream(b.self)
		require.NotNil(t, first)
		first.Close()
		time.Sleep(dialMost)
		require.True(t, streamsBothOpen(a, b), "dialled again")
		require.NotSame(t, first, a.Stream(b.self))

		// b dies without a word, and starts again elsewhere: nothing of the old
		// connection is ever heard of again.
		old := b.port.Addr()
		network.SetPath(func(from, to netip.AddrPort) (time.Duration, bool) { return 0, from != old && to != old })
		c := streamsOpen(t, network, keys[1], func(o *StreamsOptions) { o.Epoch = 2 })
		defer c.shut(t)
		a.SetPeers([]StreamPeer{c.peer()})
		c.SetPeers([]StreamPeer{a.peer()})
		time.Sleep(time.Second)
		require.True(t, streamsBothOpen(a, c))
		require.Equal(t, uint64(2), a.Stream(c.self).PeerEpoch())

		// The earlier start is refused from now on.
		network.SetPath(nil)
		_, err := b.dial(t.Context(), a.port.Addr(), purposeStream)
		require.Equal(t, ReasonStale, reasonOf(err, reasonCount))
		require.Equal(t, uint64(2), a.Stream(c.self).PeerEpoch())
		b.shut(t)

		// A member that is gone is not dialled any more.
		a.SetPeers(nil)
		c.SetPeers(nil)
		a.Stream(c.self).Close()
		time.Sleep(3 * dialMost)
		require.Nil(t, a.Stream(c.self))
	})
}

func TestStreamsAgeOut(t *testing.T) {
	keys := streamsKeys(t, 2)
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
		defer a.shut(t)
		defer b.shut(t)
		a.SetPeers([]StreamPeer{b.peer()})
		time.Sleep(streamAge / 2)
		dialled, _ := a.meters.StreamsOpened()
		require.Equal(t, uint64(1), dialled)
		time.Sleep(streamAge)
		dialled, _ = a.meters.StreamsOpened()
		require.GreaterOrEqual(t, dialled, uint64(2))
		require.Equal(t, dialled-1, a.meters.Failures(ReasonExpired))
		require.True(t, streamsBothOpen(a, b))
	})
}

// Whoever cannot be let in is refused for its reason, on both ends, in a
// bounded number of lines however often it tries.
func TestStreamsRefuse(t *testing.T) {
	keys := streamsKeys(t, 3)
	ring, other := NewMeshKey(), NewMeshKey()
	for _, tc := range []struct {
		name        string
		ours, their MeshKeys
		key         ed25519.PrivateKey
		epoch       uint64
		reason      Reason
		line        string
	}{
		{"another mesh key", ring, other, keys[1], 1, ReasonMeshKey, "the peer has another mesh key"},
		{"no mesh key", ring, MeshKeys{}, keys[1], 1, ReasonMeshKey, "the peer has no mesh key, this node has one"},
		{"the only mesh key", MeshKeys{}, ring, keys[1], 1, ReasonMeshKey, "the peer has a mesh key, this node has none"},
		{"itself", ring, ring, keys[0], 1, ReasonSelf, ""},
		{"its twin", ring, ring, keys[0], 2, ReasonTwin, "another node with this node's key dials"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemNetwork()
				a := streamsOpen(t, network, keys[0], func(o *StreamsOptions) { o.Ring = tc.ours })
				b := streamsOpen(t, network, tc.key, func(o *StreamsOptions) { o.Ring, o.Epoch = tc.their, tc.epoch })
				defer a.shut(t)
				defer b.shut(t)
				const tries = 30
				for range tries {
					err := b.openStream(t.Context(), StreamPeer{Origin: a.self, Addr: a.port.Addr()})
					require.Equal(t, tc.reason, reasonOf(err, reasonCount), "%v", err)
					time.Sleep(time.Second)
				}
				require.Equal(t, uint64(tries), a.meters.Failures(tc.reason))
				if tc.line != "" {
					require.Equal(t, 1, a.logs.count(tc.line))
					time.Sleep(reportEvery)
					require.Error(t, b.openStream(t.Context(), StreamPeer{Origin: a.self, Addr: a.port.Addr()}))
					time.Sleep(time.Second)
					require.Equal(t, 2, a.logs.count(tc.line))
					require.Equal(t, 1, a.logs.count(fmt.Sprintf("not_logged=%d", tries-1)))
				}
				require.Zero(t, a.meters.StreamsOpen())
			})
		})
	}
	t.Run("another node than the one dialled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemNetwork()
			a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
			defer a.shut(t)
			defer b.shut(t)
			err := a.openStream(t.Context(), StreamPeer{Origin: streamsOrigin(keys[2]), Addr: b.port.Addr()})
			require.Equal(t, ReasonIdentity, reasonOf(err, reasonCount))
			require.Nil(t, a.Stream(b.self))
		})
	})
	t.Run("not settled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemNetwork()
			a, b := streamsOpen(t, network, keys[0], nil), streamsOpen(t, network, keys[1], nil)
			defer a.shut(t)
			defer b.shut(t)
			b.begun.Store(false)
			err := a.openStream(t.Context(), b.peer())
			require.Equal(t, ReasonStarting, reasonOf(err, reasonCount))
			answer, err := a.Probe(t.Context(), b.port.Addr())
			require.NoError(t, err)
			require.Equal(t, Answer{Origin: b.self, Epoch: 1}, answer)
			b.Settle()
			answer, err = a.Probe(t.Context(), b.port.Addr())
			require.NoError(t, err)
			require.True(t, answer.Settled)
			require.Zero(t, b.meters.StreamsOpen())
		})
	})
}

// streamsRaw dials a node as a stranger would who writes its own protocol.
func streamsRaw(t testing.TB, network *MemNetwork, to *streamsNode) net.Conn {
	t.Helper()
	link, err := network.Listen(netip.MustParseAddrPort("127.0.0.9:0"))
	require.NoError(t, err)
	conn, err := link.Dial(t.Context(), to.port.Addr())
	require.NoError(t, err)
	require.NoError(t, link.Close())
	return conn
}

func streamsShaker(t testing.TB, key ed25519.PrivateKey) *handshaker {
	t.Helper()
	h, err := newHandshaker(key, MeshKeys{}, 1)
	require.NoError(t, err)
	return h
}

func TestStreamsStrangers(t *testing.T) {
	keys := streamsKeys(t, 2)
	for _, tc := range []struct {
		name   string
		reason Reason
		do     func(t *testing.T, conn net.Conn, h *handshaker)
	}{
		{"says nothing", ReasonSilent, func(*testing.T, net.Conn, *handshaker) { time.Sleep(firstByteWait) }},
		{"goes at once", ReasonSilent, func(_ *testing.T, conn net.Conn, _ *handshaker) { conn.Close() }},
		{"speaks HTTP", ReasonGarbage, func(_ *testing.T, conn net.Conn, _ *handshaker) { io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") }},
		{"garbage after the first byte of TLS", ReasonGarbage, func(_ *testing.T, conn net.Conn, _ *handshaker) {
			conn.Write(append([]byte{tlsRecordHandshake}, bytes.Repeat([]byte{0xab}, 100)...))
			_, _ = io.Copy(io.Discard, conn)
		}},
		{"half a ClientHello, then silence", ReasonHandshake, func(_ *testing.T, conn net.Conn, _ *handshaker) {
			conn.Write([]byte{tlsRecordHandshake, 3, 1, 1, 0, 1})
			time.Sleep(2 * handshakeWait)
		}},
		{"half a ClientHello, then gone", ReasonHandshake, func(_ *testing.T, conn net.Conn, _ *handshaker) {
			conn.Write([]byte{tlsRecordHandshake, 3, 1, 1, 0, 1})
			conn.Close()
		}},
		{"TLS, then silence", ReasonHandshake, func(t *testing.T, conn net.Conn, h *handshaker) {
			require.NoError(t, tls.Client(conn, h.dial).Handshake())
			time.Sleep(2 * handshakeWait)
		}},
		{"another ALPN", ReasonVersion, func(t *testing.T, conn net.Conn, h *handshaker) {
			config := h.dial.Clone()
			config.NextProtos = []string{"tidings/2"}
			require.Error(t, tls.Client(conn, config).Handshake())
		}},
		{"no ALPN", ReasonVersion, func(_ *testing.T, conn net.Conn, h *handshaker) {
			config := h.dial.Clone()
			config.NextProtos, config.VerifyConnection = nil, nil
			c := tls.Client(conn, config)
			_ = c.Handshake()
			_, _ = io.Copy(io.Discard, c)
		}},
		{"no certificate", ReasonHandshake, func(_ *testing.T, conn net.Conn, h *handshaker) {
			config := h.dial.Clone()
			config.Certificates = nil
			c := tls.Client(conn, config)
			_ = c.Handshake()
			_, _ = io.Copy(io.Discard, c)
		}},
		{"TLS 1.2", ReasonHandshake, func(t *testing.T, conn net.Conn, h *handshaker) {
			config := h.dial.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			require.Error(t, tls.Client(conn, config).Handshake())
		}},
		{"another version in the hello", ReasonVersion, func(t *testing.T, conn net.Conn, h *handshaker) {
			c := tls.Client(conn, h.dial)
			require.NoError(t, c.Handshake())
			_, err := c.Write(hello{version: 9, purpose: purposeStream}.encode())
			require.NoError(t, err)
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			a, err := decodeAnswer(got)
			require.NoError(t, err)
			require.Equal(t, answer{version: StreamVersion, verdict: verdictVersion}, a)
		}},
		{"an unknown purpose", ReasonHandshake, func(t *testing.T, conn net.Conn, h *handshaker) {
			c := tls.Client(conn, h.dial)
			require.NoError(t, c.Handshake())
			_, err := c.Write(hello{version: StreamVersion, purpose: 77}.encode())
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, c)
		}},
		{"a proof of zeros", ReasonMeshKey, func(t *testing.T, conn net.Conn, h *handshaker) {
			c := tls.Client(conn, h.dial)
			require.NoError(t, c.Handshake())
			_, err := c.Write(hello{version: StreamVersion, purpose: purposeStream}.encode())
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, c)
		}},
		{"a frame over its bound", ReasonFrame, func(t *testing.T, conn net.Conn, h *handshaker) {
			s, err := h.dialled(t.Context(), conn, purposeStream)
			require.NoError(t, err)
			_, err = s.conn.Write(binary.BigEndian.AppendUint32(nil, maxPayload+1))
			require.NoError(t, err)
			_, err = s.conn.Write([]byte{flagPlain})
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, s.conn)
		}},
		{"falls silent on a stream", ReasonIdle, func(t *testing.T, conn net.Conn, h *handshaker) {
			s, err := h.dialled(t.Context(), conn, purposeStream)
			require.NoError(t, err)
			began := time.Now()
			_, _ = io.Copy(io.Discard, s.conn)
			require.Equal(t, StreamIdle, time.Since(began))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewMemNetwork()
				a := streamsOpen(t, network, keys[0], nil)
				defer a.shut(t)
				conn := streamsRaw(t, network, a)
				tc.do(t, conn, streamsShaker(t, keys[1]))
				conn.Close()
				time.Sleep(time.Second)
				require.Equal(t, uint64(1), a.meters.Failures(tc.reason), "%s", a.logs)
				require.Equal(t, 1, a.logs.count("reason="+tc.reason.String()))
				for r := range reasonCount {
					require.True(t, r == tc.reason || a.meters.Failures(r) == 0, "also %s", r)
				}
				require.Zero(t, a.meters.StreamsOpen())
			})
		})
	}
}

// A peer that never reads is given up; nothing else waits for it longer.
func TestStreamsPeerThatNeverReads(t *testing.T) {
	keys := streamsKeys(t, 2)
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		took := make(chan time.Duration, 1)
		a := streamsOpen(t, network, keys[0], func(o *StreamsOptions) {
			o.Serve = func(s *Stream) {
				began := time.Now()
				block := NewOutFrame(make([]byte, maxPayload), false)
				for s.WriteFrames([]*OutFrame{block}) == nil {
				}
				took <- time.Since(began)
			}
		})
		defer a.shut(t)
		conn := streamsRaw(t, network, a)
		_, err := streamsShaker(t, keys[1]).dialled(t.Context(), conn, purposeStream)
		require.NoError(t, err)
		time.Sleep(2 * StreamWriteTimeout)
		require.Equal(t, StreamWriteTimeout, <-took)
		require.Equal(t, uint64(1), a.meters.Failures(ReasonStalled))
		require.Zero(t, a.meters.StreamsOpen())
		conn.Close()
	})
}

func TestStreamsLimitHandshakes(t *testing.T) {
	keys := streamsKeys(t, 2)
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a := streamsOpen(t, network, keys[0], nil)
		defer a.shut(t)
		var conns []net.Conn
		for range maxHandshakes + 5 {
			conn := streamsRaw(t, network, a)
			_, err := conn.Write([]byte{tlsRecordHandshake})
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		time.Sleep(time.Millisecond)
		require.Equal(t, uint64(5), a.meters.Failures(ReasonBusy))
		time.Sleep(handshakeWait)
		require.Equal(t, uint64(maxHandshakes), a.meters.Failures(ReasonHandshake))
		b := streamsOpen(t, network, keys[1], nil)
		defer b.shut(t)
		b.SetPeers([]StreamPeer{a.peer()})
		time.Sleep(2 * DialAfter)
		require.True(t, streamsBothOpen(a, b), "there is room again")
		for _, conn := range conns {
			conn.Close()
		}
	})
}

func TestStreamsLimitStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a := streamsOpen(t, network, streamsKeys(t, 1)[0], nil)
		defer a.shut(t)
		known := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{201}, ed25519.SeedSize))
		a.SetPeers([]StreamPeer{{Origin: streamsOrigin(known), Addr: netip.MustParseAddrPort("127.0.0.1:1")}})
		welcome := func(key ed25519.PrivateKey) (net.Conn, error) {
			conn := streamsRaw(t, network, a)
			_, err := streamsShaker(t, key).dialled(context.Background(), conn, purposeStream)
			return conn, err
		}
		var conns []net.Conn
		for i := range maxStrangers {
			conn, err := welcome(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(100 + i)}, ed25519.SeedSize)))
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		synctest.Wait()
		_, err := welcome(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{200}, ed25519.SeedSize)))
		require.Equal(t, ReasonBusy, reasonOf(err, reasonCount))
		conn, err := welcome(known)
		require.NoError(t, err, "a member is no stranger")
		for _, conn := range append(conns, conn) {
			conn.Close()
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(hello{version: StreamVersion, purpose: purposeStream, epoch: 7}.encode())
	f.Add(hello{version: 2}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err == nil && h.version == StreamVersion && !bytes.Equal(h.encode(), b) {
			t.Fatalf("%x is read as %x", b, h.encode())
		}
		a, err := decodeAnswer(b)
		if err == nil && a.version == StreamVersion && !bytes.Equal(a.encode(), b) {
			t.Fatalf("%x is read as %x", b, a.encode())
		}
	})
}
