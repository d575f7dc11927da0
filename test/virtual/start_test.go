package virtual

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

func idOf(t *testing.T, s string) chain.ID {
	id, err := chain.ParseID(s)
	require.NoError(t, err)
	return id
}

// A node that comes late says how far it has come, serves reads meanwhile, and is
// ready once it has all.
func TestLateNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(3)
		var last string
		// A peer is asked for 256 KiB at first and for twice as much each time: its
		// hundred of them take three requests, a round trip apart.
		for i := range 300 {
			m := nodes[i%3]
			a := m.call(http.MethodPost, "/v1/updates",
				fmt.Sprintf(`{"subject":"order/%d","delta":{"n":%d,"text":%q}}`, i%50, i, strings.Repeat("x", 16<<10)), "Content-Type", "application/json")
			var u update
			a.into(t, http.StatusCreated, &u)
			last = u.ID
		}
		w.settle(5*time.Second, nodes...)
		w.setPath(slow(50 * time.Millisecond))
		late := w.open(4)
		var seen []int
		took := w.within(time.Minute, "ready", func() bool {
			is, p := late.ready(t)
			if !is {
				require.Equal(t, "not_ready", p.Code)
				require.NotEmpty(t, p.Reason)
				require.NotNil(t, p.Progress)
				require.LessOrEqual(t, p.Progress.Have, p.Progress.Want)
				if have := p.Progress.Have; len(seen) == 0 || have != seen[len(seen)-1] {
					seen = append(seen, have)
				}
				require.Equal(t, http.StatusOK, late.get("/v1/subjects").Code)
			}
			return is
		})
		require.IsIncreasing(t, seen)
		require.Greater(t, len(seen), 2)
		require.Equal(t, nodes[0].mesh().Root, late.mesh().Root)
		var u struct{ Applied bool }
		late.get("/v1/updates/"+last).into(t, http.StatusOK, &u)
		require.True(t, u.Applied)
		w.settle(5*time.Second, append(nodes, late)...)
		t.Logf("ready after %s; progress %v", took, seen)
	})
}

// Who is left of a mesh waits as long as it is told, is ready then, publishes,
// and says that it is not converged.
func TestSurvivor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const wait = 7 * time.Second
		config := func(c *node.Config) { c.RecoverWait = wait; w.onDisk(c) }
		nodes := w.mesh(3, config)
		b := newBooks()
		for _, m := range nodes {
			b.publish(w, m, "order/1")
		}
		w.settle(5*time.Second, nodes...)
		for _, m := range nodes {
			w.pull(m)
		}
		for _, m := range nodes {
			w.crash(m)
		}
		began := time.Now()
		left := w.open(3, config)
		opened := time.Since(began)
		w.within(wait+time.Second, "ready", func() bool {
			is, p := left.ready(t)
			if !is {
				require.Contains(t, []string{"recovering the own chain from peers", "comparing clocks with the mesh", "catching up with the mesh"}, p.Reason)
			}
			return is
		})
		ready := time.Since(began)
		require.GreaterOrEqual(t, ready, wait)
		require.False(t, left.mesh().Converged)
		_, ok := b.publish(w, left, "order/1")
		require.True(t, ok)
		var warned []string // that it is alone, once
		for line := range strings.Lines(left.log.last(1_000)) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, "answered") {
				warned = append(warned, line)
			}
		}
		require.Len(t, warned, 1)
		require.Contains(t, warned[0], `"no peer answered: serving what is here"`)
		time.Sleep(time.Minute)
		require.False(t, left.mesh().Converged)
		require.Equal(t, []string{"failed", "failed"}, []string{left.mesh().status("n1"), left.mesh().status("n2")})
		// The dead come back.
		again := []*member{w.open(1, config), w.open(2, config), left}
		w.within(rejoining, "whole again", func() bool { return whole(again...) })
		w.settle(healing, again...)
		w.same(b, again...)
		t.Logf("open after %s, ready after %s", opened, ready)
	})
}

// One whose directory was copied, and who finds nobody, goes on under a new origin,
// and has waited once for others by then.
func TestCopiedAndAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		const wait = 20 * time.Second
		config := func(c *node.Config) { c.RecoverWait = wait; w.onDisk(c) }
		nodes := w.mesh(2, config)
		b := newBooks()
		b.publish(w, nodes[1], "order/1")
		w.settle(5*time.Second, nodes...)
		was := nodes[1].Origin()
		for _, m := range nodes {
			w.pull(m)
		}
		for _, m := range nodes {
			w.crash(m)
		}
		dir := filepath.Join(w.dir, "n2")
		require.NoError(t, os.CopyFS(dir+"-copied", os.DirFS(dir)))
		began := time.Now()
		copied := w.open(2, config, func(c *node.Config) { c.DataDir += "-copied" })
		require.NotEqual(t, was, copied.Origin())
		w.within(wait, "ready", func() bool { is, _ := copied.ready(t); return is })
		ready := time.Since(began)
		require.GreaterOrEqual(t, ready, wait)
		require.Less(t, ready, wait+5*time.Second)
		t.Logf("ready after %s", ready)
	})
}

// A node that crashed comes back at its address or at another one, with its
// directory, and goes on with its chain.
func TestRestart(t *testing.T) {
	for _, same := range []bool{true, false} {
		t.Run(fmt.Sprintf("same address=%v", same), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(3, w.onDisk)
				b, c := newBooks(), newConsumer(nodes[:2]...)
				followed := c.follow(w)
				for range 10 {
					for _, m := range nodes {
						b.publish(w, m, "order/1")
					}
				}
				w.settle(5*time.Second, nodes...)
				was := nodes[2]
				origin := was.Origin()
				w.crash(was)
				w.within(10*time.Second, "seen", func() bool { return nodes[0].mesh().status("n3") == "failed" })
				began := time.Now()
				nodes[2] = w.open(3, w.onDisk, func(c *node.Config) {
					if !same {
						c.Bind = "127.0.1.3:7000"
					}
				})
				require.Equal(t, same, nodes[2].addr == was.addr)
				w.within(rejoining, "whole again", func() bool { return whole(nodes...) })
				took := time.Since(began)
				for _, m := range nodes {
					for _, o := range m.mesh().Members {
						require.True(t, o.Name != "n3" || o.Addr == nodes[2].Addr(), "%+v", o)
					}
					require.Len(t, m.mesh().Members, 3)
				}
				require.Equal(t, origin, nodes[2].Origin())
				id, ok := b.publish(w, nodes[2], "order/1")
				require.True(t, ok)
				_, seq := parseID(id)
				require.Equal(t, 12, seq, "the chain goes on")
				w.settle(healing, nodes...)
				followed()
				c.nodes = nodes
				c.finish(w, b)
				w.same(b, nodes...)
				t.Logf("whole %s after it started", took)
			})
		})
	}
}

// A second node of one name or of one key is refused while the first one
// answers, and takes its place once it does not.
func TestTwins(t *testing.T) {
	for _, key := range []bool{true, false} {
		t.Run(fmt.Sprintf("same key=%v", key), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(3, w.onDisk)
				b := newBooks()
				for _, m := range nodes {
					b.publish(w, m, "order/1")
				}
				w.settle(5*time.Second, nodes...)
				twin := func(c *node.Config) {
					c.Name, c.Authority = "n3", "a3"
					c.DataDir = filepath.Join(w.dir, "twin")
				}
				if key {
					require.NoError(t, os.CopyFS(filepath.Join(w.dir, "twin"), os.DirFS(filepath.Join(w.dir, "n3"))))
				}
				_, err := w.start(4, twin)
				var refused *gossip.TwinError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, key, refused.SameKey)
				require.Equal(t, nodes[2].addr, refused.Other.Addr)
				time.Sleep(10 * time.Second)
				require.True(t, whole(nodes...), "the first goes on")
				_, ok := b.publish(w, nodes[2], "order/1")
				require.True(t, ok)
				w.settle(5*time.Second, nodes...)

				origin := nodes[2].Origin()
				w.crash(nodes[2])
				nodes[2] = w.open(4, twin)
				w.within(rejoining, "it takes the place of the first", func() bool { return whole(nodes...) })
				require.Equal(t, key, origin == nodes[2].Origin())
				_, ok = b.publish(w, nodes[2], "order/1")
				require.True(t, ok)
				w.settle(healing, nodes...)
				w.same(b, nodes...)
			})
		})
	}
}
