package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// legacy is a system that can only be asked.
type legacy struct {
	mu      sync.Mutex // protects what follows
	asked   []time.Time
	orders  map[string]order
	failure error
	hangs   chan struct{} // a question waits for it, whatever its context says
	slow    time.Duration
	running int
	most    int // questions at once
}

func (l *legacy) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *legacy) ask(ctx context.Context) (map[string]order, error) {
	l.mu.Lock()
	l.asked = append(l.asked, time.Now())
	l.running++
	l.most = max(l.most, l.running)
	hangs, slow := l.hangs, l.slow
	l.mu.Unlock()
	defer l.set(func() { l.running-- })
	if hangs != nil {
		<-hangs
	}
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return nil, l.failure
	}
	out := map[string]order{}
	for subject, o := range l.orders {
		out[subject] = o
	}
	return out, nil
}

// forget returns when it was asked since the last call.
func (l *legacy) forget() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}

func gaps(at []time.Time) (out []time.Duration) {
	for i := 1; i < len(at); i++ {
		out = append(out, at[i].Sub(at[i-1]))
	}
	return out
}

func poll(t *testing.T, n *node.Node, name string, every time.Duration, l *legacy) (stop func()) {
	t.Helper()
	stop, err := node.Poll(n, node.Source[order]{Name: name, Every: every, Ask: l.ask})
	require.NoError(t, err)
	return stop
}

// logTo is a logger and what it has written, which is read while it is not used.
func logTo() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

func metric(t *testing.T, n *node.Node, line string) string {
	t.Helper()
	for have := range strings.Lines(answer(n, "/metrics").Body.String()) {
		if value, ok := strings.CutPrefix(have, line+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestASourceIsAskedAndTracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{})
		l := &legacy{orders: map[string]order{"order/1": {State: "placed"}, "order/2": {State: "placed"}}}
		poll(t, n, "wms", 10*time.Second, l)
		began := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		asked := l.forget()
		require.Less(t, asked[0].Sub(began), 5*time.Second)
		different := map[time.Duration]bool{}
		for _, gap := range gaps(asked) {
			require.InDelta(t, 10*time.Second, gap, float64(time.Second))
			different[gap] = true
		}
		require.Greater(t, len(different), 10, "jitter")
		require.EqualValues(t, 2, n.Mesh().Store.Updates, "what does not change is not published")

		l.set(func() { l.orders = map[string]order{"order/1": {State: "picked"}} })
		time.Sleep(15 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{`{"state":"placed"}`, `{"state":"picked"}`}, deltas(t, n, "order/1"))
		require.Equal(t, `{"state":"placed"}`, view(t, n, "order/2"), "what an answer leaves out stays as it is")
	})
}

// The answer for one subject takes time, and that is part of the interval.
func TestASourceOfOneSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{})
		var asked atomic.Int64
		ask := node.One("order/1", func(ctx context.Context) (order, error) {
			time.Sleep(3 * time.Second)
			if i := asked.Add(1); i%2 == 0 {
				return order{}, errors.New("down")
			}
			return order{State: "placed"}, nil
		})
		stop, err := node.Poll(n, node.Source[order]{Name: "wms", Every: 10 * time.Second, Ask: ask})
		require.NoError(t, err)
		time.Sleep(time.Minute + 5*time.Second)
		stop()
		require.InDelta(t, 4.5, asked.Load(), 0.5, "after 10 s, and 20 where it failed")
		require.Equal(t, []string{`{"state":"placed"}`}, deltas(t, n, "order/1"))
	})
}

func TestAFailingSourceIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logTo()
		n := open(t, node.Config{Logger: log})
		l := &legacy{orders: map[string]order{"order/1": {State: "placed"}}}
		poll(t, n, "wms", time.Second, l)
		time.Sleep(10 * time.Second)
		l.set(func() { l.failure = errors.New("connection refused") })
		l.forget()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		last := time.Duration(0)
		pauses := gaps(l.forget())
		for _, pause := range pauses {
			require.Less(t, pause, 18*time.Second, "16 times Every and the jitter")
			require.Greater(t, pause, last*8/10, "never sooner again, but for jitter")
			last = pause
		}
		require.Greater(t, last, 14*time.Second)
		require.Equal(t, 1, strings.Count(lines.String(), "level=WARN"), "%s", lines)
		require.Contains(t, lines.String(), `source=wms err="connection refused"`)
		require.Equal(t, fmt.Sprint(len(pauses)+1), metric(t, n, `tidings_source_polls_total{outcome="failed",source="wms"}`))
		var age float64
		_, err := fmt.Sscan(metric(t, n, `tidings_source_answer_age_seconds{source="wms"}`), &age)
		require.NoError(t, err)
		require.InDelta(t, 601, age, 2)
		require.Equal(t, `{"state":"placed"}`, view(t, n, "order/1"))

		l.set(func() { l.failure = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		asked := l.forget()
		require.Greater(t, len(asked), 35, "it is asked as before")
		require.Contains(t, lines.String(), "source answers again")
		require.Equal(t, 1, strings.Count(lines.String(), "level=WARN"))
	})
}

// broken is a state that cannot be encoded.
type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { panic("no such state") }

// A source that panics, or ends its goroutine, fails like any other: the service
// lives on, and so do its node and its other sources.
func TestASourceThatPanics(t *testing.T) {
	for name, ask := range map[string]func(context.Context) (map[string]any, error){
		"it panicked: upset":         func(context.Context) (map[string]any, error) { panic("upset") },
		"it called runtime.Goexit":   func(context.Context) (map[string]any, error) { runtime.Goexit(); return nil, nil },
		"it panicked: no such state": func(context.Context) (map[string]any, error) { return map[string]any{"order/1": broken{}}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, lines := logTo()
				n := open(t, node.Config{Logger: log})
				var well atomic.Bool
				_, err := node.Poll(n, node.Source[any]{Name: "bad", Every: time.Second, Ask: func(ctx context.Context) (map[string]any, error) {
					if well.Load() {
						return map[string]any{"order/1": order{State: "placed"}}, nil
					}
					return ask(ctx)
				}})
				require.NoError(t, err)
				fine := &legacy{orders: map[string]order{"order/2": {State: "placed"}}}
				poll(t, n, "fine", time.Second, fine)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.InDelta(t, 60, len(fine.forget()), 5)
				require.Contains(t, lines.String(), name)
				require.Equal(t, strings.HasPrefix(name, "it panicked"), strings.Contains(lines.String(), "source_test.go"), "the stack")
				require.NotEqual(t, "0", metric(t, n, `tidings_source_polls_total{outcome="failed",source="bad"}`))
				require.Equal(t, "0", metric(t, n, `tidings_source_polls_total{outcome="late",source="bad"}`))
				well.Store(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, []string{`{"state":"placed"}`}, deltas(t, n, "order/1"))
				require.Contains(t, lines.String(), "source answers again")
			})
		})
	}
}

// A question that goes on for ever is the only one; nobody else notices.
func TestASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logTo()
		n := open(t, node.Config{Logger: log})
		stuck := &legacy{hangs: make(chan struct{}), orders: map[string]order{"order/1": {State: "too late"}}}
		fine := &legacy{orders: map[string]order{"order/2": {State: "placed"}}}
		poll(t, n, "stuck", time.Second, stuck)
		poll(t, n, "fine", time.Second, fine)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Len(t, stuck.forget(), 1)
		require.InDelta(t, 300, len(fine.forget()), 10)
		require.Equal(t, 1, strings.Count(lines.String(), "level=WARN"))
		require.Contains(t, lines.String(), `source=stuck err="no answer within 1s"`)
		require.NotEqual(t, "0", metric(t, n, `tidings_source_polls_total{outcome="late",source="stuck"}`))

		// It comes back: what it says is old, and it is asked again.
		close(stuck.hangs)
		stuck.set(func() { stuck.hangs = nil; stuck.orders = map[string]order{"order/1": {State: "now"}} })
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []string{`{"state":"now"}`}, deltas(t, n, "order/1"))
		require.Equal(t, 1, stuck.most)
		require.Contains(t, lines.String(), "source answers again")
	})
}

// A source that heeds its context is late as well, and asked again.
func TestASourceThatIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{})
		l := &legacy{slow: 3 * time.Second}
		_, err := node.Poll(n, node.Source[order]{Name: "wms", Every: 10 * time.Second, Timeout: 2 * time.Second, Ask: l.ask})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Greater(t, len(l.forget()), 2)
		require.Equal(t, "0", metric(t, n, `tidings_source_polls_total{outcome="failed",source="wms"}`))
		require.NotEqual(t, "0", metric(t, n, `tidings_source_polls_total{outcome="late",source="wms"}`))
	})
}

// Close is bounded though a question goes on for ever, and says whose.
func TestCloseLeavesAHangingQuestionBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.Open(t.Context(), node.Config{Name: "wh-1"})
		require.NoError(t, err)
		stuck := &legacy{hangs: make(chan struct{})}
		stop := poll(t, n, "stuck", time.Second, stuck)
		time.Sleep(10 * time.Second)
		began := time.Now()
		require.ErrorContains(t, n.Close(), `source "stuck"`)
		require.Equal(t, 5*time.Second, time.Since(began))
		stop()
		require.Equal(t, 5*time.Second, time.Since(began))
		close(stuck.hangs)
	})
}

// Of a large answer everything that can be is published, in few commits.
func TestAnAnswerOfManySubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, lines := logTo()
		n := open(t, node.Config{Logger: log})
		const count = 3000
		l := &legacy{orders: map[string]order{}}
		for i := range count {
			l.orders[fmt.Sprint("order/", i)] = order{State: "placed"}
		}
		l.orders["order//"] = order{State: "placed"}
		l.orders["order/x"] = order{State: strings.Repeat("x", chain.MaxDelta)}
		stop := poll(t, n, "wms", time.Minute, l)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.EqualValues(t, count, n.Mesh().Store.Updates)
		require.Equal(t, "2", metric(t, n, `tidings_source_refused_states_total{source="wms"}`))
		require.Equal(t, "1", metric(t, n, `tidings_source_polls_total{outcome="answered",source="wms"}`))
		require.Contains(t, lines.String(), "subject=order//")
		require.Contains(t, lines.String(), "subject=order/x")
		var commits float64
		_, err := fmt.Sscan(metric(t, n, `tidings_store_commits_total{synced="yes"}`), &commits)
		require.NoError(t, err)
		require.Less(t, commits, count/4.)
		stop()
		require.Empty(t, metric(t, n, `tidings_source_polls_total{outcome="answered",source="wms"}`), "it is no source any more")
	})
}

// Many sources that begin together do not ask together.
func TestSourcesAreFirstAskedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := open(t, node.Config{})
		l := &legacy{}
		began := time.Now()
		for i := range 100 {
			poll(t, n, fmt.Sprint("source-", i), time.Minute, l)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		inEach := map[time.Duration]int{}
		for _, at := range l.forget() {
			inEach[at.Sub(began)/time.Second]++
		}
		require.Len(t, inEach, 5)
		for _, asked := range inEach {
			require.Less(t, asked, 50)
		}
	})
}

func TestPollIsChecked(t *testing.T) {
	n := open(t, node.Config{})
	ask := (&legacy{}).ask
	for _, s := range []node.Source[order]{
		{Every: 1, Ask: ask},
		{Name: "a\n", Every: 1, Ask: ask},
		{Name: "a", Ask: ask},
		{Name: "a", Every: -1, Ask: ask},
		{Name: "a", Every: 1, Timeout: -1, Ask: ask},
		{Name: "a", Every: 1},
	} {
		_, err := node.Poll(n, s)
		require.ErrorIs(t, err, node.ErrConfig)
	}
	s := node.Source[order]{Name: "a", Every: time.Hour, Ask: ask}
	stop, err := node.Poll(n, s)
	require.NoError(t, err)
	_, err = node.Poll(n, s)
	require.ErrorIs(t, err, node.ErrConfig)
	require.ErrorContains(t, err, `"a"`)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(stop)
	}
	wg.Wait()
	_, err = node.Poll(n, s)
	require.NoError(t, err, "the name is free again")
	stop()
	_, err = node.Poll(n, s)
	require.ErrorIs(t, err, node.ErrConfig, "what was stopped stops nobody else")
	require.NoError(t, n.Close())
	_, err = node.Poll(n, s)
	require.ErrorIs(t, err, chain.ErrClosed)
}
