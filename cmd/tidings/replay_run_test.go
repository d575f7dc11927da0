package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// fakeMesh stands for nodes whose updates take their time to each other. It
// notes what a replay does wrong.
type fakeMesh struct {
	t      *testing.T
	travel time.Duration // from one node to the others; negative: never

	mu       sync.Mutex // protects what follows
	random   *rand.Rand
	outlets  map[string]*fakeOutlet
	applied  map[chain.ID]time.Time // everywhere, when
	last     map[string]fakeLast    // by subject
	busy     int                    // lines being published
	busiest  int
	statuses map[string]string
}

type fakeLast struct {
	number int
	id     chain.ID
}

type fakeOutlet struct {
	m         *fakeMesh
	authority string
	origin    chain.Origin
	seq       chain.Seq
	answer    func(*replayLine) (replayOutcome, error) // nil: published
	moving    bool                                     // its root changes with every look
}

func newFakeMesh(t *testing.T) *fakeMesh {
	return &fakeMesh{
		t: t, travel: 30 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2)),
		outlets: map[string]*fakeOutlet{}, applied: map[chain.ID]time.Time{}, last: map[string]fakeLast{}, statuses: map[string]string{},
	}
}

func (m *fakeMesh) get(_ context.Context, authority string) (outlet, error) {
	return m.of(authority), nil
}

func (m *fakeMesh) of(authority string) *fakeOutlet {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.outlets[authority]
	if o == nil {
		o = &fakeOutlet{m: m, authority: authority, origin: chain.Origin{byte(len(m.outlets) + 1)}, seq: 1}
		m.outlets[authority] = o
	}
	return o
}

func (o *fakeOutlet) name() string { return o.authority }

func (o *fakeOutlet) publish(ctx context.Context, l *replayLine) (replayOutcome, error) {
	m := o.m
	m.mu.Lock()
	was := m.last[l.subject]
	if l.number <= was.number {
		m.t.Errorf("line %d of %s comes after line %d", l.number, l.subject, was.number)
	}
	if was.id.Origin != o.origin && time.Now().Before(m.applied[was.id]) {
		m.t.Errorf("line %d of %s is published before its predecessor is there", l.number, l.subject)
	}
	m.busy++
	m.busiest = max(m.busiest, m.busy)
	pause := time.Duration(m.random.IntN(20)) * time.Millisecond
	m.mu.Unlock()
	err := sleep(ctx, pause)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy--
	if err != nil {
		return replayOutcome{}, err
	}
	if o.answer != nil {
		if out, err := o.answer(l); err != nil || out != (replayOutcome{}) {
			m.last[l.subject] = fakeLast{l.number, was.id}
			return out, err
		}
	}
	o.seq++
	id := chain.ID{Origin: o.origin, Seq: o.seq}
	m.applied[id] = time.Now().Add(m.travel)
	m.last[l.subject] = fakeLast{l.number, id}
	return replayOutcome{id: id}, nil
}

func (o *fakeOutlet) await(ctx context.Context, id chain.ID) error {
	if o.m.travel < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	o.m.mu.Lock()
	at := o.m.applied[id]
	o.m.mu.Unlock()
	return sleep(ctx, time.Until(at))
}

func (o *fakeOutlet) root(context.Context) (string, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.moving {
		o.seq++
		return fmt.Sprint(o.seq), nil
	}
	return "root of " + o.authority[:1], nil
}

func (o *fakeOutlet) status(_ context.Context, subject string) ([]byte, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if s, ok := o.m.statuses[subject]; ok {
		return []byte(s), nil
	}
	return nil, nil
}

// reported collects the bad lines.
type reported struct {
	mu   sync.Mutex // protects list
	list []string
}

func (r *reported) add(bad *badLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, bad.Error())
}

// takeLines gives n lines over some subjects and authorities to a replay.
func takeLines(r *replayer, n, subjects, authorities int) error {
	random := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		l := &replayLine{number: i + 1, subject: fmt.Sprint(random.IntN(subjects)), authority: fmt.Sprint(random.IntN(authorities))}
		if err := r.take(l, nil); err != nil {
			return err
		}
	}
	return nil
}

func TestReplayKeepsTheOrderOfEachSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bad := newFakeMesh(t), &reported{}
		r := newReplayer(t.Context(), m.get, bad.add)
		begin := time.Now()
		require.NoError(t, takeLines(r, 2000, 100, 5))
		require.NoError(t, r.take(nil, &badLine{2001, errors.New("nonsense")}))
		require.NoError(t, r.end())
		require.Equal(t, replayCount{published: 2000, failed: 1}, r.so())
		require.Equal(t, []string{"line 2001: nonsense"}, bad.list)
		subjects, nodes := r.spoken()
		require.Equal(t, 100, subjects)
		require.Equal(t, 5, nodes)
		// Subjects go side by side: one after the other, this takes a minute.
		require.Greater(t, m.busiest, 20)
		require.Less(t, time.Since(begin), 5*time.Second)
	})
}

func TestReplayCountsWhatBecameOfLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, bad := newFakeMesh(t), &reported{}
		refusal := errors.New("no")
		m.of("a").answer = func(l *replayLine) (replayOutcome, error) {
			return replayOutcome{unchanged: true}, nil
		}
		m.of("b").answer = func(l *replayLine) (replayOutcome, error) {
			return replayOutcome{refused: refusal}, nil
		}
		m.of("c").answer = func(l *replayLine) (replayOutcome, error) {
			return replayOutcome{id: chain.ID{Origin: chain.Origin{9}, Seq: 2}, repeated: true}, nil
		}
		m.of("d").answer = func(l *replayLine) (replayOutcome, error) {
			return replayOutcome{unchanged: true, repeated: true}, nil
		}
		r := newReplayer(t.Context(), m.get, bad.add)
		var mu sync.Mutex
		var said []int
		r.said = func(l *replayLine) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, l.number)
		}
		for i, authority := range []string{"a", "b", "c", "d", "e"} {
			require.NoError(t, r.take(&replayLine{number: i + 1, subject: "same", authority: authority}, nil))
		}
		// Nothing is ever said of these.
		require.NoError(t, r.take(&replayLine{number: 6, subject: "refused", authority: "b"}, nil))
		require.NoError(t, r.take(&replayLine{number: 7, subject: "empty", authority: "a"}, nil))
		require.NoError(t, r.end())
		require.Equal(t, replayCount{published: 1, unchanged: 2, repeated: 2, failed: 2}, r.so())
		require.EqualValues(t, 7, r.so().lines())
		subjects, nodes := r.spoken()
		require.Equal(t, 1, subjects)
		require.Equal(t, 4, nodes, "nothing went through b")
		require.ElementsMatch(t, []string{"line 2: no", "line 6: no"}, bad.list)
		require.ElementsMatch(t, []int{1, 3, 4, 5, 7}, said)
	})
}

// A line that changes nothing must not make the next one wait for less than
// what was said last.
func TestReplayWaitsForTheLastUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		m.travel = time.Second
		m.of("b").answer = func(*replayLine) (replayOutcome, error) { return replayOutcome{unchanged: true}, nil }
		r := newReplayer(t.Context(), m.get, func(*badLine) {})
		for i, authority := range []string{"a", "b", "c"} {
			require.NoError(t, r.take(&replayLine{number: i + 1, subject: "s", authority: authority}, nil))
		}
		begin := time.Now()
		require.NoError(t, r.end())
		require.GreaterOrEqual(t, time.Since(begin), time.Second)
		require.Equal(t, replayCount{published: 2, unchanged: 1}, r.so())
	})
}

func TestReplayEndsWithAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		broken := errors.New("the disk is gone")
		m.of("0").answer = func(l *replayLine) (replayOutcome, error) {
			if l.number > 50 {
				return replayOutcome{}, broken
			}
			return replayOutcome{}, nil
		}
		r := newReplayer(t.Context(), m.get, func(*badLine) {})
		// More than there are places for: it ends while lines still come.
		err := takeLines(r, 3*replayWindow, 10, 3)
		require.Error(t, err)
		require.ErrorIs(t, r.end(), broken)
		require.Less(t, r.so().lines(), int64(3*replayWindow))
	})
}

func TestReplayGivesUpOnNodesThatAreNotConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		m.travel = -1
		r := newReplayer(t.Context(), m.get, func(*badLine) {})
		require.NoError(t, r.take(&replayLine{number: 1, subject: "s", authority: "a"}, nil))
		require.NoError(t, r.take(&replayLine{number: 2, subject: "s", authority: "b"}, nil))
		require.ErrorContains(t, r.end(), "line 2: b has not applied")
	})
}

func TestReplayStopsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		soft, cancel := context.WithCancel(t.Context())
		r := newReplayer(soft, m.get, func(*badLine) {})
		require.NoError(t, takeLines(r, 500, 10, 3))
		time.Sleep(100 * time.Millisecond) // virtual
		cancel()
		begin := time.Now()
		require.ErrorIs(t, r.end(), context.Canceled)
		require.Less(t, time.Since(begin), replayGrace, "lines on their way end, others do not begin")
		count := r.so()
		require.Positive(t, count.published)
		require.Less(t, count.lines(), int64(500))
		// All that was published was counted.
		var published chain.Seq
		for _, o := range m.outlets {
			published += o.seq - 1
		}
		require.EqualValues(t, published, count.published)
	})
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		m.travel = -1 // somebody waits for ever
		soft, cancel := context.WithCancel(t.Context())
		r := newReplayer(soft, m.get, func(*badLine) {})
		require.NoError(t, r.take(&replayLine{number: 1, subject: "s", authority: "a"}, nil))
		require.NoError(t, r.take(&replayLine{number: 2, subject: "s", authority: "b"}, nil))
		time.Sleep(time.Second) // virtual
		cancel()
		begin := time.Now()
		require.ErrorIs(t, r.end(), context.Canceled)
		require.Equal(t, replayGrace, time.Since(begin))
	})
}

func TestFeederGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		var tries int
		f := &feeder{patience: time.Second, deliver: func(_ context.Context, lines []*replayLine) ([]replayAnswer, error) {
			answers := make([]replayAnswer, len(lines))
			var batch []int
			for i, l := range lines {
				batch = append(batch, l.number)
				switch {
				case l.number == 100:
					return nil, errors.New("broken")
				case l.number == 50 && tries < 3, l.number == 51:
					tries++
					answers[i].later = errors.New("busy")
				default:
					answers[i].id.Seq = chain.Seq(l.number)
				}
			}
			batches = append(batches, batch)
			return answers, nil
		}}
		f.start()
		defer f.close()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				out, err := f.publish(t.Context(), &replayLine{number: i + 1})
				require.NoError(t, err)
				require.EqualValues(t, i+1, out.id.Seq)
			})
		}
		wg.Wait()
		require.Len(t, batches, 1, "lines that come together are one batch")
		require.Len(t, batches[0], 20)

		// What a node does not take for now is tried again, for a while.
		out, err := f.publish(t.Context(), &replayLine{number: 50})
		require.NoError(t, err)
		require.EqualValues(t, 50, out.id.Seq)
		out, err = f.publish(t.Context(), &replayLine{number: 51})
		require.NoError(t, err)
		require.EqualError(t, out.refused, "busy")

		_, err = f.publish(t.Context(), &replayLine{number: 100})
		require.EqualError(t, err, "broken")
	})
}

func TestSameRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMesh(t)
		root, err := sameRoot(t.Context(), []outlet{m.of("a1"), m.of("a2")})
		require.NoError(t, err)
		require.Equal(t, "root of a", root)
		root, err = sameRoot(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, chain.Hash{}.String(), root)

		// It gives up once nothing moves, and not before.
		begin := time.Now()
		_, err = sameRoot(t.Context(), []outlet{m.of("a1"), m.of("b1")})
		require.ErrorContains(t, err, "not converged")
		require.InDelta(t, replayPatience.Seconds(), time.Since(begin).Seconds(), 1)
		m.of("c1").moving = true
		ctx, cancel := context.WithTimeout(t.Context(), 3*replayPatience)
		defer cancel()
		_, err = sameRoot(ctx, []outlet{m.of("a1"), m.of("c1")})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestRemoteAnswersAreRead(t *testing.T) {
	id := chain.ID{Origin: chain.Origin{1}, Seq: 2}
	for _, c := range []struct {
		text string
		want replayOutcome
	}{
		{`{"status":201,"id":"` + id.String() + `"}`, replayOutcome{id: id}},
		{`{"status":200,"id":"` + id.String() + `"}`, replayOutcome{id: id, repeated: true}},
		{`{"status":200,"id":"` + id.String() + `","unchanged":true}`, replayOutcome{id: id, unchanged: true}},
		{`{"status":200,"id":null,"unchanged":true}`, replayOutcome{unchanged: true}},
	} {
		a, err := readReplayAnswer([]byte(c.text))
		require.NoError(t, err)
		require.Equal(t, replayAnswer{replayOutcome: c.want}, a, c.text)
	}
	for code, later := range map[string]bool{"busy": true, "not_ready": true, "closing": true, "clock_skew": true, "store_failed": false, "bad_delta": false} {
		status := 503
		if code == "busy" {
			status = 429
		} else if code == "bad_delta" {
			status = 400
		}
		a, err := readReplayAnswer(fmt.Appendf(nil, `{"status":%d,"code":%q,"detail":"why"}`, status, code))
		require.NoError(t, err)
		require.Equal(t, later, a.later != nil, code)
		require.Equal(t, !later, a.refused != nil, code)
	}
	for _, text := range []string{``, `[]`, `{"status":201,"id":"x"}`} {
		_, err := readReplayAnswer([]byte(text))
		require.Error(t, err, text)
	}
	require.True(t, json.Valid(quoteJSON("a\"b")))
}
