package gossip

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/tidings-mesh/tidings/chain"
)

// Serf drops a member that failed by itself after a while, which looks to
// others as if it had been forgotten. That while must outlast any node.
func TestFailedMembersAreNotDropped(t *testing.T) {
	port, err := OpenPort(t.Context(), PortOptions{
		Bind: "127.0.0.1:0", Network: NewMemNetwork(), Meters: new(Meters), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Shutdown()
	c, err := serfConfig(instanceName(chain.Origin{1}, 1), Tags{Name: "n", Authority: "a"}.encode(), port, MeshKeys{},
		make(chan serf.Event), slog.New(slog.DiscardHandler), new(Meters))
	if err != nil {
		t.Fatal(err)
	}
	if years := c.ReconnectTimeout / (365 * 24 * time.Hour); years < 10 {
		t.Errorf("failed members are dropped after %s", c.ReconnectTimeout)
	}
}
