package gossip

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func portOpen(t testing.TB, network Network) (*Port, *Meters) {
	t.Helper()
	meters := new(Meters)
	p, err := OpenPort(t.Context(), PortOptions{
		Bind: "127.0.0.1:0", Network: network, Meters: meters, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return p, meters
}

// portWait polls at the edge of real sockets.
func portWait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, 5*time.Millisecond, what)
}

// portNoLeaks fails a test that leaves goroutines behind. memberlist waits for
// none of its own; those that probe end with their timeouts, some seconds later.
func portNoLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var err error
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
			if err = goleak.Find(before); err == nil {
				return
			}
		}
		require.NoError(t, err)
	})
}

// What a port does is the same on sockets and in memory.
func portNetworks(t *testing.T, test func(t *testing.T, network Network)) {
	t.Run("sockets", func(t *testing.T) {
		portNoLeaks(t)
		test(t, NetNetwork{})
	})
	t.Run("memory", func(t *testing.T) {
		portNoLeaks(t)
		test(t, NewMemNetwork())
	})
}

func TestPortTellsConnectionsApart(t *testing.T) {
	portNetworks(t, func(t *testing.T, network Network) {
		a, _ := portOpen(t, network)
		b, meters := portOpen(t, network)
		defer func() { require.NoError(t, a.Shutdown()) }()
		defer func() { require.NoError(t, b.Shutdown()) }()
		for _, tc := range []struct {
			first byte
			to    <-chan net.Conn
		}{{tlsRecordHandshake, b.StreamConns()}, {memberlistLabel, b.StreamCh()}} {
			out, err := a.DialAddressTimeout(memberlist.Address{Addr: b.AdvertiseAddr().String()}, time.Second)
			require.NoError(t, err)
			go out.Write([]byte{tc.first, 'x', 'y'})
			in := <-tc.to
			var got [3]byte
			_, err = io.ReadFull(in, got[:])
			require.NoError(t, err)
			require.Equal(t, [3]byte{tc.first, 'x', 'y'}, got, "the byte that was looked at is there again")
			_, err = in.Write([]byte("back"))
			require.NoError(t, err)
			var back [4]byte
			_, err = io.ReadFull(out, back[:])
			require.NoError(t, err)
			require.NoError(t, in.Close())
			require.NoError(t, out.Close())
		}
		for _, first := range []byte{0, 13, 'G', 255} {
			conn, err := a.DialStream(t.Context(), b.AdvertiseAddr())
			require.NoError(t, err)
			_, err = conn.Write([]byte{first})
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.Error(t, err, "closed")
			conn.Close()
		}
		require.Equal(t, uint64(4), meters.Failures(ReasonGarbage))

		_, err := a.WriteToAddress([]byte("datagram"), memberlist.Address{Addr: b.AdvertiseAddr().String()})
		require.NoError(t, err)
		packet := <-b.PacketCh()
		require.Equal(t, "datagram", string(packet.Buf))
		require.Equal(t, a.Addr().String(), packet.From.String())
		require.Empty(t, a.open)
	})
}

// Shutdown must not wait for anybody: not for a reader of packets and
// connections that is not there, not for peers that say nothing, nor for open
// connections.
func TestPortShutdownWithEverythingPending(t *testing.T) {
	portNetworks(t, func(t *testing.T, network Network) {
		a, _ := portOpen(t, network)
		b, _ := portOpen(t, network)
		defer func() { require.NoError(t, b.Shutdown()) }()
		for i := range 20 {
			conn, err := b.DialStream(t.Context(), a.AdvertiseAddr())
			require.NoError(t, err)
			switch i % 3 {
			case 1:
				_, err = conn.Write([]byte{tlsRecordHandshake})
			case 2:
				_, err = conn.Write([]byte{memberlistLabel})
			}
			require.NoError(t, err)
			_, err = b.WriteTo([]byte("x"), a.AdvertiseAddr().String())
			require.NoError(t, err)
		}
		conn, err := a.DialStream(t.Context(), b.AdvertiseAddr())
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, a.Shutdown())
		require.NoError(t, a.Shutdown(), "again")
		require.Less(t, time.Since(began), 2*time.Second)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = a.DialTimeout(b.AdvertiseAddr().String(), time.Second)
		require.Error(t, err)
	})
}

// While somebody holds connections open without a word, whoever speaks at once
// is served.
func TestPortSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, _ := portOpen(t, network)
		b, meters := portOpen(t, network)
		defer a.Shutdown()
		defer b.Shutdown()
		for range maxSilent + 10 {
			_, err := a.DialStream(t.Context(), b.AdvertiseAddr())
			require.NoError(t, err)
			synctest.Wait()
		}
		require.Equal(t, uint64(10), meters.Failures(ReasonSilent), "the oldest make room")
		conn, err := a.DialStream(t.Context(), b.AdvertiseAddr())
		require.NoError(t, err)
		_, err = conn.Write([]byte{tlsRecordHandshake})
		require.NoError(t, err)
		<-b.StreamConns()
		time.Sleep(firstByteWait)
		synctest.Wait()
		require.Equal(t, uint64(maxSilent+10), meters.Failures(ReasonSilent))
		require.Len(t, b.open, 1)
		require.Zero(t, b.silent.Len())
	})
}

func TestPortAddresses(t *testing.T) {
	meters := new(Meters)
	open := func(bind, advertise string) (*Port, error) {
		return OpenPort(t.Context(), PortOptions{Bind: bind, Advertise: advertise, Meters: meters, Logger: slog.New(slog.DiscardHandler)})
	}
	for _, bad := range []struct{ bind, advertise, wrong string }{
		{"127.0.0.1", "", "want HOST:PORT"},
		{"127.0.0.1:x", "", "want a port"},
		{"127.0.0.1:70000", "", "want a port"},
		{"127.0.0.1:0", "nowhere", "advertised address"},
		{"127.0.0.1:0", "0.0.0.0:1", "no peer can reach"},
		{"192.0.2.1:0", "", "cannot assign"},
	} {
		_, err := open(bad.bind, bad.advertise)
		require.ErrorContains(t, err, bad.wrong)
	}
	a, err := open("127.0.0.1:0", "192.0.2.7:0")
	require.NoError(t, err)
	defer a.Shutdown()
	require.Equal(t, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), a.Addr().Port()), a.AdvertiseAddr())
	_, err = open(a.Addr().String(), "")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	b, err := open("127.0.0.1:0", "192.0.2.7:99")
	require.NoError(t, err)
	defer b.Shutdown()
	require.Equal(t, netip.MustParseAddrPort("192.0.2.7:99"), b.AdvertiseAddr())
	named, err := open("localhost:0", "")
	require.NoError(t, err)
	defer named.Shutdown()
	require.True(t, named.AdvertiseAddr().Addr().IsLoopback())
}

// Port 0 means one that is free for both TCP and UDP.
func TestPortZeroTakenForUDP(t *testing.T) {
	portNoLeaks(t)
	for range 50 {
		p, _ := portOpen(t, nil)
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(p.Addr()))
		require.Error(t, err, "the port has its UDP too: %v", udp)
		require.NoError(t, p.Shutdown())
	}
}

func TestMemNetworkPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, _ := portOpen(t, network)
		b, _ := portOpen(t, network)
		defer a.Shutdown()
		defer b.Shutdown()
		conn, err := a.DialStream(t.Context(), b.AdvertiseAddr())
		require.NoError(t, err)
		_, err = conn.Write([]byte{tlsRecordHandshake})
		require.NoError(t, err)
		in := <-b.StreamConns()
		_, _ = in.Read(make([]byte, 1))

		network.SetPath(func(from, _ netip.AddrPort) (time.Duration, bool) { return 0, from != a.Addr() })
		_, err = a.WriteTo([]byte("lost"), b.AdvertiseAddr().String())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.DialStream(ctx, b.AdvertiseAddr())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = in.Write([]byte("the other way"))
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, conn.SetWriteDeadline(began.Add(time.Second)))
		_, err = conn.Write([]byte("x"))
		require.True(t, isTimeout(err))
		require.NoError(t, conn.SetWriteDeadline(time.Time{}))
		time.AfterFunc(time.Minute, func() {
			network.SetPath(func(netip.AddrPort, netip.AddrPort) (time.Duration, bool) { return time.Hour, true })
		})
		_, err = conn.Write([]byte("late"))
		require.NoError(t, err)
		require.Greater(t, time.Since(began), time.Minute)
		sent := time.Now()
		_, err = a.WriteTo([]byte("slow"), b.AdvertiseAddr().String())
		require.NoError(t, err)
		require.Equal(t, "slow", string((<-b.PacketCh()).Buf))
		require.Equal(t, time.Hour, time.Since(sent))
	})
}

// A connection over a slow or cut path keeps its order, and its end arrives no
// sooner than what was written before it.
func TestMemNetworkConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemNetwork()
		a, _ := portOpen(t, network)
		b, _ := portOpen(t, network)
		defer a.Shutdown()
		defer b.Shutdown()
		connect := func() (ours, theirs net.Conn) {
			ours, err := a.DialStream(t.Context(), b.AdvertiseAddr())
			require.NoError(t, err)
			_, err = ours.Write([]byte{tlsRecordHandshake})
			require.NoError(t, err)
			theirs = <-b.StreamConns()
			_, err = theirs.Read(make([]byte, 1))
			require.NoError(t, err)
			return ours, theirs
		}
		ours, theirs := connect()
		delays := []time.Duration{3 * time.Second, time.Second, 2 * time.Second, 0}
		network.SetPath(func(_, _ netip.AddrPort) (time.Duration, bool) {
			d := delays[0]
			delays = append(delays[1:], 0)
			return d, true
		})
		began := time.Now()
		for _, s := range []string{"one ", "two ", "three"} {
			_, err := ours.Write([]byte(s))
			require.NoError(t, err)
		}
		require.NoError(t, ours.Close())
		got, err := io.ReadAll(theirs)
		require.NoError(t, err)
		require.Equal(t, "one two three", string(got))
		require.Equal(t, 3*time.Second, time.Since(began))

		// A close is not heard of while the path is cut, nor can anybody connect
		// whose answer would not arrive.
		network.SetPath(nil)
		ours, theirs = connect()
		network.SetPath(func(from, _ netip.AddrPort) (time.Duration, bool) { return 0, from != a.Addr() })
		require.NoError(t, ours.Close())
		require.NoError(t, theirs.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err = theirs.Read(make([]byte, 1))
		require.True(t, isTimeout(err))
		_, err = theirs.Write([]byte("x"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.DialStream(ctx, a.AdvertiseAddr())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		network.SetPath(nil)
		require.NoError(t, theirs.SetReadDeadline(time.Time{}))
		_, err = theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		_, err = theirs.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)

		// A reset ends both ends at once, of the pairs that it is told.
		ours, theirs = connect()
		other, _ := connect()
		resets := 0
		network.Reset(func(dialler, listener netip.AddrPort) bool {
			require.Equal(t, a.Addr(), dialler)
			require.Equal(t, b.Addr(), listener)
			resets++
			return true
		})
		require.Equal(t, 2, resets)
		for _, c := range []net.Conn{ours, theirs, other} {
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			_, err = c.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}
		ours, _ = connect()
		network.Reset(func(_, _ netip.AddrPort) bool { return false })
		_, err = ours.Write([]byte("x"))
		require.NoError(t, err)
	})
}
