package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

func react(t *testing.T, n *node.Node, hook string, h node.ReactFunc, options ...node.ReactOption) (stop func()) {
	t.Helper()
	<-n.Ready()
	stop, err := n.React(hook, chain.Prefix("order"), h, options...)
	require.NoError(t, err)
	return stop
}

// gathered is the value of one of a reaction's metrics; labels are in the order of
// their names.
func gathered(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetValue())
			}
			if slices.Equal(got, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

// answers are the updates here by which a hook answered, by cause.
func answers(t *testing.T, n *node.Node, hook string) map[chain.ID][]chain.ID {
	t.Helper()
	out := map[chain.ID][]chain.ID{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for batch, err := range n.Changes(ctx) {
		require.NoError(t, err)
		for _, u := range batch.Updates {
			if u.Hook == hook {
				require.Contains(t, u.Deps, u.Cause)
				out[u.Cause] = append(out[u.Cause], u.ID)
			}
		}
		if batch.UpToDate {
			cancel()
		}
	}
	return out
}

// log is a logger whose text can be read beside it.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// The handler gets what others change about its subjects, in order, with the views
// around it, and its draft answers that.
func TestReact(t *testing.T) {
	t.Parallel()
	hub, registry := gossip.NewHub(), prometheus.NewRegistry()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	payments := open(t, node.Config{Name: "pay-1", Authority: "payments", Hub: hub, Metrics: registry})
	publish(t, fleet, "order/1", `{"early":true}`)
	same(t, fleet, payments)
	<-payments.Ready()
	got := make(chan node.Change, 16)
	stop := react(t, payments, "refund", func(_ context.Context, c node.Change) (*node.Draft, error) {
		got <- c
		if lost, ok := c.After.Status().Get("lost"); !ok || lost.String() != "2" {
			return nil, nil
		}
		d := draft("refund/1", `{"refund":true}`)
		return &d, nil
	})
	own := publish(t, payments, "order/1", `{"paid":true}`)
	publish(t, fleet, "other/1", `{"lost":2}`)
	publish(t, fleet, "order/1", `{"lost":1}`)
	last := publish(t, fleet, "order/1", `{"lost":2}`)
	eventually(t, "the answer", func() bool { return len(answers(t, payments, "refund")) == 1 })

	first := <-got
	require.Equal(t, "fleet", first.Authority)
	require.Equal(t, `{"lost":1}`, string(first.Update.Delta))
	before, after := first.Before.Status().String(), first.After.Status().String()
	require.Contains(t, []string{`{"early":true}`, `{"early":true,"paid":true}`}, before, "as it was when it came")
	require.Contains(t, []string{`{"early":true,"lost":1}`, `{"early":true,"lost":1,"paid":true}`}, after)
	second := <-got
	require.Equal(t, after, second.Before.Status().String())
	part, ok := second.After.StatusOf("fleet")
	require.True(t, ok)
	require.Equal(t, `{"early":true,"lost":2}`, part.String())
	require.Empty(t, got)

	by := answers(t, payments, "refund")[last]
	require.Len(t, by, 1)
	eventually(t, "counted", func() bool {
		return gathered(t, registry, "tidings_reaction_triggers_total", "refund", "published") == 1 &&
			gathered(t, registry, "tidings_reaction_triggers_total", "refund", "nothing") == 1 &&
			gathered(t, registry, "tidings_reaction_lag_updates", "refund") == 0
	})
	require.NotZero(t, own)
	stop()
	require.Equal(t, -1.0, gathered(t, registry, "tidings_reaction_lag_updates", "refund"))
	same(t, fleet, payments)
	require.Equal(t, answers(t, payments, "refund"), answers(t, fleet, "refund"))
}

// counting answers every trigger, and counts its calls.
func counting(calls *atomic.Int64) node.ReactFunc {
	return func(_ context.Context, c node.Change) (*node.Draft, error) {
		n := calls.Add(1)
		d := draft("answer/"+c.Update.ID.String(), fmt.Sprintf(`{"n":%d}`, n))
		return &d, nil
	}
}

// A place outlives the process: each trigger is answered once over restarts, also
// what came meanwhile; another prefix goes on from there.
func TestReactionGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	hub := gossip.NewHub()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	c := node.Config{Name: "pay-1", Authority: "payments", Hub: hub, DataDir: t.TempDir()}
	var triggers []chain.ID
	var calls atomic.Int64
	for life := range 4 {
		n := open(t, c)
		if life == 0 {
			publish(t, fleet, "order/1", `{"before":1}`)
			same(t, n, fleet)
		}
		stop := react(t, n, "h", counting(&calls))
		triggers = append(triggers, publish(t, fleet, "order/1", fmt.Sprintf(`{"life":%d}`, life)))
		eventually(t, "all answered", func() bool { return len(answers(t, n, "h")) == len(triggers) })
		if life%2 == 0 {
			stop()
		}
		require.NoError(t, n.Close())
		triggers = append(triggers, publish(t, fleet, "order/1", fmt.Sprintf(`{"between":%d}`, life)))
	}
	n := open(t, c)
	_, err := n.React("h", chain.Prefix("orders"), counting(&calls)) // which has none
	require.NoError(t, err)
	same(t, n, fleet)
	got := answers(t, n, "h")
	require.Len(t, got, len(triggers)-1, "the last came while it was down, and is left out by the other prefix")
	for _, id := range triggers[:len(triggers)-1] {
		require.Len(t, got[id], 1)
	}
	require.EqualValues(t, len(got), calls.Load())
}

// FromStart begins with what is there, and leaves out what a node of the authority
// has answered.
func TestReactFromStart(t *testing.T) {
	t.Parallel()
	hub := gossip.NewHub()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	var ids []chain.ID
	for i := range 5 {
		ids = append(ids, publish(t, fleet, "order/1", fmt.Sprintf(`{"n":%d}`, i)))
	}
	var calls, again atomic.Int64
	one := open(t, node.Config{Name: "pay-1", Authority: "payments", Hub: hub})
	react(t, one, "h", counting(&calls), node.FromStart())
	eventually(t, "all answered", func() bool { return len(answers(t, one, "h")) == len(ids) })

	registry := prometheus.NewRegistry()
	two := open(t, node.Config{Name: "pay-2", Authority: "payments", Hub: hub, Metrics: registry})
	same(t, one, two)
	react(t, two, "h", counting(&again), node.FromStart())
	eventually(t, "it has come to the end", func() bool { return gathered(t, registry, "tidings_reaction_lag_updates", "h") == 0 })
	require.Zero(t, again.Load())
	require.NoError(t, one.Close())
	id := publish(t, fleet, "order/1", `{"n":9}`)
	eventually(t, "the other answers", func() bool { return len(answers(t, two, "h")[id]) == 1 })
}

// A lost directory loses the place. Its authority's answers tell about where it
// was: what came while the node was away is not skipped.
func TestReactionOfALostDirectory(t *testing.T) {
	t.Parallel()
	hub := gossip.NewHub()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	c := node.Config{Name: "pay-1", Authority: "payments", Hub: hub, DataDir: t.TempDir()}
	publish(t, fleet, "order/1", `{"old":1}`)
	n := open(t, c)
	same(t, n, fleet)
	var calls atomic.Int64
	react(t, n, "h", counting(&calls))
	answered := publish(t, fleet, "order/1", `{"n":1}`)
	eventually(t, "answered", func() bool { return len(answers(t, n, "h")) == 1 })
	same(t, n, fleet)
	require.NoError(t, n.Close())
	missed := publish(t, fleet, "order/1", `{"n":2}`)

	c.DataDir = t.TempDir()
	n = open(t, c)
	same(t, n, fleet)
	react(t, n, "h", counting(&calls))
	eventually(t, "answered", func() bool { return len(answers(t, n, "h")) == 2 })
	got := answers(t, n, "h")
	require.Len(t, got[answered], 1)
	require.Len(t, got[missed], 1)
	require.EqualValues(t, 2, calls.Load(), "neither what is old nor what was answered")
}

// An old copy of the directory has an old place, and its chain comes back from
// peers: what was answered meanwhile is found there.
func TestReactionOfARestoredDirectory(t *testing.T) {
	t.Parallel()
	hub := gossip.NewHub()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	base := t.TempDir()
	c := node.Config{Name: "pay-1", Authority: "payments", Hub: hub, DataDir: filepath.Join(base, "data"), RecoverWait: 20 * time.Second}
	var calls atomic.Int64
	var ids []chain.ID
	life := func(delta string) {
		ids = append(ids, publish(t, fleet, "order/1", delta))
		n := open(t, c)
		react(t, n, "h", counting(&calls), node.FromStart())
		eventually(t, "answered", func() bool { return len(answers(t, n, "h")) == len(ids) })
		same(t, n, fleet)
		require.NoError(t, n.Close())
	}
	life(`{"n":1}`)
	copyTree(t, c.DataDir, filepath.Join(base, "backup"))
	life(`{"n":2}`)
	life(`{"n":3}`)
	require.NoError(t, os.RemoveAll(c.DataDir))
	copyTree(t, filepath.Join(base, "backup"), c.DataDir)
	life(`{"n":4}`)
	n := open(t, c)
	for _, id := range ids {
		require.Len(t, answers(t, n, "h")[id], 1)
	}
	require.EqualValues(t, len(ids), calls.Load())
}

// What fails is tried again, and holds up nobody else.
func TestFailingHandlerIsCalledAgain(t *testing.T) {
	t.Parallel()
	hub, registry, text := gossip.NewHub(), prometheus.NewRegistry(), &logText{}
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	n := open(t, node.Config{
		Name: "pay-1", Authority: "payments", Hub: hub, Metrics: registry, Logger: slog.New(slog.NewTextHandler(text, nil)),
	})
	var calls, others atomic.Int64
	var good atomic.Int64
	good.Store(100) // what the other has not said
	later := counting(&good)
	react(t, n, "bad", func(ctx context.Context, c node.Change) (*node.Draft, error) {
		switch calls.Add(1) {
		case 1:
			return nil, errors.New("no answer today")
		case 2:
			panic("upset")
		case 3:
			runtime.Goexit()
		case 4:
			d := draft("answer/x", `{"x":1}`)
			d.Deps = []chain.ID{{Origin: fleet.Origin(), Seq: 1000}} // which is not there
			return &d, nil
		}
		return later(ctx, c)
	}, node.FromStart())
	react(t, n, "good", counting(&others), node.FromStart())
	id := publish(t, fleet, "order/1", `{"n":1}`)
	eventually(t, "the other goes on", func() bool { return len(answers(t, n, "good")[id]) == 1 })
	eventually(t, "it stands still, and says so", func() bool {
		return gathered(t, registry, "tidings_reaction_failing_seconds", "bad") > 0 && gathered(t, registry, "tidings_reaction_lag_updates", "bad") > 0
	})
	eventually(t, "answered in the end", func() bool { return len(answers(t, n, "bad")[id]) == 1 })
	eventually(t, "well again", func() bool { return gathered(t, registry, "tidings_reaction_failing_seconds", "bad") == 0 })
	require.Equal(t, 4.0, gathered(t, registry, "tidings_reaction_failures_total", "bad"))
	for _, want := range []string{"no answer today", "it panicked: upset", "react_test.go", "runtime.Goexit", "not applied here", "hook=bad", id.String()} {
		require.Contains(t, text.String(), want)
	}
}

// What a handler fails with is its own: also where another node, which it asked, is
// closed or has lost its disk, the reaction goes on.
func TestHandlerThatFailsLikeANodeIsCalledAgain(t *testing.T) {
	t.Parallel()
	hub := gossip.NewHub()
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	n := open(t, node.Config{Name: "pay-1", Authority: "payments", Hub: hub})
	fails := []error{chain.ErrClosed, fmt.Errorf("ask the archive: %w", chain.ErrStoreFailed)}
	var good atomic.Int64
	later := counting(&good)
	react(t, n, "h", func(ctx context.Context, c node.Change) (*node.Draft, error) {
		if len(fails) > 0 {
			err := fails[0]
			fails = fails[1:]
			return nil, err
		}
		return later(ctx, c)
	}, node.FromStart())
	id := publish(t, fleet, "order/1", `{"n":1}`)
	eventually(t, "answered in the end", func() bool { return len(answers(t, n, "h")[id]) == 1 })
	require.EqualValues(t, 1, good.Load())
}

// A draft that is refused for good is reported, and the reaction goes on. A chain
// of reactions ends, and all of it is named.
func TestRefusedAnswers(t *testing.T) {
	t.Parallel()
	hub, registry, text := gossip.NewHub(), prometheus.NewRegistry(), &logText{}
	logger := slog.New(slog.NewTextHandler(text, nil))
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub, Logger: logger})
	n := open(t, node.Config{Name: "pay-1", Authority: "payments", Hub: hub, Metrics: registry, Logger: logger})
	echo := func(_ context.Context, c node.Change) (*node.Draft, error) {
		d := draft(c.Update.Subject, fmt.Sprintf(`{"depth":%d}`, c.Update.Depth+1))
		if c.Update.Subject == "order/bad" {
			d.Delta = []byte(`[]`)
		}
		return &d, nil
	}
	react(t, n, "echo", echo, node.FromStart())
	react(t, fleet, "echo", echo, node.FromStart())
	bad := publish(t, fleet, "order/bad", `{"n":1}`)
	first := publish(t, fleet, "order/1", `{"n":1}`)
	eventually(t, "the chain ends", func() bool { return strings.Contains(text.String(), chain.ErrReactions.Error()) })
	same(t, n, fleet)
	all := answers(t, n, "echo")
	require.Len(t, all, chain.MaxReactions)
	require.Empty(t, all[bad])
	require.Len(t, all[first], 1)
	require.Contains(t, text.String(), bad.String())
	require.Contains(t, text.String(), "not an object")
	depth := 0
	for id, ok := first, true; ok; depth++ {
		var by []chain.ID
		require.Contains(t, text.String(), id.String())
		if by, ok = all[id]; ok {
			id = by[0]
		}
	}
	require.Equal(t, chain.MaxReactions+1, depth)
	eventually(t, "it goes on, and counts", func() bool { return gathered(t, registry, "tidings_reaction_lag_updates", "echo") == 0 })
	require.GreaterOrEqual(t, gathered(t, registry, "tidings_reaction_triggers_total", "echo", "refused"), 1.0)
}

// A name runs once, is well formed, and is free again once it was stopped.
func TestReactionNames(t *testing.T) {
	t.Parallel()
	n := open(t, node.Config{})
	nothing := func(context.Context, node.Change) (*node.Draft, error) { return nil, nil }
	stop := react(t, n, "h", nothing)
	_, err := n.React("h", "", nothing)
	require.ErrorIs(t, err, node.ErrReaction)
	require.ErrorContains(t, err, `"h" runs already`)
	stop()
	stop()
	stop = react(t, n, "h", nothing)
	for _, bad := range []struct {
		hook, prefix string
		h            node.ReactFunc
	}{
		{"", "", nothing},
		{strings.Repeat("x", chain.MaxHook+1), "", nothing},
		{"a\x00b", "", nothing},
		{"b", "order//", nothing},
		{"b", "", nil},
	} {
		_, err := n.React(bad.hook, chain.Prefix(bad.prefix), bad.h)
		require.ErrorIs(t, err, node.ErrReaction, bad.hook)
	}
	require.NoError(t, n.Close())
	stop()
	_, err = n.React("late", "", nothing)
	require.ErrorIs(t, err, chain.ErrClosed)
}

// Close and stop cancel the handler's context and wait for it; what it returns is
// committed all the same.
func TestStopWaitsForTheHandler(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(n *node.Node, stop func()) error{
		"stop":  func(_ *node.Node, stop func()) error { stop(); return nil },
		"close": func(n *node.Node, _ func()) error { return n.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			hub := gossip.NewHub()
			fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
			c := node.Config{Name: "pay-1", Authority: "payments", Hub: hub, DataDir: t.TempDir()}
			n := open(t, c)
			entered, left := make(chan struct{}), atomic.Bool{}
			stop := react(t, n, "h", func(ctx context.Context, _ node.Change) (*node.Draft, error) {
				close(entered)
				<-ctx.Done()
				time.Sleep(20 * time.Millisecond)
				left.Store(true)
				d := draft("answer/1", `{"n":1}`)
				return &d, nil
			}, node.FromStart())
			id := publish(t, fleet, "order/1", `{"n":1}`)
			<-entered
			require.NoError(t, end(n, stop))
			require.True(t, left.Load())
			require.NoError(t, n.Close())
			n = open(t, c)
			require.Len(t, answers(t, n, "h")[id], 1)
		})
	}
}
