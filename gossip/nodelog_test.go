package gossip

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestNodelogLines(t *testing.T) {
	for _, tc := range []struct {
		line, out string
		noise     uint64
	}{
		{"[ERR] memberlist: Decrypt packet failed: No installed keys could decrypt the message from=1.2.3.4:5", `level=ERROR msg="membership library" component=memberlist text="Decrypt packet failed: No installed keys could decrypt the message from=1.2.3.4:5" not_logged=0`, 1},
		{"[WARN] memberlist: Was able to connect to x over TCP", `level=WARN msg="membership library" component=memberlist text="Was able to connect to x over TCP" not_logged=0`, 1},
		{"[INFO] serf: EventMemberJoin: x 127.0.0.1", `level=DEBUG msg="membership library" component=serf text="EventMemberJoin: x 127.0.0.1" not_logged=0`, 0},
		{"[WARN] memberlist: Got ping for unexpected node 'x' from=1.2.3.4:5", `level=DEBUG msg="membership library" component=memberlist text="Got ping for unexpected node 'x' from=1.2.3.4:5" not_logged=0`, 1},
		{"[ERR] Failed to shutdown transport: x", `level=ERROR msg="membership library" component="" text="Failed to shutdown transport: x" not_logged=0`, 1},
		{"Err: Could not set the deadline", `level=DEBUG msg="membership library" component=Err text="Could not set the deadline" not_logged=0`, 0},
		{"[", `level=DEBUG msg="membership library" component="" text=[ not_logged=0`, 0},
		{"", `level=DEBUG msg="membership library" component="" text="" not_logged=0`, 0},
	} {
		out, meters := new(streamsLog), new(Meters)
		log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		serfLogger(log, meters).Print(tc.line)
		require.Equal(t, tc.out, strings.TrimSpace(out.String()), tc.line)
		require.Equal(t, tc.noise, meters.noise.Load())
	}
}

// A stranger may cause any line as often as it likes, and with any text in it.
func TestNodelogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, meters := new(streamsLog), new(Meters)
		log := serfLogger(slog.New(slog.NewTextHandler(out, nil)), meters)
		for i := range 1000 {
			log.Printf("[ERR] memberlist: Decrypt packet failed: x from=10.0.0.%d:%d", i%250, i)
		}
		require.Equal(t, 1, out.count("\n"))
		time.Sleep(reportEvery)
		log.Print("[ERR] memberlist: Decrypt packet failed: again")
		require.Equal(t, 2, out.count("\n"))
		require.Equal(t, 1, out.count("not_logged=999"))
		require.Equal(t, uint64(1001), meters.noise.Load())
		for i := range 10000 {
			log.Printf("[ERR] memberlist: %c%c%c", 'a'+i%26, 'a'+i/26%26, 'a'+i/676%26)
		}
		require.LessOrEqual(t, out.count("\n"), 2+lineKinds+1)
	})
}

func FuzzNodelogLine(f *testing.F) {
	f.Add("[ERR] memberlist: x")
	f.Add("[WARN")
	f.Add("] : ")
	f.Fuzz(func(t *testing.T, line string) {
		_, component, text := parseLine(line)
		if len(component)+len(text) > len(line) || len(kindOfLine(component, text)) > len(component)+2+lineKindLen {
			t.Fatalf("%q became %q and %q", line, component, text)
		}
	})
}

func TestMetersCollect(t *testing.T) {
	meters := new(Meters)
	report := newReporter(slog.New(slog.DiscardHandler), meters)
	report.report(ReasonGarbage, "", fmt.Errorf("x"))
	meters.streamOpened(true)
	meters.addBytes(trafficStream, directionOut, 7)
	meters.members[StatusFailed].Store(2)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(meters))
	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"tidings_stream_failures_total reason=garbage": 1,
		"tidings_stream_failures_total reason=busy":    0,
		"tidings_streams": 1,
		"tidings_streams_opened_total by=this_node":             1,
		"tidings_port_bytes_total direction=out kind=stream":    7,
		"tidings_port_bytes_total direction=in kind=datagram":   0,
		"tidings_members status=failed":                         2,
		"tidings_members status=alive":                          0,
		"tidings_membership_warnings_total":                     0,
		"tidings_stream_failures_total reason=foreign_member":   0,
		"tidings_port_bytes_total direction=in kind=membership": 0,
	} {
		value, ok := got[name]
		require.True(t, ok, "%s in %v", name, got)
		require.Equal(t, want, value, name)
	}
	for r := range reasonCount {
		require.NotContains(t, r.String(), "reason ", "every reason has a name")
	}
}
