package gossip

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boundBackoff has a connection go on soon after its network has healed. Each time
// that TCP sends without an answer it waits twice as long, so after a cut it would
// wait for about as long as that lasted. From Linux 6.15 on the kernel takes a bound
// on that wait, of a second at least. An older one is told to give the connection up
// instead, which is dialled anew then. What the kernel refuses stays as it was.
func boundBackoff(conn syscall.RawConn) {
	_ = conn.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(sendAgainMost/time.Millisecond)) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unansweredMost/time.Millisecond))
		}
	})
}
