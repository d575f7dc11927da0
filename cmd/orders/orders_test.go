package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test is its own services: they are started from this binary.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS_SERVICE") != "" {
		main()
	}
	os.Setenv("ORDERS_SERVICE", "yes")
	os.Exit(m.Run())
}

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, runDemo(t.Context(), []string{"--dir", dir}, &out), "%s", &out)
	require.Contains(t, out.String(), "late     payments")
	require.Contains(t, out.String(), "Order 1002 and 1003 were refunded once each, 1001 was not.")
	nothingLeft(t, dir, out.String())
}

// Who interrupts the demo leaves nothing behind either.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watcher{text: "PUT warehouse /orders/1002", seen: cancel}
	require.ErrorIs(t, runDemo(ctx, []string{"--dir", dir}, out), context.Canceled)
	require.NotContains(t, out.String(), "Done")
	nothingLeft(t, dir, out.String())
}

// watcher calls seen once a text was written.
type watcher struct {
	bytes.Buffer
	text string
	seen func()
}

func (w *watcher) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		w.seen()
	}
	return w.Buffer.Write(p)
}

// nothingLeft checks that all processes that a demo named have ended, and that its
// folder is gone.
func nothingLeft(t *testing.T, dir, said string) {
	t.Helper()
	pids := regexp.MustCompile(`process (\d+)`).FindAllStringSubmatch(said, -1)
	require.Len(t, pids, 4)
	for _, pid := range pids {
		n, err := strconv.Atoi(pid[1])
		require.NoError(t, err)
		require.ErrorIs(t, syscall.Kill(n, 0), syscall.ESRCH, "process %d has ended", n)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// Payments and the warehouse are killed while orders come: each order ends as it
// should, and what was refunded was refunded once.
func TestKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := &mesh{dir: t.TempDir(), slow: 100 * time.Millisecond, procs: map[string]*process{}}
	t.Cleanup(func() {
		stopped := m.stop()
		if t.Failed() {
			for name := range m.procs {
				b, _ := os.ReadFile(filepath.Join(m.dir, name+".log"))
				t.Logf("%s: …%s", name, b[max(0, len(b)-2000):])
			}
		}
		require.NoError(t, stopped)
	})
	for _, name := range []string{"legacy", "warehouse", "fleet", "payments"} {
		_, err := m.start(ctx, name)
		require.NoError(t, err)
	}

	const total = 40
	kills := map[int]string{10: "payments", 18: "warehouse", 26: "payments"}
	for i := range total {
		if name := kills[i]; name != "" {
			require.NoError(t, m.procs[name].kill())
			_, err := m.start(ctx, name)
			require.NoError(t, err)
		}
		item := []string{"lamp", "desk"}[i%2]
		body := fmt.Sprintf(`{"items":{%q:1},"amount":%d}`, item, 10+i)
		// The node may not be ready yet, and the caller sends the order again.
		require.NoError(t, until(ctx, "the order is placed", func() (bool, error) {
			return m.procs["warehouse"].call(ctx, "PUT", "/orders/"+strconv.Itoa(i), body, nil) == nil, nil
		}))
	}

	for _, who := range []string{"warehouse", "fleet", "payments"} {
		for i := range total {
			number := strconv.Itoa(i)
			hooks := map[string]int{"": 1, "authorise": 1, "pick": 1, "capture": 1}
			as := func(o order) bool { return o.State == "delivered" && o.Payment.State == "captured" }
			if i%2 == 1 {
				hooks = map[string]int{"": 1, "authorise": 1, "pick": 1, "refund": 1, "cancel": 1, "dispatch": 1}
				as = ended
			}
			o, err := m.wait(ctx, who, number, as)
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(10+i), o.Amount.String())
			updates, err := m.updates(ctx, who, number)
			require.NoError(t, err)
			got := map[string]int{}
			for _, u := range updates {
				if u.Authority != "fleet" || u.Hook != "" { // what the fleet polled comes in one step or two
					got[u.Hook]++
				}
			}
			require.Equal(t, hooks, got, "order %d at %s", i, who)
		}
	}
}

// What a caller gets who does not send an order.
func TestPlaceRefuses(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := &mesh{dir: t.TempDir(), procs: map[string]*process{}}
	t.Cleanup(func() { require.NoError(t, m.stop()) })
	p, err := m.start(ctx, "warehouse")
	require.NoError(t, err)
	for _, body := range []string{``, `[]`, `{"items":{"lamp":1}}`, `{"amount":1}`, `{"items":{"lamp":1},"amount":"much"}`} {
		require.ErrorContains(t, p.call(ctx, "PUT", "/orders/1", body, nil), "400", body)
	}
	require.NoError(t, p.call(ctx, "PUT", "/orders/1", `{"items":{"lamp":1},"amount":1}`, nil))
	require.NoError(t, p.call(ctx, "PUT", "/orders/1", `{"items":{"lamp":1},"amount":1}`, nil), "again")
	require.ErrorContains(t, p.call(ctx, "PUT", "/orders/1", `{"items":{"lamp":2},"amount":1}`, nil), "400", "another order under its number")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"nothing"}, {"demo", "now"}, {"legacy", "--slow", "x"}, {"warehouse", "--colour", "red"}, {"fleet"}} {
		require.True(t, errors.Is(run(t.Context(), args), errUsage), "%q", args)
	}
}
