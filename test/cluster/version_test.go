package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// replacement changes one text of a source file in a build.
type replacement struct{ file, old, new string }

// otherVersion builds the command with another version of a protocol: the
// compiler is shown changed copies of a few source files.
func otherVersion(t *testing.T, name string, changes ...replacement) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for i, c := range changes {
		file, err := filepath.Abs(filepath.Join("..", "..", c.file))
		require.NoError(t, err)
		if copied, ok := overlay.Replace[file]; ok {
			file = copied
		}
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(b), c.old), "%s in %s", c.old, c.file)
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		require.NoError(t, os.WriteFile(copied, []byte(strings.Replace(string(b), c.old, c.new, 1)), 0o600))
		original, _ := filepath.Abs(filepath.Join("..", "..", c.file))
		overlay.Replace[original] = copied
	}
	b, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, b, 0o600))
	built := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-overlay", file, "-o", built, "github.com/tidings-mesh/tidings/cmd/tidings").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return built
}

// An agent of another version of a protocol comes into a mesh that is published
// to. Nothing passes between them, either side says why, the mesh goes on; and
// the same agent, upgraded, has everything and brings what it accepted.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	needNamespaces(t)
	builds := map[string]string{
		"stream-2": otherVersion(t, "stream-2",
			replacement{"gossip/tls.go", "const StreamVersion = 1\n", "const StreamVersion = 2\n"},
			replacement{"gossip/tls.go", `"tidings/1"`, `"tidings/2"`}),
		"gossip-2": otherVersion(t, "gossip-2",
			replacement{"gossip/frame.go", "const Version = 1\n", "const Version = 2\n"}),
	}
	m := newMesh(t, nil)
	for name, build := range builds {
		m.suffer(fault{
			name: "another version: " + name,
			hurt: func(m *mesh, d time.Duration) {
				a := m.agent(name, "foreign", "--recover-wait", "500ms")
				a.build = build
				said := versions(t, m.agents[0])
				a.run()
				p := newProducer(a)
				p.publish(t.Context(), t, 1, 5, "order/foreign/"+name)
				require.Len(t, p.acked(), 5)
				hold(m, d)
				// Who refuses first closes the link, so the other may not have heard why; they
				// try again each second.
				for a, before := range map[*agent]int{a: 0, m.agents[0]: said} {
					for deadline := time.Now().Add(10 * time.Second); versions(t, a) == before; time.Sleep(50 * time.Millisecond) {
						require.True(t, time.Now().Before(deadline), "the log of %s says why", a.name)
					}
				}
				// Neither has anything of the other's.
				own := newConsumer(a)
				own.finish(t, p)
				m.producers = append(m.producers, p)
				for _, other := range m.agents[:len(authorities)] {
					state, ok := other.mesh()
					require.True(t, ok)
					require.Zero(t, state.chainsOf(a), "chains of %s on %s", name, other.name)
				}
			},
			heal: func(m *mesh) {
				// The upgrade.
				a := m.agents[len(m.agents)-1]
				a.kill()
				a.build = ""
				a.run()
			},
			bit: func(*mesh) (string, error) {
				return "nothing passed until it was upgraded, both sides said why", nil
			},
		}, *updates, *held)
	}
	m.check()
}

// versions is how often an agent's log says that a peer has another version.
func versions(t *testing.T, a *agent) int {
	b, err := os.ReadFile(a.log.Name())
	require.NoError(t, err)
	return strings.Count(string(b), "version")
}
