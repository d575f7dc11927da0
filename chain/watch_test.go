package chain_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

// follower is a consumer that waits. Beside that it looks whenever something is
// published, to compare.
type follower struct {
	filter  chain.Filter
	watch   *chain.FeedWatch
	cursor  chain.Cursor // where it is up to date
	subject string
	viewed  *chain.Watch
	tag     string
}

// watched is a machine with consumers that wait. All that is checked is: who was
// not woken has missed nothing, and who was gets the same as if it had looked
// all the time.
type watched struct {
	*machine
	followers []*follower
}

func (w *watched) tag(t *rapid.T, subject string) string {
	s, err := w.p.archive.View(context.Background(), subject)
	if err != nil {
		require.ErrorIs(t, err, chain.ErrNotFound)
		return ""
	}
	return s.ETag()
}

// Follow begins to wait, from a cursor of this node or of another one, which may
// be ahead of it or know of other freezes.
func (w *watched) Follow(t *rapid.T) {
	if len(w.followers) == 12 {
		t.Skip("enough")
	}
	w.settled(t)
	prefix := rapid.SampledFrom([]chain.Prefix{"", "order", "order/", "order/1", "order/1/", "other"}).Draw(t, "prefix")
	f := &follower{filter: chain.Filter{Prefix: prefix}}
	f.filter.Authorities = rapid.SampledFrom([][]string{nil, {"fleet"}, {"warehouse", "fleet"}, {"none"}}).Draw(t, "authorities")
	of := rapid.SampledFrom(append([]*party{w.p}, w.peers...)).Draw(t, "cursor of")
	f.cursor = of.archive.Now(f.filter)
	if rapid.Bool().Draw(t, "start") {
		f.cursor = chain.Cursor{Filter: f.filter.Hash()}
	}
	f.subject = rapid.SampledFrom(testSubjects).Draw(t, "subject")
	w.look(t, f)
	w.followers = append(w.followers, f)
}

// look waits from where a consumer is up to date.
func (w *watched) look(t *rapid.T, f *follower) {
	for found := true; found; {
		if f.watch != nil {
			f.watch.Stop()
		}
		f.watch = w.p.archive.WatchFeed(f.cursor, f.filter)
		page, err := w.p.archive.Feed(f.cursor, f.filter, 1000, nil)
		require.NoError(t, err)
		require.True(t, page.UpToDate)
		f.cursor = page.Cursor
		found = len(page.Updates)+len(page.Retracted) > 0
	}
	f.viewed = w.p.archive.WatchSubject(f.subject)
	f.tag = w.tag(t, f.subject)
}

// Leave has one consumer give up.
func (w *watched) Leave(t *rapid.T) {
	if len(w.followers) == 0 {
		t.Skip("nobody waits")
	}
	i := rapid.IntRange(0, len(w.followers)-1).Draw(t, "who")
	w.followers[i].watch.Stop()
	w.followers[i].viewed.Stop()
	w.followers = append(w.followers[:i], w.followers[i+1:]...)
}

// settled flushes what is not: the archive shows nothing of it.
func (w *watched) settled(t *rapid.T) {
	if w.waits {
		w.Flush(t)
	}
}

func (w *watched) Check(t *rapid.T) {
	if w.waits {
		return // nothing of it is published
	}
	for _, f := range w.followers {
		if tag := w.tag(t, f.subject); !f.viewed.Rung() {
			require.Equal(t, f.tag, tag, "a view that changed unheard: %s", f.subject)
		}
		all, err := w.p.archive.Feed(f.cursor, f.filter, 1000, nil)
		require.NoError(t, err)
		rest, err := w.p.archive.Feed(f.watch.Cursor(), f.filter, 1000, nil)
		require.NoError(t, err)
		if !f.watch.Rung() {
			require.Empty(t, feedIDs(all), "updates unheard")
			require.Empty(t, all.Retracted, "retractions unheard")
		}
		require.Equal(t, feedIDs(all), feedIDs(rest))
		require.Equal(t, all.Retracted, rest.Retracted)
		require.Equal(t, all.Behind, rest.Behind)
		require.Equal(t, all.Cursor.String(), rest.Cursor.String())
		f.cursor = all.Cursor // as if it had looked
		if f.watch.Rung() {
			f.viewed.Stop()
			w.look(t, f)
		}
	}
}

// Open is a new process: nobody waits on it.
func (w *watched) Open(t *rapid.T) {
	for len(w.followers) > 0 {
		f := w.followers[0]
		f.watch.Stop()
		f.viewed.Stop()
		w.followers = w.followers[1:]
	}
	require.Zero(t, w.p.archive.Watches())
	w.machine.Open(t)
}

// Nobody who waits misses anything, whatever happens to the ledger: updates,
// late ones, held ones, forks and what they take back.
func TestWatchesMissNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &watched{machine: newMachine(t)}
		t.Repeat(map[string]func(*rapid.T){
			"append": w.Append, "peer": w.Peer, "mallory": w.Mallory, "accept": w.Accept, "serve": w.Serve, "limit": w.Limit,
			"flush": w.Flush, "flush more": w.Flush, "follow": w.Follow, "leave": w.Leave, "open": w.Open, "": w.Check,
		})
		w.Open(t)
	})
}

// Only those are woken whom an update concerns.
func TestWatchIsRungByWhatItAdmits(t *testing.T) {
	now := func(p *party, f chain.Filter) chain.Cursor { return p.archive.Now(f) }
	ahead := func(p *party, f chain.Filter) chain.Cursor {
		c := now(p, f)
		c.Frontier[p.ledger.Origin()] = 3
		return c
	}
	type filter = chain.Filter
	for _, c := range []struct {
		filter filter
		since  func(*party, filter) chain.Cursor
		rung   string // by which seq: 3 is of "order/2", 4 of "order/2/x"
	}{
		{filter{}, now, "3"},
		{filter{}, ahead, "4"},
		{filter{Prefix: "order"}, now, "3"},
		{filter{Prefix: "order/"}, now, "3"},
		{filter{Prefix: "order/2"}, now, "3"},
		{filter{Prefix: "order/2/"}, now, "4"},
		{filter{Prefix: "order/2/x"}, now, "4"},
		{filter{Prefix: "order/2/x/"}, now, ""},
		{filter{Prefix: "order/22"}, now, ""},
		{filter{Prefix: "ord"}, now, ""},
		{filter{Authorities: []string{"warehouse"}}, now, "3"},
		{filter{Authorities: []string{"fleet"}}, now, ""},
		{filter{Prefix: "order/2", Authorities: []string{"fleet", "warehouse"}}, now, "3"},
		{filter{Prefix: "order/2", Authorities: []string{"fleet"}}, now, ""},
	} {
		p := newParty(t, "wh", "warehouse")
		p.publish(t, 1000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
		w := p.archive.WatchFeed(c.since(p, c.filter), c.filter)
		got := ""
		for i, subject := range []string{"order/2", "order/2/x"} {
			p.publish(t, 2000, chain.Draft{Subject: subject, Delta: []byte(`{"a":1}`)})
			if got == "" && w.Rung() {
				got = fmt.Sprint(i + 3)
			}
		}
		require.Equal(t, c.rung, got, "%+v", c.filter)
		w.Stop()
		require.Zero(t, p.archive.Watches())
	}
}

// All that wait for one thing are woken, one by another, whoever of them gives
// up meanwhile; and the failure of the ledger wakes everybody.
func TestWatchWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParty(t, "wh", "warehouse")
		var wg sync.WaitGroup
		woken := make(chan error, 1000)
		gone, leave := context.WithCancel(t.Context())
		wait := func(ctx context.Context, w *chain.Watch) {
			wg.Go(func() {
				defer w.Stop()
				woken <- w.Wait(ctx)
			})
		}
		everybody := func() {
			for i := range 100 {
				ctx := t.Context()
				if i%3 == 0 {
					ctx = gone
				}
				wait(ctx, p.archive.WatchSubject("order/1"))
				wait(ctx, &p.archive.WatchFeed(chain.Cursor{}, chain.Filter{Prefix: "order"}).Watch)
				wg.Go(func() { woken <- p.archive.Wait(ctx, chain.Frontier{p.ledger.Origin(): 2}) })
			}
			synctest.Wait()
		}
		count := func() (heard, left int) {
			wg.Wait()
			for range len(woken) {
				if err := <-woken; err == nil {
					heard++
				} else {
					require.True(t, strings.Contains(err.Error(), "canceled") || strings.Contains(err.Error(), "over"))
					left++
				}
			}
			return heard, left
		}
		everybody()
		leave()
		synctest.Wait()
		p.publish(t, 1000, chain.Draft{Subject: "order/1", Delta: []byte(`{"a":1}`)})
		heard, left := count()
		require.Equal(t, 198, heard)
		require.Equal(t, 102, left)
		require.Zero(t, p.archive.Watches())

		gone = t.Context()
		everybody()
		p.archive.Fail(fmt.Errorf("it is over"))
		heard, left = count()
		require.Equal(t, 300, heard+left, "frontiers are there already")
		require.Zero(t, p.archive.Watches())
		require.ErrorContains(t, p.archive.Wait(t.Context(), chain.Frontier{p.ledger.Origin(): 9}), "over")
	})
}

// A cursor that has seen more than is here is told at once when that is taken
// back, and nobody else is woken for it.
func TestWatchOfWhatIsFrozenElsewhere(t *testing.T) {
	trunk, one, other, _, f := forked()
	saw, knows, p := newParty(t, "saw", "reader"), newParty(t, "knows", "reader"), newParty(t, "honest", "reader")
	for _, q := range []*party{saw, knows, p} {
		q.mustTake(t, trunk)
	}
	saw.mustTake(t, one)
	knows.mustTake(t, one)
	_, err := knows.take(t, other.Append(nil), 5000)
	require.NoError(t, err)
	ahead := p.archive.WatchFeed(saw.archive.Now(chain.Filter{}), chain.Filter{})
	level := p.archive.WatchFeed(p.archive.Now(chain.Filter{}), chain.Filter{})
	_, err = p.ledger.AcceptFreeze(proof(t, knows, f.origin), 6000)
	require.NoError(t, err)
	p.flush(t, 6000)
	require.True(t, ahead.Rung())
	require.False(t, level.Rung())
	page, err := p.archive.Feed(ahead.Cursor(), chain.Filter{}, 10, nil)
	require.NoError(t, err)
	require.Equal(t, []chain.Retraction{{Origin: f.origin, After: 2}}, page.Retracted)
	require.Equal(t, knows.archive.Now(chain.Filter{}), level.Cursor())
	level.Stop()
	require.Zero(t, p.archive.Watches())
}
