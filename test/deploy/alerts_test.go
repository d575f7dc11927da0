package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tidings-mesh/tidings/gossip"
)

const (
	rulesFile   = "../../docs/deploy/alerts.yml"
	playedFile  = "../../docs/deploy/alerts_test.yml"
	runbookFile = "../../docs/operations.md"
	metricsFile = "../../docs/metrics.md"
)

type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      struct{ Severity string }
	Annotations struct{ Summary, Runbook string }
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(b)
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal([]byte(read(t, rulesFile)), &file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

var metricName = regexp.MustCompile(`\btidings_\w+`)

// unknown are the metrics of an expression that are not documented, which is to
// say that no node has them.
func unknown(expr, documented string) (names []string) {
	for _, name := range metricName.FindAllString(expr, -1) {
		if !strings.Contains(documented, "| `"+name+"` |") {
			names = append(names, name)
		}
	}
	return names
}

// Every alert asks for metrics that there are, says how grave it is, and has its
// section in the runbook; and every section is that of an alert.
func TestAlertsAreKnown(t *testing.T) {
	documented := read(t, metricsFile)
	sections := regexp.MustCompile(`(?m)^### (Tidings\w+)$`).FindAllStringSubmatch(read(t, runbookFile), -1)
	var explained, named []string
	for _, s := range sections {
		explained = append(explained, s[1])
	}
	for _, r := range rules(t) {
		require.Empty(t, unknown(r.Expr, documented), r.Alert)
		require.Contains(t, []string{"critical", "warning", "info"}, r.Labels.Severity, r.Alert)
		require.Equal(t, "docs/operations.md#"+strings.ToLower(r.Alert), r.Annotations.Runbook)
		named = append(named, r.Alert)
	}
	require.Equal(t, named, explained, "in one order")
	require.Contains(t, read(t, rulesFile), `reason="`+gossip.ReasonMeshKey.String()+`"`)
	require.Equal(t, []string{"tidings_made_up"}, unknown("tidings_made_up > 0 and tidings_ready == 0", documented))
}

// The rules are right by Prometheus' own word, and fire when they should.
func TestAlertsFire(t *testing.T) {
	var file struct {
		Tests []struct {
			Name   string
			Alerts []struct {
				Alertname string `yaml:"alertname"`
				Fires     []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, playedFile)), &file))
	var quiet, fires []string
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			if len(a.Fires) > 0 {
				fires = append(fires, a.Alertname)
			} else {
				quiet = append(quiet, a.Alertname)
			}
		}
	}
	for _, r := range rules(t) {
		require.Contains(t, fires, r.Alert)
		require.Contains(t, quiet, r.Alert)
	}

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here: as root on Debian `make tools` installs it")
	}
	run := func(dir string, args ...string) (string, error) {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	dir := filepath.Dir(rulesFile)
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		out, err := run(dir, args...)
		require.NoError(t, err, out)
	}

	// A rule that is changed is noticed.
	wrong := t.TempDir()
	text := strings.Replace(read(t, rulesFile), "expr: tidings_ready == 0", "expr: tidings_ready == 1", 1)
	require.NoError(t, os.WriteFile(filepath.Join(wrong, "alerts.yml"), []byte(text), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(wrong, "alerts_test.yml"), []byte(read(t, playedFile)), 0o600))
	out, err := run(wrong, "test", "rules", "alerts_test.yml")
	require.Error(t, err)
	require.Contains(t, out, "TidingsNotReady")
	require.False(t, slices.Contains(strings.Fields(out), "TidingsDown"))
}
