package cluster

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type member struct{ Name, Origin, Status string }

// meshState is what a test reads of GET /v1/mesh.
type meshState struct {
	Origin    string
	Converged bool
	Root      string
	Members   []member
	Chains    []struct {
		Origin, Authority   string
		Node                string
		Head, Applied, Held int
	}
	Held    []json.RawMessage
	Freezes []json.RawMessage
	Store   struct{ Updates, Subjects int }
}

func (a *agent) mesh() (m meshState, ok bool) { return m, a.get("/v1/mesh", &m) }

// trio starts three agents of three authorities with one mesh key, each of
// which is told of all others.
func trio(t *testing.T) []*agent {
	t.Helper()
	key := filepath.Join(t.TempDir(), "mesh.key")
	require.NoError(t, os.WriteFile(key, []byte(command(t, "key", "new")), 0o600))
	var agents []*agent
	var join []string
	for _, authority := range []string{"warehouse", "fleet", "payments"} {
		a := newAgent(t, authority+"-1", authority, "--mesh-key-file", key)
		for _, j := range join {
			a.args = append(a.args, "--join", j)
		}
		a.run()
		join = append(join, a.bind)
		agents = append(agents, a)
	}
	converged(t, 30*time.Second, agents...)
	return agents
}

// converged waits until the agents are ready and converged under one root.
func converged(t *testing.T, within time.Duration, agents ...*agent) {
	t.Helper()
	until(t, within, "all agents are converged under one root", func() bool {
		root := ""
		for _, a := range agents {
			m, ok := a.mesh()
			if !ok || !m.Converged || len(m.Held) > 0 || (root != "" && m.Root != root) {
				return false
			}
			root = m.Root
			if !a.ready() {
				return false
			}
		}
		return true
	}, agents...)
}

func (a *agent) raw(t *testing.T, path string) (etag, body string) {
	t.Helper()
	resp, err := a.client.Get(a.url(path))
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", path, b)
	return resp.Header.Get("ETag"), string(b)
}

// sameAnswers compares views and histories byte for byte.
func sameAnswers(t *testing.T, agents []*agent, subjects ...string) {
	t.Helper()
	for _, s := range subjects {
		for _, path := range []string{"/v1/subjects/" + s, "/v1/history/" + s} {
			etag, body := agents[0].raw(t, path)
			for _, a := range agents[1:] {
				e, b := a.raw(t, path)
				require.Equal(t, body, b, "%s on %s", path, a.name)
				require.Equal(t, etag, e, "%s on %s", path, a.name)
			}
		}
	}
}

// Three authorities write the same subjects, each on its node; one is killed
// and started again while it is published to; one cursor moves from node to
// node all the while.
func TestThreeAgentsOneKilled(t *testing.T) {
	agents := trio(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	producers := make([]*producer, len(agents))
	var wg, polls sync.WaitGroup
	const items = 1500
	for i, a := range agents {
		producers[i] = newProducer(a)
		// All write the same subjects: see producer.one.
		wg.Go(func() { producers[i].publish(ctx, t, 4, items, "order") })
	}
	c := newConsumer(agents...)
	following, stop := context.WithCancel(ctx)
	polls.Go(func() { c.follow(following) })

	kills := count("TIDINGS_KILLS", 5)
	victim := agents[1]
	witnesses := []*producer{newProducer(agents[0]), newProducer(agents[2])}
	for i := range kills {
		time.Sleep(300 * time.Millisecond)
		victim.kill()
		// Meanwhile the others accept and serve.
		for _, w := range witnesses {
			w.once = true
			w.one(ctx, t, "alive", i)
			require.Len(t, w.acked(), i+1, "%s accepts", w.agent.name)
			_, ok := w.agent.mesh()
			require.True(t, ok)
		}
		victim.run()
	}
	wg.Wait()
	stop()
	polls.Wait()
	require.NoError(t, ctx.Err())
	converged(t, 60*time.Second, agents...)
	all := append(witnesses, producers...)
	c.finish(t, all...)
	for _, p := range producers {
		require.Len(t, p.acked(), items)
	}
	// Everything is on all three: a fresh consumer of each sees it.
	for _, a := range agents {
		fresh := newConsumer(a)
		fresh.finish(t, all...)
		require.Len(t, fresh.got, 3*items+2*kills)
		command(t, "verify", "--endpoints", a.url(""))
	}
	sameAnswers(t, agents, "order/b/1", "order/a/42", "order/a/96", "alive/a/0")
	for _, a := range agents {
		require.NoError(t, a.stop())
	}
}

// A node that comes late is ready once it has everything.
func TestLateAgent(t *testing.T) {
	first := start(t, "wh-1", "warehouse")
	p := newProducer(first)
	p.publish(t.Context(), t, 8, 2000, "order")
	late := start(t, "late-1", "late", "--join", first.bind, "--recover-wait", "60s")
	until(t, 30*time.Second, "the late node is ready", late.ready)
	c := newConsumer(late)
	c.finish(t, p)
	require.Len(t, c.got, 2000)
	converged(t, 10*time.Second, first, late)
}

// A node restored from an old copy of its directory takes back what its peers
// have of its chain before it appends.
func TestRestoredAgentDoesNotFork(t *testing.T) {
	agents := trio(t)
	victim := agents[0]
	p := newProducer(victim)
	p.publish(t.Context(), t, 4, 50, "order")
	converged(t, 20*time.Second, agents...)
	victim.kill()
	backup := filepath.Join(t.TempDir(), "backup")
	data := filepath.Join(victim.dir, "data")
	copyData(t, backup, data)
	victim.run()
	p.publish(t.Context(), t, 4, 50, "later")
	converged(t, 20*time.Second, agents...)
	victim.kill()
	require.NoError(t, os.RemoveAll(data))
	copyData(t, data, backup)
	victim.run()
	p.publish(t.Context(), t, 4, 50, "after")
	converged(t, 30*time.Second, agents...)
	for _, a := range agents {
		c := newConsumer(a)
		c.finish(t, p)
		require.Len(t, c.got, 150)
		m, ok := a.mesh()
		require.True(t, ok)
		require.Len(t, m.Chains, 1, "no second chain was begun")
	}
}

// A second node with the same name is refused with the reason; so is a second
// process on one directory.
func TestTwinsAreRefused(t *testing.T) {
	first := start(t, "wh-1", "warehouse")
	_, errs, err := runCommand("agent", "--name", "wh-1", "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--join", first.bind)
	require.Error(t, err)
	require.Contains(t, errs, "wh-1")
	require.Contains(t, errs, first.bind)
	_, errs, err = runCommand("agent", "--data-dir", filepath.Join(first.dir, "data"), "--bind", "127.0.0.1:0", "--http", "127.0.0.1:0")
	require.Error(t, err)
	require.Contains(t, errs, "in use")
}

// What is not a peer is turned away, and changes nothing.
func TestStrangersAreTurnedAway(t *testing.T) {
	agents := trio(t)
	other := filepath.Join(t.TempDir(), "other.key")
	require.NoError(t, os.WriteFile(other, []byte(command(t, "key", "new")), 0o600))
	stranger := start(t, "stranger-1", "stranger", "--join", agents[0].bind, "--mesh-key-file", other, "--recover-wait", "500ms")
	keyless := start(t, "keyless-1", "keyless", "--join", agents[0].bind, "--recover-wait", "500ms")
	for _, s := range []*agent{stranger, keyless} {
		newProducer(s).publish(t.Context(), t, 1, 3, "forged")
	}
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x00\x01\x02", strings.Repeat("\xdd\xff", 5000)} {
		sendRaw(t, agents[0].bind, garbage)
	}
	p := newProducer(agents[0])
	p.publish(t.Context(), t, 2, 100, "order")
	converged(t, 20*time.Second, agents...)
	for _, a := range agents {
		m, ok := a.mesh()
		require.True(t, ok)
		require.Len(t, m.Members, 3)
		require.Equal(t, 100, m.Store.Updates)
	}
	m, ok := stranger.mesh()
	require.True(t, ok)
	require.False(t, m.Converged, "it was told to join and reached nobody")
}
