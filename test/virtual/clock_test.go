package virtual

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node"
)

const year = 365 * 24 * time.Hour

// A clock that jumps by a year: its node says so and refuses to publish, the
// others go on, and once it is set right the node publishes again.
func TestClockOff(t *testing.T) {
	for _, c := range []struct {
		name string
		off  time.Duration
	}{{"a year ahead", year}, {"a year behind", -year}, {"six seconds ahead", 6 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				nodes := w.mesh(3)
				rng := newDice(t)
				w.setPath(jitter(rng))
				odd, good := nodes[2], nodes[:2]
				b, reader := newBooks(), newConsumer(nodes...)
				produced, followed := b.produce(w, 200*time.Millisecond, good...), reader.follow(w)
				_, ok := b.publish(w, odd, "order/1")
				require.True(t, ok)
				time.Sleep(3 * time.Second) // clocks are compared each second

				odd.ahead.Store(int64(c.off))
				code, ok := b.publish(w, odd, "order/1")
				require.False(t, ok, "the very next one would be stamped with that")
				require.Equal(t, "clock_skew", code)
				noticed := w.within(time.Second, "the node says that its clock is off", func() bool {
					is, p := odd.ready(t)
					if !is {
						require.Contains(t, p.Reason, "clock")
						require.Contains(t, p.Reason, "of 3 nodes")
					}
					return !is
				})
				for range 100 {
					code, ok := b.publish(w, odd, "order/1")
					require.False(t, ok)
					require.Equal(t, "clock_skew", code)
					for _, m := range good {
						is, p := m.ready(t)
						require.True(t, is, "%+v", p)
						require.Empty(t, m.mesh().Held)
					}
					time.Sleep(100 * time.Millisecond)
				}
				require.True(t, odd.get("/v1/subjects/order/1").Code == http.StatusOK, "reads are served")

				odd.ahead.Store(0)
				repaired := w.within(time.Second, "it publishes again", func() bool {
					_, ok := b.publish(w, odd, "order/1")
					return ok
				})
				is, p := odd.ready(t)
				require.True(t, is, "%+v", p)
				produced()
				w.settle(healing, nodes...)
				followed()
				reader.finish(w, b)
				w.same(b, nodes...)
				t.Logf("noticed after %s, publishes again %s after it was set right", noticed, repaired)
			})
		})
	}
}

// An update from the future is held by the nodes that can tell, who show it. Once
// most of the members have applied it, they do too.
func TestUpdateFromTheFuture(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		// Of two clocks nobody can say which is wrong.
		early := []*member{w.open(1), w.open(2)}
		b := newBooks()
		_, ok := b.publish(w, early[0], "order/0")
		require.True(t, ok)
		early[0].ahead.Store(int64(year))
		id, ok := b.publish(w, early[0], "order/1")
		require.True(t, ok)
		w.settle(5*time.Second, early...)

		// The late ones meet each other first, and have compared their clocks: a
		// single one would be in the minority, and apply it.
		w.setPath(func(from, to netip.AddrPort) (time.Duration, bool) {
			return 0, (from == early[0].addr || from == early[1].addr) == (to == early[0].addr || to == early[1].addr)
		})
		toThree := func(c *node.Config) { c.Join = []string{address(1), address(3)} }
		late := []*member{w.open(3, toThree), w.open(4, toThree), w.open(5, toThree)}
		w.within(rejoining, "the late ones have met", func() bool { return membersAlive(late...) })
		time.Sleep(5 * time.Second)
		w.setPath(nil)
		holds := func(m *member) bool {
			held := m.mesh().Held
			return len(held) == 1 && held[0].ID == id && held[0].Reason == "clock"
		}
		w.within(time.Minute, "the late ones hold it", func() bool { return holds(late[0]) && holds(late[1]) && holds(late[2]) })
		w.within(10*time.Second, "the odd one is named", func() bool { is, _ := early[0].ready(t); return !is })
		for range 300 {
			time.Sleep(100 * time.Millisecond) // what is said of convergence may be 20 ms old
			for _, m := range late {
				require.True(t, holds(m), "2 of 5 have applied it")
				require.False(t, m.mesh().Converged)
				require.Equal(t, http.StatusNotFound, m.get("/v1/subjects/order/1").Code)
			}
		}
		var u struct {
			Applied bool
			Reason  string
		}
		late[0].get("/v1/updates/"+id).into(t, http.StatusOK, &u)
		require.False(t, u.Applied)
		require.Equal(t, "clock", u.Reason)
		// The rest of the mesh is not held up by it.
		other, ok := b.publish(w, late[1], "order/2")
		require.True(t, ok)
		for _, m := range late {
			require.NoError(t, m.Wait(t.Context(), idOf(t, other)))
		}

		w.close(late[2])
		w.close(late[1])
		took := w.within(20*time.Second, "2 of 3 have applied it", func() bool { return len(late[0].mesh().Held) == 0 })
		back := append(early, late[0], w.open(4), w.open(5))
		w.within(20*time.Second, "then 3 of 5 have, and all do", func() bool {
			for _, m := range back {
				if m.mesh().Root != back[0].mesh().Root {
					return false
				}
			}
			return true
		})
		w.settle(healing, back...)
		w.same(b, back...)
		t.Logf("applied %s after two of those that had not were gone", took)
	})
}
