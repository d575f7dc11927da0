package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The files of docs/deploy are read as their systems read them, as far as a test
// can, and their command lines as this program does.

func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../docs/deploy", name))
	require.NoError(t, err)
	return string(b)
}

// understood parses a command line, and checks that of an agent, without running it.
func understood(t *testing.T, args ...string) *cli {
	t.Helper()
	var grammar cli
	parsed, err := parse(&grammar, &process{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}, args)
	require.NoError(t, err, "%q", args)
	require.NotNil(t, parsed)
	if args[0] == "agent" {
		require.NoError(t, grammar.Agent.check(), "%q", args)
	}
	return &grammar
}

func TestDeployedService(t *testing.T) {
	unit := deployed(t, "tidings.service")
	command := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(unit)
	require.NotNil(t, command)
	config := writeFile(t, "tidings.toml", "name = \"wh-1\"\nbind = \"10.0.0.11:7946\"\n")
	g := understood(t, strings.Fields(strings.ReplaceAll(command[2], "/etc/tidings/tidings.toml", config))...)
	require.Equal(t, "/var/lib/tidings", g.Agent.DataDir)
	for _, line := range []string{"Type=notify", "StateDirectory=tidings", "LimitNOFILE=65536", "Restart=on-failure", "ProtectSystem=strict"} {
		require.Contains(t, unit, "\n"+line+"\n")
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	verify := func(text string) string {
		path := writeFile(t, "tidings.service", strings.ReplaceAll(text, command[1], self))
		out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		var about []string // this unit, not others of the host
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "tidings.service") {
				about = append(about, line)
			}
		}
		return strings.Join(about, "")
	}
	require.Empty(t, verify(unit))
	require.Contains(t, verify(strings.ReplaceAll(unit, "Type=notify", "Tipe=notify")), "Tipe")
}

func TestDeployedContainer(t *testing.T) {
	file := deployed(t, "Dockerfile")
	_, final, ok := strings.Cut(file, "\nFROM scratch\n")
	require.True(t, ok)
	instruction := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindStringSubmatch(final)
		require.NotNil(t, m, name)
		return m[1]
	}
	exec := func(text string) (args []string) {
		require.NoError(t, json.Unmarshal([]byte(text), &args), text)
		require.Equal(t, "/tidings", args[0])
		return args[1:]
	}
	require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, instruction("USER"))
	require.Equal(t, "TIDINGS_DATA_DIR="+instruction("VOLUME"), instruction("ENV"))
	_, health, ok := strings.Cut(instruction("HEALTHCHECK"), " CMD ")
	require.True(t, ok)
	understood(t, exec(health)...)
	entry := exec(instruction("ENTRYPOINT"))
	understood(t, entry...)
	run := regexp.MustCompile(`tidings \\\n#\s+(--name .*)\n`).FindStringSubmatch(file)
	require.NotNil(t, run)
	understood(t, append(entry, strings.Fields(run[1])...)...)
	require.Contains(t, file, "CGO_ENABLED=0 go build", "nothing is there to link with")
}

// TestAbortIsNoWrongUsage: a program that the watchdog aborts, or that panics, is
// started again. Go's would end with the status of wrong usage, for which the unit
// does not, but for what it sets.
func TestAbortIsNoWrongUsage(t *testing.T) {
	unit := deployed(t, "tidings.service")
	require.Contains(t, unit, "\nRestartPreventExitStatus=2\n")
	set := regexp.MustCompile(`(?m)^Environment=(.*)$`).FindStringSubmatch(unit)
	require.NotNil(t, set)
	self, err := os.Executable()
	require.NoError(t, err)
	said, w, err := os.Pipe()
	require.NoError(t, err)
	agent := &exec.Cmd{Path: self, Args: []string{"tidings", "agent", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0"}, Dir: t.TempDir(), Env: append(os.Environ(), set[1]), Stderr: w}
	require.NoError(t, agent.Start())
	require.NoError(t, w.Close())
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "msg=listening") {
			require.NoError(t, agent.Process.Signal(syscall.SIGABRT))
		}
	}
	require.NoError(t, said.Close())
	var ended *exec.ExitError
	require.ErrorAs(t, agent.Wait(), &ended)
	require.Equal(t, "signal: aborted", strings.TrimSuffix(ended.Error(), " (core dumped)"))
}

// object is what the test reads of a manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ClusterIP                string `yaml:"clusterIP"`
		PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
		ServiceName              string `yaml:"serviceName"`
		Replicas, MaxUnavailable int
		Selector                 map[string]any
		Ports                    []struct {
			Name, Protocol string
			Port           int
		}
		Template struct {
			Metadata struct{ Labels map[string]any }
			Spec     struct {
				Containers []struct {
					Args           []string
					ReadinessProbe probe `yaml:"readinessProbe"`
					LivenessProbe  probe `yaml:"livenessProbe"`
					VolumeMounts   []mount
				}
			}
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type mount struct{ Name, MountPath string }

func TestDeployedStatefulSet(t *testing.T) {
	objects := map[string]object{}
	for d := yaml.NewDecoder(bytes.NewReader([]byte(deployed(t, "kubernetes.yaml")))); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		objects[o.Kind+"/"+o.Metadata.Name] = o
	}
	set, headless := objects["StatefulSet/tidings"].Spec, objects["Service/tidings"].Spec
	require.Equal(t, "None", headless.ClusterIP)
	require.True(t, headless.PublishNotReadyAddresses)
	require.Equal(t, "tidings", set.ServiceName)
	labels := set.Template.Metadata.Labels
	require.Equal(t, labels, headless.Selector)
	require.Equal(t, labels, objects["Service/tidings-http"].Spec.Selector)
	require.Equal(t, labels, set.Selector["matchLabels"])
	require.Equal(t, labels, objects["PodDisruptionBudget/tidings"].Spec.Selector["matchLabels"])
	require.Len(t, set.VolumeClaimTemplates, 1)
	require.Contains(t, objects, "NetworkPolicy/tidings")

	c := set.Template.Spec.Containers[0]
	require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
	var args []string
	for _, arg := range c.Args {
		args = append(args, strings.NewReplacer("$(POD_NAME)", "tidings-0", "$(POD_IP)", "10.1.2.3").Replace(arg))
	}
	g := understood(t, append([]string{"agent"}, args...)...)
	require.Len(t, g.Agent.Join, set.Replicas, "each pod by its name")
	for i, peer := range g.Agent.Join {
		require.Equal(t, strings.Replace("tidings-N.tidings:7946", "N", string(rune('0'+i)), 1), peer)
	}
	require.Equal(t, "10.1.2.3:7946", g.Agent.Advertise)
	require.True(t, strings.HasPrefix(g.Agent.DataDir, "/data/"))
}
