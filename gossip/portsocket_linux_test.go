package gossip

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Both ends of a stream send again soon after a cut has healed.
func TestStreamsSendAgainSoon(t *testing.T) {
	keys := streamsKeys(t, 2)
	a, b := streamsOpen(t, NetNetwork{}, keys[0], nil), streamsOpen(t, NetNetwork{}, keys[1], nil)
	defer a.shut(t)
	defer b.shut(t)
	a.SetPeers([]StreamPeer{b.peer()})
	portWait(t, "a stream", func() bool { return streamsBothOpen(a, b) })
	for _, st := range []*Stream{a.Stream(b.self), b.Stream(a.self)} {
		most, err := socketOption(t, st, unix.TCP_RTO_MAX_MS)
		if err == nil {
			require.Equal(t, sendAgainMost, most, "dialled here: %t", st.Dialled())
			continue
		}
		require.ErrorIs(t, err, unix.ENOPROTOOPT)
		given, err := socketOption(t, st, unix.TCP_USER_TIMEOUT)
		require.NoError(t, err)
		require.Equal(t, unansweredMost, given, "dialled here: %t", st.Dialled())
	}
}

// socketOption asks a stream's socket for an option in milliseconds.
func socketOption(t *testing.T, st *Stream, option int) (time.Duration, error) {
	t.Helper()
	conn := st.conn.NetConn()
	if shaken, ok := conn.(*handshakeConn); ok {
		conn = shaken.Conn
	}
	raw, err := conn.(*portConn).Conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var ms int
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) { ms, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }))
	return time.Duration(ms) * time.Millisecond, failed
}
