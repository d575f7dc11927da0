package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// network is a switch with agents on it, in network namespaces of its own: one
// for each agent and a hub, with the bridge between them and the test's HTTP
// clients. Faults are between agents only; the clients reach every agent always.
type network struct {
	t      *testing.T
	prefix string
	key    string // file of the mesh key
	client *http.Client
	agents []*agent
	relay  *relay
}

// maxAgents is how many agents a network has room for.
const maxAgents = 9

func ipOf(i int) string           { return fmt.Sprintf("10.77.0.%d", i) }
func macOf(i int) string          { return fmt.Sprintf("02:00:00:00:00:%02x", i) }
func portOf(i int) string         { return fmt.Sprintf("v%d", i) }
func hostPort(i, port int) string { return fmt.Sprintf("%s:%d", ipOf(i), port) }

func newNetwork(t *testing.T) *network {
	t.Helper()
	needNamespaces(t)
	n := &network{t: t, prefix: fmt.Sprintf("%s%s-%d-", namespaceMark, thisRun(), namespaces.Add(1))}
	hub := n.hub()
	t.Cleanup(func() { removeNamespace(t, hub) })
	tool(t, "", "ip", "netns", "add", hub)
	tool(t, fmt.Sprintf(`link set lo up
link add br0 type bridge
link set br0 address %s
addr add %s/24 dev br0
link set br0 up
`, macOf(254), ipOf(254)), "ip", "-n", hub, "-batch", "-")
	n.client = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DialContext: n.dial,
	}}
	n.relay = newRelay(t, n)
	n.filter(filterRules)
	n.key = filepath.Join(t.TempDir(), "mesh.key")
	require.NoError(t, os.WriteFile(n.key, []byte(command(t, "key", "new")), 0o600))
	t.Cleanup(n.client.CloseIdleConnections)
	return n
}

func (n *network) hub() string { return n.prefix + "hub" }

// dial connects from the hub.
func (n *network) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = inNamespace(n.hub(), func() (err error) {
		conn, err = (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// agent adds an agent in a namespace of its own, which is not running yet. It
// joins all that were added before it.
func (n *network) agent(name, authority string, args ...string) *agent {
	n.t.Helper()
	i := len(n.agents) + 1
	require.LessOrEqual(n.t, i, maxAgents)
	space := n.plug(i)
	a := newAgent(n.t, name, authority, append([]string{"--mesh-key-file", n.key, "--insecure-http"}, args...)...)
	a.space, a.client = space, n.client
	a.bind, a.http = hostPort(i, 7946), hostPort(i, 7980)
	for _, other := range n.agents {
		a.args = append(a.args, "--join", other.bind)
	}
	n.agents = append(n.agents, a)
	return a
}

// plug makes the namespace of an agent, as a machine on the switch.
func (n *network) plug(i int) (space string) {
	n.t.Helper()
	space = fmt.Sprintf("%s%d", n.prefix, i)
	n.t.Cleanup(func() { removeNamespace(n.t, space) })
	tool(n.t, "", "ip", "netns", "add", space)
	tool(n.t, fmt.Sprintf(`link add %[1]s type veth peer name eth0 address %[2]s netns %[3]s
link set %[1]s master br0
link set %[1]s up
`, portOf(i), macOf(i), space), "ip", "-n", n.hub(), "-batch", "-")
	// Known for good: a frame that takes a detour must not teach it otherwise.
	tool(n.t, "", "bridge", "-n", n.hub(), "fdb", "add", macOf(i), "dev", portOf(i), "master", "static")
	tool(n.t, fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", ipOf(i)), "ip", "-n", space, "-batch", "-")
	return space
}

// replace gives an agent that does not run another machine: what it had sent and
// its kernel had not is lost, which else is delivered once it can be.
func (n *network) replace(a *agent) {
	n.t.Helper()
	i := slices.Index(n.agents, a) + 1
	tool(n.t, "", "ip", "-n", n.hub(), "link", "del", portOf(i))
	removeNamespace(n.t, a.space)
	n.plug(i)
}

// command runs the binary in the hub.
func (n *network) command(args ...string) string {
	n.t.Helper()
	return tool(n.t, "", "ip", append([]string{"netns", "exec", n.hub(), binary}, args...)...)
}

// filterRules drop frames from one agent to another by the sets that name who
// is cut off from whom, and whose frames get lost.
const filterRules = `
table bridge faults {
	counter cut {}
	counter lost {}
	set cut { typeof ether saddr . ether daddr; }
	set lossy { typeof ether saddr . ether daddr; }
	chain forward {
		type filter hook forward priority 0;
		ether saddr . ether daddr @cut counter name "cut" drop
		ether saddr . ether daddr @lossy numgen random mod 100 < 30 counter name "lost" drop
	}
}
`

// filter has the hub's nftables do something.
func (n *network) filter(rules string) {
	n.t.Helper()
	tool(n.t, rules, "ip", "netns", "exec", n.hub(), "nft", "-f", "-")
}

// mark puts the ways from each of one group to each of another into a set.
func (n *network) mark(set string, from, to []int) {
	n.t.Helper()
	var pairs []string
	for _, f := range from {
		for _, t := range to {
			if f != t {
				pairs = append(pairs, macOf(f+1)+" . "+macOf(t+1))
			}
		}
	}
	if len(pairs) > 0 {
		n.filter(fmt.Sprintf("add element bridge faults %s { %s }\n", set, strings.Join(pairs, ", ")))
	}
}

// heal ends all faults of the network.
func (n *network) heal() {
	n.t.Helper()
	n.filter("flush set bridge faults cut\nflush set bridge faults lossy\n")
	n.relay.end()
}

// dropped counts the frames that the rules dropped so far.
func (n *network) dropped() (frames int) {
	n.t.Helper()
	var got struct {
		NFTables []struct {
			Counter struct{ Packets int }
		}
	}
	out := tool(n.t, "", "ip", "netns", "exec", n.hub(), "nft", "-j", "list", "counters", "table", "bridge", "faults")
	require.NoError(n.t, json.Unmarshal([]byte(out), &got))
	for _, o := range got.NFTables {
		frames += o.Counter.Packets
	}
	return frames
}
