package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/node/api"
)

// notifier tells the service manager how the agent is, by sd_notify(3): datagrams
// to the socket that NOTIFY_SOCKET names, a path or, behind @, an abstract one. Nil
// tells nobody.
type notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration // how often it is told that the agent is alive; 0 is never
}

// statusEvery is how often the node's readiness is looked at.
const statusEvery = time.Second

// newNotifier returns nil where nobody wants to be told.
func newNotifier(getenv func(string) string) (*notifier, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &notifier{conn: conn}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
			n.watchdog = time.Duration(us) * time.Microsecond / 2
		}
	}
	return n, nil
}

// tell sends an assignment. That the manager does not take it changes nothing
// for the agent.
func (n *notifier) tell(state string) {
	if n != nil {
		_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = n.conn.Write([]byte(state))
	}
}

// ready tells that the agent is there, and from then on how ready its node is, as that
// changes, and that it is alive, for as long as readiness answers. A node that
// still waits for peers counts as there: it serves reads, and the manager must not
// give up on it for others that are away. The function that it returns ends it.
func (n *notifier) ready(readiness func() api.Readiness) (stop func() error) {
	if n == nil {
		return func() error { return nil }
	}
	said := statusOf(readiness())
	n.tell("READY=1\nSTATUS=" + said)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		n.follow(quit, said, readiness)
	}()
	return func() error {
		close(quit)
		<-done
		return nil
	}
}

func (n *notifier) follow(quit <-chan struct{}, said string, readiness func() api.Readiness) {
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		text := statusOf(readiness())
		if text != said {
			n.tell("STATUS=" + text)
			said = text
		}
		if n.watchdog > 0 {
			n.tell("WATCHDOG=1")
		}
		select {
		case <-quit:
			return
		case <-tick.C:
		}
	}
}

// statusOf is a line for people.
func statusOf(r api.Readiness) string {
	reason := strings.ReplaceAll(r.Reason, "\n", "; ") // behind a line break another assignment would begin
	switch {
	case r.Ready:
		return "ready"
	case r.Want > r.Have:
		return fmt.Sprintf("not ready: %s (%d of %d updates)", reason, r.Have, r.Want)
	}
	return "not ready: " + reason
}

func (n *notifier) close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}
