package node_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const metricsPage = "../docs/metrics.md"

// described is a registry that knows all that its collectors may ever tell of,
// also what has no value yet.
type described struct {
	*prometheus.Registry
	rows map[string]metricRow
}

type metricRow struct{ labels, help string }

var descText = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "(.*?)"(?:, unit: ".*")?, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (d *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	for desc := range descs {
		m := descText.FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("%s does not read", desc)
		}
		var labels []string
		for _, label := range strings.Split(m[3]+","+m[4], ",") {
			if name, _, _ := strings.Cut(label, "="); name != "" {
				labels = append(labels, "`"+name+"`")
			}
		}
		d.rows[m[1]] = metricRow{strings.Join(labels, ", "), m[2]}
	}
	return d.Registry.Register(c)
}

// page is what the node's metrics are, as the documentation has it.
func (d *described) page(types map[string]string) string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nWhat `GET /metrics` tells: of a node that is embedded, what its `Config.Metrics` gathers; of an agent, also the `go_*` and `process_*` of the Prometheus client.\n" +
		"`node/metrics_test.go` makes this page (`go test ./node -run TestMetricsPage -update`) and compares it with a live node.\n" +
		"What the alerts make of them is in [operations.md](operations.md).\n\n" +
		"| metric | type | labels | |\n| --- | --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(d.rows)) {
		kind := types[name]
		switch {
		case kind != "":
		case strings.HasSuffix(name, "_total"):
			kind = "counter"
		default:
			kind = "gauge"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, d.rows[name].labels, d.rows[name].help)
	}
	return b.String()
}

// liveMetrics is a node of a mesh that has done a little of everything, with all that
// it may tell.
func liveMetrics(t *testing.T) (*node.Node, *described) {
	t.Helper()
	d := &described{prometheus.NewRegistry(), map[string]metricRow{}}
	hub := gossip.NewHub()
	peer := open(t, node.Config{Name: "fl-1", Hub: hub})
	n := open(t, node.Config{Name: "wh-1", Hub: hub, DataDir: filepath.Join(t.TempDir(), "data"), Metrics: d, Gatherer: d, Version: "1.2.3"})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := api.NewListener(tcp, 1, d)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	stop, err := n.React("answers", chain.Prefix("order"), func(context.Context, node.Change) (*node.Draft, error) { return nil, nil })
	require.NoError(t, err)
	t.Cleanup(func() { stop() })
	_, err = node.Poll(n, node.Source[order]{Name: "wms", Every: 1e9, Ask: func(context.Context) (map[string]order, error) { return nil, errors.New("away") }})
	require.NoError(t, err)
	publish(t, peer, "order/1", `{"a":1}`)
	publish(t, n, "order/1", `{"b":1}`)
	same(t, n, peer)
	n.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/updates", strings.NewReader(`{"subject":"order/2","delta":{"c":1}}`)))
	return n, d
}

var typeLine = regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`)

// Every metric is documented, with its labels and help, and what is documented is there.
func TestMetricsPage(t *testing.T) {
	n, d := liveMetrics(t)
	types := map[string]string{}
	for _, m := range typeLine.FindAllStringSubmatch(answer(n, "/metrics").Body.String(), -1) {
		require.Contains(t, d.rows, m[1])
		types[m[1]] = m[2]
	}
	// Of the rest nothing has happened yet.
	for name := range d.rows {
		if types[name] == "" {
			require.Contains(t, []string{"tidings_gossip_refused_total"}, name)
		}
	}
	page := d.page(types)
	if *update {
		require.NoError(t, os.WriteFile(metricsPage, []byte(page), 0o644))
	}
	have, err := os.ReadFile(metricsPage)
	require.NoError(t, err)
	require.Equal(t, page, string(have), "see -update")
}

// Names, units and help are as Prometheus has them.
func TestMetricsAreLinted(t *testing.T) {
	n, _ := liveMetrics(t)
	require.Empty(t, lint(t, answer(n, "/metrics").Body.Bytes()))
	require.NotEmpty(t, lint(t, []byte("# TYPE tidings_wait_ms counter\ntidings_wait_ms 1\n")), "the linter finds what is wrong")
}

func lint(t *testing.T, metrics []byte) []promlint.Problem {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(metrics)).Lint()
	require.NoError(t, err)
	return problems
}
