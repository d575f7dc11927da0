package cluster

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two agents of one name that meet only when both run: one goes on, the other
// ends by itself, with the reason.
func TestTwinsThatMeetLater(t *testing.T) {
	later, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	meeting := later.Addr().String()
	require.NoError(t, later.Close())

	first := start(t, "wh-1", "warehouse", "--join", meeting)
	second := start(t, "wh-1", "warehouse", "--join", meeting)
	between := newAgent(t, "between", "fleet")
	between.bind, between.http = meeting, "127.0.0.1:0"
	between.run()

	ended, other := second, first
	select {
	case err = <-second.done:
		second.cmd = nil
	case err = <-first.done:
		first.cmd = nil
		ended, other = first, second
	case <-time.After(30 * time.Second):
		t.Fatal("both go on")
	}
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v", err)
	require.Equal(t, 1, exit.ExitCode())
	b, err := os.ReadFile(ended.log.Name())
	require.NoError(t, err)
	require.Contains(t, string(tail(b, 1000)), `another node with the name "wh-1" is alive at `+other.bind)
	require.NoError(t, other.stop())
}
