package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

var rolledDeltas = []string{
	`{"a":1}`, `{"a":2.50}`, `{"a":null}`, `{"a":{"b":2}}`, `{"a":{"b":null,"c":3}}`, `{"a":{"b":{"x":[1,{"y":null}]}}}`,
	`{"d":[1]}`, `{"d":null,"e":"é"}`, `{"e":{}}`, `{"a":{},"d":1e2}`,
}

// mesh is some authorities, and a reader that hears of what they publish.
type mesh struct {
	t       *rapid.T
	writers []*desk
	heard   map[[2]*desk]int
	now     int64
	reader  *desk
}

func newMesh(t *rapid.T, writers int) *mesh {
	m := &mesh{t: t, heard: map[[2]*desk]int{}, now: 1000, reader: newDesk(t, "reader", "reader")}
	for i := range writers {
		m.writers = append(m.writers, newDesk(t, fmt.Sprint("w", i), fmt.Sprint("a", i/2))) // two write for one
	}
	return m
}

func (m *mesh) hear(to, from *desk, limit int) {
	way := [2]*desk{to, from}
	m.heard[way] = to.hear(from, m.heard[way], limit)
}

// step lets somebody publish, or hear of somebody. Their clocks differ.
func (m *mesh) step() {
	i := rapid.IntRange(0, len(m.writers)-1).Draw(m.t, "writer")
	w := m.writers[i]
	if rapid.Bool().Draw(m.t, "publishes") {
		m.now += int64(rapid.IntRange(0, 50).Draw(m.t, "later"))
		subject := rapid.SampledFrom([]string{"s", "s", "s/1", "t"}).Draw(m.t, "subject")
		w.publish(m.now-int64(40*i), subject, rapid.SampledFrom(rolledDeltas).Draw(m.t, "delta"))
		return
	}
	everything := rapid.Bool().Draw(m.t, "everything")
	for _, from := range m.writers {
		switch {
		case from == w:
		case everything:
			m.hear(w, from, 1<<20)
		case rapid.Bool().Draw(m.t, "hears"):
			m.hear(w, from, rapid.IntRange(1, 3).Draw(m.t, "runs"))
		}
	}
}

// What is rolled up from the feed is, byte for byte, what the node shows, after
// every batch: whatever comes late or conflicts, from the start of the feed or from
// the middle of it, and whichever of two nodes gives the next batch.
func TestRollupIsTheNodesView(t *testing.T) {
	rapid.Check(t, checkRollup)
}

func checkRollup(t *rapid.T) {
	m := newMesh(t, 4)
	second := newDesk(t, "second", "reader")
	for range rapid.IntRange(0, 8).Draw(t, "before") {
		m.step()
	}
	// spread lets both nodes hear the same, and nothing yet of some: the feed comes
	// from either, and what they hear later is late.
	spread := func() {
		for _, w := range m.writers {
			if rapid.Bool().Draw(t, "heard") {
				m.hear(m.reader, w, 1<<20)
				m.hear(second, w, 1<<20)
			}
		}
	}
	spread()
	c := New(Config{Endpoints: []string{"http://reader", "http://second"}, InOrder: true, Transport: desks{"reader": m.reader, "second": second}})
	roll := c.Rollup()
	f, err := c.openFeed(t.Context(), []FeedOption{
		Since(rapid.SampledFrom([]string{"start", "now"}).Draw(t, "since")), Once(), Limit(rapid.IntRange(1, 6).Draw(t, "limit")),
	})
	require.NoError(t, err)
	began := f.cursor
	drain := func() {
		for {
			f.idle = false // no node has to be spared
			b, err := f.next(t.Context())
			require.NoError(t, err)
			steps, err := roll.Take(t.Context(), b)
			require.NoError(t, err)
			require.Len(t, steps, len(b.Updates))
			if b.UpToDate && len(b.Updates) == 0 {
				return
			}
		}
	}
	drain()
	for range rapid.IntRange(1, 6).Draw(t, "rounds") {
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			m.step()
		}
		spread()
		if rapid.Bool().Draw(t, "moves") {
			c.pool.failed(c.pool.all[c.pool.at], 0)
		}
		drain()
		for _, subject := range []string{"s", "s/1", "t"} {
			want, _ := m.reader.view(subject)
			v, err := roll.View(subject)
			require.NoError(t, err)
			if v == nil {
				require.True(t, began == "now" || want == nil, "%s is not rolled up", subject)
				continue
			}
			require.Equal(t, string(want), string(v.Raw))
			require.Equal(t, string(v.Status), roll.Status(subject).String())
		}
	}
}

// An update that depends on one that is not its chain's newest any more has seen
// what that one had.
func TestRollupSeesThroughOlderUpdates(t *testing.T) {
	one, two, three := newDesk(t, "one", "one"), newDesk(t, "two", "two"), newDesk(t, "three", "three")
	reader := newDesk(t, "reader", "r")
	two.publish(1000, "s", `{"a":1}`)
	one.hear(two, 0, 1)
	one.publish(1010, "s", `{"b":1}`)
	three.hear(two, 0, 1)
	three.hear(one, 0, 1)
	three.publish(1020, "s", `{"a":2}`)
	one.publish(1030, "s", `{"b":2}`)
	for _, from := range []*desk{two, one, three} {
		reader.hear(from, 0, 1<<20)
	}
	c := New(Config{Endpoints: []string{"http://reader"}, Transport: reader})
	roll := c.Rollup()
	// The feed, in the order in which the reader heard of it.
	for _, limit := range [][]int{{0}, {1, 3}, {2}} {
		b := &Batch{Since: "start", Cursor: "start"}
		for u, err := range reader.archive.History("s") {
			require.NoError(t, err)
			var all Update
			require.NoError(t, json.Unmarshal(chain.AppendUpdateJSON(nil, u, reader.archive.Authority(u.ID.Origin)), &all))
			b.Updates = append(b.Updates, all)
		}
		var some []Update
		for _, i := range limit {
			some = append(some, b.Updates[i])
		}
		b.Updates = some
		_, err := roll.Take(t.Context(), b)
		require.NoError(t, err)
	}
	want, _ := reader.view("s")
	v, err := roll.View("s")
	require.NoError(t, err)
	require.Equal(t, string(want), string(v.Raw))
	require.Empty(t, v.Conflicts)
}

// forks is two nodes that publish under one key: what both tell after their first
// update is a fork.
func forks(t require.TestingT) (one, other *desk) {
	one, other = newDesk(t, "twin", "a"), newDesk(t, "twin", "a")
	one.publish(1000, "s", `{"a":1}`)
	other.publish(1000, "s", `{"a":1}`)
	one.publish(1010, "s", `{"a":2}`)
	one.publish(1020, "t", `{"only":1}`)
	other.publish(1030, "s", `{"a":3}`)
	return one, other
}

// What a fork takes back is undone, and so is what was seen through it; a roll-up
// that begins after it does not take it from a node that has not heard of it.
func TestRollupTakesBack(t *testing.T) {
	one, other := forks(t)
	reader, unaware, b := newDesk(t, "reader", "r"), newDesk(t, "unaware", "r"), newDesk(t, "b", "b")
	for _, d := range []*desk{reader, unaware, b} {
		d.hear(one, 0, 1<<20)
	}
	b.publish(1040, "s", `{"b":1}`)
	reader.hear(b, 0, 1<<20)
	unaware.hear(b, 0, 1<<20)
	network := desks{"reader": reader, "unaware": unaware}
	c := New(Config{Endpoints: []string{"http://reader", "http://unaware"}, InOrder: true, Transport: network})
	roll := c.Rollup()
	f, err := c.openFeed(t.Context(), []FeedOption{Once()})
	require.NoError(t, err)
	next := func() []Rolled {
		batch, err := f.next(t.Context())
		require.NoError(t, err)
		steps, err := roll.Take(t.Context(), batch)
		require.NoError(t, err)
		return steps
	}
	require.Len(t, next(), 4)
	require.Equal(t, `{"a":2,"b":1}`, roll.Status("s").String())

	reader.hear(other, 0, 1<<20)
	steps := next()
	require.Len(t, steps, 2)
	require.Equal(t, []string{"s", "t"}, []string{steps[0].Subject, steps[1].Subject})
	require.Nil(t, steps[0].Update)
	want, _ := reader.view("s")
	v, err := roll.View("s")
	require.NoError(t, err)
	require.Equal(t, string(want), string(v.Raw))
	require.Len(t, v.Heads, 2, "b has seen nothing of that chain any more")
	require.Equal(t, `{}`, roll.Status("t").String())
	v, err = roll.View("t")
	require.NoError(t, err)
	require.Nil(t, v)

	// The cursor knows of the freeze, the node that gives the history does not.
	b.publish(1050, "s", `{"b":2}`)
	reader.hear(b, 1, 1<<20)
	unaware.hear(b, 1, 1<<20)
	late := c.Rollup()
	batch, err := f.next(t.Context())
	require.NoError(t, err)
	reader.mu.Lock()
	reader.fault = func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	reader.mu.Unlock()
	_, err = late.Take(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, 1, unaware.count("/v1/history/"))
	want, _ = reader.view("s")
	v, err = late.View("s")
	require.NoError(t, err)
	require.Equal(t, string(want), string(v.Raw))
}

// A subject begins with all that was delivered of it, though the node that gives
// its history has not heard of that: it is waited for.
func TestRollupBeginsWithWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newDesk(t, "one", "one"), newDesk(t, "two", "two")
		ahead, behind := newDesk(t, "ahead", "r"), newDesk(t, "behind", "r")
		one.publish(1000, "s", `{"a":1}`)
		two.publish(1000, "s", `{"b":1}`)
		ahead.hear(one, 0, 1<<20)
		ahead.hear(two, 0, 1<<20)
		behind.hear(one, 0, 1<<20)
		c := New(Config{Endpoints: []string{"http://ahead", "http://behind"}, InOrder: true, Transport: desks{"ahead": ahead, "behind": behind}})
		f, err := c.openFeed(t.Context(), []FeedOption{Since("now")})
		require.NoError(t, err)
		_, err = f.next(t.Context())
		require.NoError(t, err)
		one.publish(1010, "s", `{"c":1}`)
		ahead.hear(one, 1, 1<<20)
		behind.hear(one, 1, 1<<20)
		batch, err := f.next(t.Context())
		require.NoError(t, err)
		require.Len(t, batch.Updates, 1)
		ahead.mu.Lock()
		ahead.fault = func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
		ahead.mu.Unlock()
		time.AfterFunc(20*time.Second, func() { behind.hear(two, 0, 1<<20) })
		began := time.Now()
		roll := c.Rollup()
		_, err = roll.Take(t.Context(), batch)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), 20*time.Second)
		require.Equal(t, `{"a":1,"b":1,"c":1}`, roll.Status("s").String())
	})
}

// What was delivered and then lost with its node, before another had it, does not
// hold up what begins later. Once a node has it after all, all begins anew.
func TestRollupGoesOnWithoutWhatIsLost(t *testing.T) {
	for _, patience := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			one, two := newDesk(t, "one", "one"), newDesk(t, "two", "two")
			ahead, left := newDesk(t, "ahead", "r"), newDesk(t, "left", "r")
			one.publish(1000, "s", `{"a":1}`)
			two.publish(1000, "s", `{"lost":1}`)
			ahead.hear(one, 0, 1<<20)
			ahead.hear(two, 0, 1<<20)
			left.hear(one, 0, 1<<20)
			network := desks{"ahead": ahead, "left": left}
			c := New(Config{Endpoints: []string{"http://ahead", "http://left"}, InOrder: true, Transport: network})
			f, err := c.openFeed(t.Context(), []FeedOption{Since("now"), Prefix("s"), Once()})
			require.NoError(t, err)
			_, err = f.next(t.Context())
			require.NoError(t, err)
			delete(network, "ahead")
			roll := c.Rollup()
			roll.Patience = patience
			took := func() time.Duration {
				began := time.Now()
				b, err := f.next(t.Context())
				require.NoError(t, err)
				_, err = roll.Take(t.Context(), b)
				require.NoError(t, err)
				return time.Since(began)
			}
			one.publish(1010, "s", `{"b":1}`)
			left.hear(one, 1, 1<<20)
			require.Less(t, took(), time.Minute)
			want, _ := left.view("s")
			v, err := roll.View("s")
			require.NoError(t, err)
			require.Equal(t, string(want), string(v.Raw))
			one.publish(1020, "s/1", `{"b":1}`)
			left.hear(one, 2, 1<<20)
			require.Less(t, took(), time.Second, "it is not waited for again")

			left.hear(two, 0, 1<<20)
			one.publish(1030, "s", `{"c":1}`)
			left.hear(one, 3, 1<<20)
			require.Less(t, took(), time.Second)
			want, _ = left.view("s")
			v, err = roll.View("s")
			require.NoError(t, err)
			require.Equal(t, string(want), string(v.Raw))
			require.Equal(t, `{"a":1,"b":1,"c":1,"lost":1}`, roll.Status("s").String())
			v, err = roll.View("s/1")
			require.NoError(t, err)
			require.Nil(t, v, "it was let go")
		})
	}
}

func TestFollowGoesOnWithoutWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newDesk(t, "one", "one"), newDesk(t, "two", "two")
		ahead, left := newDesk(t, "ahead", "r"), newDesk(t, "left", "r")
		one.publish(1000, "s", `{"a":1}`)
		two.publish(1000, "s", `{"lost":1}`)
		ahead.hear(one, 0, 1<<20)
		ahead.hear(two, 0, 1<<20)
		left.hear(one, 0, 1<<20)
		told := 0
		ahead.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if told++; told > 1 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return told > 1
		}
		c := New(Config{Endpoints: []string{"http://ahead", "http://left"}, InOrder: true, Transport: desks{"ahead": ahead, "left": left}})
		time.AfterFunc(5*time.Minute, func() { left.hear(two, 0, 1<<20) })
		all := follow(t, c, "s", 2)
		require.Len(t, all, 2)
		require.Equal(t, `{"a":1}`, string(all[0].Status))
		require.Equal(t, `{"a":1,"lost":1}`, string(all[1].Status))
	})
	// Where the view has it already, it is compared with what nodes still have, after a
	// while, and is theirs then.
	synctest.Test(t, func(t *testing.T) {
		two := newDesk(t, "two", "two")
		ahead, left := newDesk(t, "ahead", "r"), newDesk(t, "left", "r")
		left.publish(900, "s", `{"a":1}`)
		two.publish(1000, "s", `{"lost":1}`)
		ahead.hear(left, 0, 1<<20)
		ahead.hear(two, 0, 1<<20)
		network := &desksThatGo{desks: desks{"ahead": ahead, "left": left}}
		heard := &events{}
		c := New(Config{Endpoints: []string{"http://ahead", "http://left"}, InOrder: true, Transport: network, Notify: heard.keep})
		time.AfterFunc(time.Minute, func() { network.lose("ahead") })
		time.AfterFunc(30*time.Minute, func() { left.hear(two, 0, 1<<20) })
		began := time.Now()
		var all []string
		for v, err := range c.Follow(t.Context(), "s") {
			require.NoError(t, err)
			all = append(all, string(v.Status))
			require.NotEmpty(t, v.ETag)
			if len(all) == 2 {
				require.Less(t, time.Since(began), 10*time.Minute)
			}
			if len(all) == 3 {
				break
			}
		}
		require.Equal(t, []string{`{"a":1,"lost":1}`, `{"a":1}`, `{"a":1,"lost":1}`}, all)
		require.Equal(t, 1, heard.count(RollupDiverged))
	})
}

// A batch that does not follow on the last one is rolled up all the same, from
// histories; a history that is not whole is not rolled up.
func TestRollupOfABatchOutOfTurn(t *testing.T) {
	d := newDesk(t, "d", "d")
	d.publish(1000, "s", `{"a":1}`)
	d.publish(1010, "s", `{"b":1}`)
	c := New(Config{Endpoints: []string{"http://d"}, Transport: d})
	f, err := c.openFeed(t.Context(), []FeedOption{Limit(1), Once()})
	require.NoError(t, err)
	_, err = f.next(t.Context())
	require.NoError(t, err)
	second, err := f.next(t.Context())
	require.NoError(t, err)
	roll := c.Rollup()
	steps, err := roll.Take(t.Context(), second)
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":1}`, steps[0].Status.String())
	steps, err = roll.Take(t.Context(), second)
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"b":1}`, steps[0].Status.String())
	require.Equal(t, 2, d.count("/v1/history/"))

	d.fault = func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprint(w, `{"subject":"s","updates":[],"complete":false}`)
		return true
	}
	_, err = c.Rollup().Take(t.Context(), second)
	require.ErrorIs(t, err, ErrIncomplete)
}

// follow collects views until the subject has n updates.
func follow(t *testing.T, c *Client, subject string, n uint64, options ...FollowOption) (all []*View) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for v, err := range c.Follow(ctx, subject, options...) {
		require.NoError(t, err)
		all = append(all, v)
		if v.Updates == n {
			break
		}
	}
	return all
}

// The view is yielded when it changes, is the node's byte for byte, and has the
// node's ETag once it was compared.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, late := newDesk(t, "d", "d"), newDesk(t, "late", "late")
		late.publish(900, "s", `{"a":0,"l":1}`)
		heard := &events{}
		c := New(Config{Endpoints: []string{"http://d"}, Transport: d, Notify: heard.keep})
		go func() {
			time.Sleep(time.Minute)
			d.publish(1000, "s", `{"a":1}`)
			d.publish(1000, "s/below", `{"a":1}`)
			d.publish(1000, "other", `{"a":1}`)
			time.Sleep(time.Minute)
			d.hear(late, 0, 1<<20)
			time.Sleep(time.Minute)
			d.publish(1010, "s", `{"a":2}`)
		}()
		began := time.Now()
		all := follow(t, c, "s", 3, CompareEvery(0))
		require.Equal(t, 3*time.Minute, time.Since(began))
		require.Len(t, all, 3)
		for i, status := range []string{`{"a":1}`, `{"a":1,"l":1}`, `{"a":2,"l":1}`} {
			require.Equal(t, status, string(all[i].Status))
			require.NotEmpty(t, all[i].ETag)
		}
		require.Len(t, all[1].Conflicts, 1)
		want, tag := d.view("s")
		require.Equal(t, string(want), string(all[2].Raw))
		require.Equal(t, tag, `"`+all[2].ETag+`"`)
		require.Zero(t, heard.count(RollupDiverged))
		require.Equal(t, 1, d.count("/v1/history/"), "the rest came by the feed")

		// From the middle of it, and compared once a minute: the first view is.
		all = follow(t, c, "s", 3)
		require.Len(t, all, 1)
		require.Equal(t, string(want), string(all[0].Raw))
		require.Equal(t, tag, `"`+all[0].ETag+`"`)
	})
}

// What a fork takes back leaves the view, down to one without updates.
func TestFollowTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := forks(t)
		reader := newDesk(t, "reader", "r")
		reader.hear(one, 0, 1<<20)
		c := New(Config{Endpoints: []string{"http://reader"}, Transport: reader})
		time.AfterFunc(time.Minute, func() { reader.hear(other, 0, 1<<20) })
		all := follow(t, c, "t", 0)
		require.Len(t, all, 2)
		require.Equal(t, `{"only":1}`, string(all[0].Status))
		require.Equal(t, `{}`, string(all[1].Status))
		all = follow(t, c, "s", 1)
		require.Equal(t, `{"a":1}`, string(all[0].Status))
	})
}

// A roll-up that differs from the node's view is found, told and made anew; and
// where the node folds in another way, that is said.
func TestFollowFindsDifferences(t *testing.T) {
	// swallow is a feed that leaves out what is in the nth batch with updates.
	swallow := func(d *desk, n int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/changes" {
				return false
			}
			answer := &recorded{ResponseWriter: w}
			d.handler.ServeHTTP(answer, r)
			body := answer.body
			if b := answer.batch(); len(b.Updates) > 0 {
				if n--; n == 0 {
					body = []byte(batchText(b.Cursor, b.UpToDate))
				}
			}
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(body)
			return true
		}
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "d", "d")
		d.publish(1000, "s", `{"a":1}`)
		d.fault = swallow(d, 1)
		heard := &events{}
		c := New(Config{Endpoints: []string{"http://d"}, Transport: d, Notify: heard.keep})
		time.AfterFunc(time.Minute, func() { d.publish(1010, "s", `{"b":1}`) })
		time.AfterFunc(10*time.Minute, func() { d.publish(1020, "s", `{"c":1}`) })
		var at []time.Duration
		began := time.Now()
		for v, err := range c.Follow(t.Context(), "s") {
			require.NoError(t, err)
			at = append(at, time.Since(began))
			if v.Updates == 3 {
				require.Equal(t, `{"a":1,"b":1,"c":1}`, string(v.Status))
				break
			}
		}
		require.Len(t, at, 3)
		require.Greater(t, at[1], time.Minute, "its delta never came")
		require.Less(t, at[1], 4*time.Minute)
		require.Equal(t, 1, heard.count(RollupDiverged))
	})
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "d", "d")
		d.publish(1000, "s", `{"a":1}`)
		honest, _ := d.view("s")
		d.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/subjects/s" {
				return false
			}
			fmt.Fprint(w, string(honest[:len(honest)-1])+`,"more":1}`)
			return true
		}
		heard := &events{}
		c := New(Config{Endpoints: []string{"http://d"}, Transport: d, Notify: heard.keep})
		var last error
		for _, err := range c.Follow(t.Context(), "s") {
			last = err
		}
		require.ErrorIs(t, last, ErrDiverged)
		require.ErrorContains(t, last, `"more":1}`)
		require.Equal(t, 1, heard.count(RollupDiverged))
		require.Equal(t, 2, d.count("/v1/history/"), "it was made anew first")
	})
}

// A node that cannot give a history or a view is waited for, and a subject that was
// let go begins anew.
func TestRollupOutlastsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "d", "d")
		d.publish(1000, "s", `{"a":1}`)
		d.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/changes" {
				return false
			}
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		time.AfterFunc(time.Hour, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fault = nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		c := New(Config{Endpoints: []string{"http://d"}, Transport: d})
		began := time.Now()
		for v, err := range c.Follow(ctx, "s") {
			require.NoError(t, err)
			require.Equal(t, `{"a":1}`, string(v.Status))
			break
		}
		require.InDelta(t, time.Hour.Seconds(), time.Since(began).Seconds(), 10)

		roll := c.Rollup()
		for i := range maxRolled {
			roll.subjects[fmt.Sprint("x/", i)] = newRolled("x")
		}
		d.publish(1010, "s", `{"b":1}`)
		for b, err := range c.Changes(ctx, Limit(1), Once()) {
			require.NoError(t, err)
			_, err = roll.Take(ctx, b)
			require.NoError(t, err)
		}
		require.Len(t, roll.subjects, 1)
		require.Equal(t, `{"a":1,"b":1}`, roll.Status("s").String())
		require.Equal(t, chain.NewState("s").Status().String(), roll.Status("unknown").String())
	})
}
