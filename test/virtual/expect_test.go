package virtual

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node"
)

// expectedView is what these tests read of a view with expect=true.
type expectedView struct {
	Expected, Missing, Late []string
}

// Two nodes that are told alike answer alike while an authority is silent: the
// same bytes under the same tag, before its deadline and from it on; who waits
// on either is woken by the deadline, which counts from the subject's first
// update by anyone, whichever node has it first.
func TestExpectationsAreOneOnNodesToldAlike(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(2, func(c *node.Config) {
			c.Expect = node.Expectations{
				{Prefix: "order/", Authorities: []string{"a1", "a2", "silent"}, Within: 20 * time.Second},
				{Prefix: "order/", Authorities: []string{"audit"}},
			}
		})
		const target = "/v1/subjects/order/1?expect=true"
		for _, m := range nodes {
			require.Equal(t, http.StatusNotFound, m.get(target).Code)
		}
		began := time.Now()
		both := func(missing, late string) (tag string) {
			t.Helper()
			var bodies []string
			for _, m := range nodes {
				a := m.get(target)
				var v expectedView
				a.into(t, http.StatusOK, &v)
				require.Equal(t, "[a1 a2 audit silent]", fmt.Sprint(v.Expected))
				require.Equal(t, missing, fmt.Sprint(v.Missing))
				require.Equal(t, late, fmt.Sprint(v.Late))
				bodies = append(bodies, a.Header().Get("ETag")+a.Body.String())
				tag = a.Header().Get("ETag")
			}
			require.Equal(t, bodies[0], bodies[1])
			return tag
		}
		publish := func(m *member, delta string) {
			t.Helper()
			id, err := m.Publish(t.Context(), node.Draft{Subject: "order/1", Delta: []byte(delta)})
			require.NoError(t, err)
			for _, m := range nodes {
				require.NoError(t, m.Wait(t.Context(), id))
			}
		}
		publish(nodes[0], `{"state":"placed"}`)
		both("[a2 audit silent]", "[]")
		time.Sleep(5 * time.Second)
		publish(nodes[1], `{"van":7}`)
		tag := both("[audit silent]", "[]")

		type woken struct {
			status int
			after  time.Duration
		}
		wakes := make(chan woken, len(nodes))
		for _, m := range nodes {
			go func() {
				a := m.get(target+"&wait=30s", "If-None-Match", tag)
				wakes <- woken{a.Code, time.Since(began).Round(10 * time.Millisecond)} // updates are stamped to 1 ms
			}()
		}
		for range nodes {
			require.Equal(t, woken{http.StatusOK, 20 * time.Second}, <-wakes)
		}
		both("[audit silent]", "[silent]")
	})
}

// Deadlines go by the clock that the node has at the moment it is asked, wherever
// that was set meanwhile.
func TestExpectationsGoByTheClock(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		m := w.open(1, func(c *node.Config) {
			c.Expect = node.Expectations{{Authorities: []string{"silent"}, Within: time.Minute}}
		})
		late := func() int {
			a, err := m.Attendance(t.Context(), "s")
			require.NoError(t, err)
			require.Equal(t, []string{"silent"}, a.Missing)
			return len(a.Late)
		}
		_, err := m.Publish(t.Context(), node.Draft{Subject: "s", Delta: []byte(`{"a":1}`)})
		require.NoError(t, err)
		require.Zero(t, late())
		m.ahead.Store(int64(time.Minute + time.Millisecond))
		require.Equal(t, 1, late())
		m.ahead.Store(0)
		require.Zero(t, late())
		time.Sleep(time.Minute + time.Millisecond)
		require.Equal(t, 1, late())
	})
}
