package cluster

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node is backed up while producers publish, killed, its directory removed, and
// the backup put in its place. With its peers it goes on with its chain, and nothing
// that was acknowledged and had reached them is lost. With nobody to ask it goes on
// under a new origin, and has what the backup has.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel() // most of both tests is waiting for nodes to leave
	agents := trio(t)
	victim, others := agents[0], agents[1:]
	data, backup := filepath.Join(victim.dir, "data"), filepath.Join(victim.dir, "backup")
	before := newProducer(victim)
	before.publish(t.Context(), t, 4, 100, "before")

	during := newProducer(victim)
	during.until, during.pace = make(chan struct{}), time.Millisecond
	var load sync.WaitGroup
	load.Go(func() { during.publish(t.Context(), t, 8, 0, "during") })
	until(t, 20*time.Second, "the load is under way", func() bool { return len(during.acked()) > 50 })
	had := len(during.acked())
	command(t, "backup", "--data-dir", data, backup)
	until(t, 20*time.Second, "the load goes on", func() bool { return len(during.acked()) > had+50 })
	close(during.until)
	load.Wait()
	converged(t, 30*time.Second, agents...)

	restore := func() {
		victim.kill()
		require.NoError(t, os.RemoveAll(data))
		require.NoError(t, os.CopyFS(data, os.DirFS(backup)))
		victim.run()
	}
	restore()
	after := newProducer(victim)
	after.publish(t.Context(), t, 4, 50, "after")
	converged(t, 30*time.Second, agents...)
	for _, a := range agents {
		newConsumer(a).finish(t, before, during, after)
		m, ok := a.mesh()
		require.True(t, ok)
		require.Len(t, m.Chains, 1, "no second chain was begun")
		require.Empty(t, m.Freezes)
		command(t, "verify", "--endpoints", a.url(""))
	}

	origin := victim.origin(t)
	for _, a := range others {
		require.NoError(t, a.stop())
	}
	victim.args = append(victim.args, "--recover-wait", "1s")
	restore()
	require.NotEqual(t, origin, victim.origin(t))
	until(t, 20*time.Second, "it is ready alone", victim.ready)
	alone := newProducer(victim)
	alone.publish(t.Context(), t, 1, 10, "alone")
	require.Len(t, alone.acked(), 10)
	for _, it := range append(before.acked(), alone.acked()...) {
		require.Equal(t, http.StatusOK, victim.status("/v1/updates/"+it.id), it.id)
	}
	m, ok := victim.mesh()
	require.True(t, ok)
	require.Len(t, m.Chains, 2)
	require.GreaterOrEqual(t, m.Store.Updates, 100+had+10)

	// What a killed agent leaves, its socket too, is backed up as well.
	victim.kill()
	require.FileExists(t, filepath.Join(data, "control.sock"))
	command(t, "backup", "--data-dir", data, backup+"-2")
}

func (a *agent) origin(t *testing.T) string {
	t.Helper()
	m, ok := a.mesh()
	require.True(t, ok)
	return m.Origin
}

// The mesh key is changed node by node, in three rounds of restarts, while producers
// publish. After each restart all are converged; in the end the old key admits nobody.
func TestMeshKeyRotation(t *testing.T) {
	t.Parallel()
	agents := trio(t)
	i := slices.Index(agents[0].args, "--mesh-key-file")
	file := agents[0].args[i+1]
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	old, fresh := string(b), command(t, "key", "new")
	require.NotEqual(t, old, fresh)
	var producers []*producer
	for _, a := range agents {
		producers = append(producers, newProducer(a))
	}
	for round, keys := range []string{old + fresh, fresh + old, fresh} {
		require.NoError(t, os.WriteFile(file, []byte(keys), 0o600))
		for _, a := range agents {
			a.kill() // a stop would only add the wait for its leave to be known
			for _, p := range producers {
				if p.agent != a {
					p.publish(t.Context(), t, 2, 10, "round/"+strings.Repeat("i", round+1)+"/"+a.name)
				}
			}
			a.run()
			converged(t, 30*time.Second, agents...)
		}
	}
	for _, a := range agents {
		newConsumer(a).finish(t, producers...)
		m, ok := a.mesh()
		require.True(t, ok)
		require.Len(t, m.Members, 3)
	}
	stale := filepath.Join(t.TempDir(), "stale.key")
	require.NoError(t, os.WriteFile(stale, []byte(old), 0o600))
	outcast := start(t, "stale-1", "stale", "--join", agents[0].bind, "--mesh-key-file", stale, "--recover-wait", "500ms")
	until(t, 20*time.Second, "the holder of the old key has given up on others", outcast.ready)
	m, ok := outcast.mesh()
	require.True(t, ok)
	require.False(t, m.Converged, "it was told to join and reached nobody")
	m, ok = agents[0].mesh()
	require.True(t, ok)
	require.Len(t, m.Members, 3)
}
