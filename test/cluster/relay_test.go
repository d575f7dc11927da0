package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// relay is a detour for the frames between agents: the kernel hands them to it
// instead of switching them, and it gives them back late, in another order, and
// some of them twice. Where a kernel has no netem, a test can do this itself.
type relay struct {
	network *network
	tap     *os.File
	line    chan late // what is equally late, in order
	wg      sync.WaitGroup
	active  bool

	mu       sync.Mutex // protects what is below
	conduct  conduct
	rng      *rand.Rand
	newest   int64 // number of the newest frame that was given back
	closed   bool
	frames   atomic.Int64
	overtook atomic.Int64 // given back before an older one
	twice    atomic.Int64
}

// conduct says what a relay does to each frame.
type conduct struct {
	least, most time.Duration // how late it is
	twice       int           // percent of the frames that come twice, where they are not equally late
}

// late is a frame that is given back at a moment.
type late struct {
	number int64
	frame  []byte
	at     time.Time
}

// lineSize is how many frames may wait in line; more wait in the device.
const lineSize = 1 << 14

// frameSize has room for an Ethernet frame at an MTU of 1500, with a tag.
const frameSize = 1600

func newRelay(t *testing.T, n *network) *relay {
	t.Helper()
	r := &relay{network: n, line: make(chan late, lineSize), rng: rand.New(rand.NewPCG(1, 2))}
	require.NoError(t, inNamespace(n.hub(), func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		ifr, err := unix.NewIfreq("tap0")
		if err == nil {
			ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("make a tap: %w", err)
		}
		r.tap = os.NewFile(uintptr(fd), "tap0")
		return nil
	}))
	tool(t, "link set tap0 master br0\nlink set tap0 up\n", "ip", "-n", n.hub(), "-batch", "-")
	tool(t, "", "bridge", "-n", n.hub(), "link", "set", "dev", "tap0", "learning", "off", "flood", "off", "mcast_flood", "off", "bcast_flood", "off")
	r.wg.Go(r.run)
	r.wg.Go(func() {
		for l := range r.line {
			time.Sleep(time.Until(l.at))
			r.give(l.number, l.frame)
		}
	})
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.tap.Close()
		r.wg.Wait()
	})
	return r
}

// begin sends every frame from one agent to another through the relay.
func (r *relay) begin(c conduct) {
	r.mu.Lock()
	r.conduct = c
	r.mu.Unlock()
	var ports, macs []string
	for i := range r.network.agents {
		ports, macs = append(ports, portOf(i+1)), append(macs, macOf(i+1))
	}
	r.network.filter(fmt.Sprintf(`table netdev detour {
	chain from {
		type filter hook ingress devices = { %s } priority 0;
		ether daddr { %s } fwd to "tap0"
	}
}
`, strings.Join(ports, ", "), strings.Join(macs, ", ")))
	r.active = true
}

// end lets the kernel switch the frames again. Those under way still come.
func (r *relay) end() {
	if r.active {
		r.network.filter("delete table netdev detour\n")
		r.active = false
	}
}

func (r *relay) run() {
	defer close(r.line)
	for number := int64(1); ; number++ {
		frame := make([]byte, frameSize)
		n, err := r.tap.Read(frame)
		if err != nil {
			return
		}
		r.frames.Add(1)
		r.mu.Lock()
		spread, wait, times := r.conduct.most-r.conduct.least, r.conduct.least, 1
		if spread > 0 {
			wait += time.Duration(r.rng.Int64N(int64(spread)))
		}
		if r.rng.IntN(100) < r.conduct.twice {
			times = 2
			r.twice.Add(1)
		}
		r.mu.Unlock()
		if spread == 0 {
			r.line <- late{number, frame[:n], time.Now().Add(wait)}
			continue
		}
		for range times {
			time.AfterFunc(wait, func() { r.give(number, frame[:n]) })
			wait += spread / 2
		}
	}
}

func (r *relay) give(number int64, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if number < r.newest {
		r.overtook.Add(1)
	}
	r.newest = max(r.newest, number)
	// A frame that the device has no room for is lost, as on a wire.
	_, _ = r.tap.Write(frame)
}
