package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

type order struct {
	State string         `json:"state"`
	Shelf string         `json:"shelf,omitempty"`
	Items map[string]int `json:"items,omitempty"`
	Price json.Number    `json:"price,omitempty"`
	Note  *string        `json:"note"` // null while there is none
}

// deltas are those of a subject's history.
func deltas(t *testing.T, n *node.Node, subject string) (out []string) {
	t.Helper()
	for u, err := range n.History(t.Context(), subject) {
		require.NoError(t, err)
		out = append(out, string(u.Delta))
	}
	return out
}

func TestTrackPublishesWhatChanged(t *testing.T) {
	n := open(t, node.Config{Authority: "warehouse"})
	o := node.TrackOf[order](n, "order/42")
	note := "fragile"
	for _, step := range []struct {
		state order
		want  string // the delta, none if empty
	}{
		{order{State: "placed", Items: map[string]int{"lamp": 1, "desk": 2}, Price: "49.90"}, `{"items":{"desk":2,"lamp":1},"price":49.90,"state":"placed"}`},
		{order{State: "placed", Items: map[string]int{"lamp": 1, "desk": 2}, Price: "49.9"}, ``},
		{order{State: "picked", Items: map[string]int{"lamp": 1}, Price: "49.9", Note: &note}, `{"items":{"desk":null},"note":"fragile","state":"picked"}`},
		{order{State: "picked", Items: map[string]int{"lamp": 1}, Price: "49.91"}, `{"note":null,"price":49.91}`},
		{order{State: "picked", Items: map[string]int{"lamp": 1}, Price: "49.91"}, ``},
		{order{State: "picked"}, `{"items":null,"price":null}`},
	} {
		before := deltas(t, n, "order/42")
		require.NoError(t, o.Set(t.Context(), step.state))
		if step.want != "" {
			before = append(before, step.want)
		}
		require.Equal(t, before, deltas(t, n, "order/42"))
	}
	require.NoError(t, o.End(t.Context()))
	require.NoError(t, o.End(t.Context()))
	require.Equal(t, `{}`, view(t, n, "order/42"))
	require.Len(t, deltas(t, n, "order/42"), 5)
	require.NoError(t, o.Set(t.Context(), order{State: "placed again"}))
	require.Equal(t, `{"state":"placed again"}`, view(t, n, "order/42"))
}

func TestTrackTakesJSONAndMaps(t *testing.T) {
	n := open(t, node.Config{})
	raw := node.TrackOf[json.RawMessage](n, "a")
	require.NoError(t, raw.Set(t.Context(), json.RawMessage(` {"big": 123456789012345678901234567890, "x": "<é>", "list": [null, {"y": null}], "gone": null} `)))
	require.NoError(t, raw.Set(t.Context(), json.RawMessage(`{"list":[null,{"y":null}],"x":"\u003c\u00e9>","big":123456789012345678901234567890}`)))
	require.Equal(t, []string{`{"big":123456789012345678901234567890,"list":[null,{"y":null}],"x":"<é>"}`}, deltas(t, n, "a"))

	dynamic := node.TrackOf[map[string]any](n, "b")
	require.NoError(t, dynamic.Set(t.Context(), map[string]any{"n": json.Number("1e2"), "f": 0.1}))
	require.NoError(t, dynamic.Set(t.Context(), map[string]any{"n": 100, "f": 0.1}))
	require.NoError(t, dynamic.Set(t.Context(), map[string]any{"n": 101}))
	require.Equal(t, []string{`{"f":0.1,"n":1e2}`, `{"f":null,"n":101}`}, deltas(t, n, "b"))
}

func TestTrackRefusesWhatIsNoState(t *testing.T) {
	n := open(t, node.Config{})
	for name, c := range map[string]struct {
		err   error
		field string
		is    error
	}{
		"an array":         {node.TrackOf[[]int](n, "a").Set(t.Context(), []int{1}), "state", chain.ErrDelta},
		"text":             {node.TrackOf[string](n, "a").Set(t.Context(), "x"), "state", chain.ErrDelta},
		"a nil map":        {node.TrackOf[map[string]int](n, "a").Set(t.Context(), nil), "state", chain.ErrDelta},
		"a nil pointer":    {node.TrackOf[*order](n, "a").Set(t.Context(), nil), "state", chain.ErrDelta},
		"no JSON":          {node.TrackOf[json.RawMessage](n, "a").Set(t.Context(), json.RawMessage(`{`)), "state", chain.ErrDraft},
		"duplicate keys":   {node.TrackOf[json.RawMessage](n, "a").Set(t.Context(), json.RawMessage(`{"a":1,"a":2}`)), "state", chain.ErrDelta},
		"not a number":     {node.TrackOf[map[string]float64](n, "a").Set(t.Context(), map[string]float64{"x": math.NaN()}), "state", chain.ErrDraft},
		"not encodable":    {node.TrackOf[func()](n, "a").Set(t.Context(), func() {}), "state", chain.ErrDraft},
		"a bad subject":    {node.TrackOf[order](n, "a//b").Set(t.Context(), order{}), "subject", chain.ErrSubject},
		"end of the same":  {node.TrackOf[order](n, "").End(t.Context()), "subject", chain.ErrSubject},
		"too much at once": {node.TrackOf[order](n, "a").Set(t.Context(), order{State: strings.Repeat("x", chain.MaxDelta)}), "state", chain.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			var bad *chain.DraftError
			require.ErrorAs(t, c.err, &bad)
			require.Equal(t, c.field, bad.Field)
			require.ErrorIs(t, c.err, c.is)
		})
	}
	require.Zero(t, n.Mesh().Store.Updates)
}

// What the authority says may be changed beside a track: by Publish, by another
// track, by another node of the authority. What other authorities say is theirs.
func TestTrackComparesWithWhatItsAuthorityLastSaid(t *testing.T) {
	hub := gossip.NewHub()
	wh1 := open(t, node.Config{Name: "wh-1", Authority: "warehouse", Hub: hub})
	wh2 := open(t, node.Config{Name: "wh-2", Authority: "warehouse", Hub: hub})
	fleet := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	first, second := node.TrackOf[order](wh1, "order/1"), node.TrackOf[order](wh2, "order/1")
	set := func(o *node.Track[order], s order) {
		t.Helper()
		require.NoError(t, o.Set(t.Context(), s))
		same(t, wh1, wh2, fleet)
	}
	set(first, order{State: "placed"})
	set(first, order{State: "placed"}) // which it remembers
	publish(t, wh1, "order/1", `{"state":"beside"}`)
	set(first, order{State: "placed"})
	set(second, order{State: "placed"})
	set(first, order{State: "placed"})
	set(second, order{State: "picked", Shelf: "B7"})
	set(first, order{State: "placed"})
	set(second, order{State: "picked", Shelf: "B7"})
	set(first, order{State: "picked", Shelf: "B7"})
	publish(t, fleet, "order/1", `{"shelf":"the van's","van":"north"}`)
	same(t, wh1, wh2, fleet)
	set(first, order{State: "picked", Shelf: "B7"})
	set(first, order{State: "packed", Shelf: "B7"})
	require.Equal(t, []string{
		`{"state":"placed"}`, `{"state":"beside"}`, `{"state":"placed"}`, `{"shelf":"B7","state":"picked"}`,
		`{"shelf":null,"state":"placed"}`, `{"shelf":"B7","state":"picked"}`, `{"shelf":"the van's","van":"north"}`, `{"state":"packed"}`,
	}, deltas(t, fleet, "order/1"))
	require.Equal(t, `{"shelf":"the van's","state":"packed","van":"north"}`, view(t, fleet, "order/1"))
	require.NoError(t, second.End(t.Context()))
	same(t, wh1, wh2, fleet)
	require.Equal(t, `{"van":"north"}`, view(t, fleet, "order/1"), "what it wrote goes, whoever wrote it since")
}

func TestTrackGoesOnAfterARestart(t *testing.T) {
	c := node.Config{Name: "wh-1", DataDir: t.TempDir()}
	n := open(t, c)
	require.NoError(t, node.TrackOf[order](n, "order/1").Set(t.Context(), order{State: "placed", Shelf: "B7"}))
	head := n.Mesh().Root
	require.NoError(t, n.Close())
	require.ErrorIs(t, node.TrackOf[order](n, "order/1").Set(t.Context(), order{State: "placed", Shelf: "B7"}), chain.ErrClosed)

	n = open(t, c)
	o := node.TrackOf[order](n, "order/1")
	require.NoError(t, o.Set(t.Context(), order{State: "placed", Shelf: "B7"}))
	require.Equal(t, head, n.Mesh().Root)
	require.NoError(t, o.Set(t.Context(), order{State: "picked", Shelf: "B7"}))
	require.Equal(t, []string{`{"shelf":"B7","state":"placed"}`, `{"state":"picked"}`}, deltas(t, n, "order/1"))
}

// A Set that was given up is committed or not; the next one, of what was said
// before, puts that right, as the order of the calls is that of the chain.
func TestTrackHealsAfterAnUnknownOutcome(t *testing.T) {
	for round := range 100 {
		n := open(t, node.Config{Linger: time.Hour})
		o := node.TrackOf[order](n, "order/1")
		require.NoError(t, o.Set(t.Context(), order{State: "a"}))
		require.NoError(t, o.Set(t.Context(), order{State: "a"}))
		given, giveUp := context.WithCancel(t.Context())
		if round%2 == 0 {
			giveUp()
		} else {
			go giveUp()
		}
		if err := o.Set(given, order{State: "b"}); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		require.NoError(t, o.Set(t.Context(), order{State: "a"}))
		require.Equal(t, `{"state":"a"}`, view(t, n, "order/1"))
		// The same for a draft that was enqueued beside, and lingers.
		ack, err := n.Enqueue(t.Context(), draft("order/1", `{"state":"c"}`))
		require.NoError(t, err)
		require.NoError(t, o.Set(t.Context(), order{State: "a"}))
		require.Equal(t, `{"state":"a"}`, view(t, n, "order/1"))
		_, err = ack.Result()
		require.NoError(t, err)
		require.NoError(t, n.Close())
		giveUp()
	}
}

// While the own chain is not back, what is here may be old: nothing is taken for
// published by that.
func TestTrackWaitsForTheOwnChain(t *testing.T) {
	n := recovering(t, node.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := node.TrackOf[map[string]int](n, "order/1").Set(ctx, map[string]int{"a": 1})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, n.Close())
}

// Many callers, several tracks of each subject, updates beside them: every state
// that was set whole is what the authority said at some time, one after the
// other, and the last call of all is what it says in the end.
func TestConcurrentSets(t *testing.T) {
	type pair struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	n := open(t, node.Config{})
	const callers, each, subjects = 8, 40, 3
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			var tracks [subjects]*node.Track[pair]
			for i := range tracks {
				tracks[i] = node.TrackOf[pair](n, fmt.Sprint("s/", i))
			}
			for i := range each {
				k := caller*each + i
				if err := tracks[i%subjects].Set(context.Background(), pair{k, k}); err != nil {
					t.Error(err)
				}
				if err := tracks[i%subjects].Set(context.Background(), pair{k % 2, k % 2}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range subjects {
		subject := fmt.Sprint("s/", i)
		status := chain.NewState(subject).Status()
		for _, d := range deltas(t, n, subject) {
			patch, err := chain.ParseValue([]byte(d))
			require.NoError(t, err)
			next := chain.Merge(status, patch)
			require.Equal(t, d, chain.Diff(status, next).String(), "an update says what changed")
			a, _ := next.Get("a")
			b, _ := next.Get("b")
			require.True(t, a.Equal(b), "a mixture of two states: %s", next)
			status = next
		}
		require.NoError(t, node.TrackOf[pair](n, subject).Set(t.Context(), pair{-1, -1}))
		require.Equal(t, `{"a":-1,"b":-1}`, view(t, n, subject))
	}
}

// A state that does not change adds nothing, also while the node takes in others.
func TestNothingComesOfNoChange(t *testing.T) {
	n := open(t, node.Config{})
	o := node.TrackOf[order](n, "order/1")
	state := order{State: "picked", Shelf: "B7", Items: map[string]int{"lamp": 1}}
	require.NoError(t, o.Set(t.Context(), state))
	head := n.Mesh().Root
	for range 50_000 {
		require.NoError(t, o.Set(t.Context(), state))
	}
	require.Equal(t, head, n.Mesh().Root)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := n.Publish(context.Background(), draft("stock/1", fmt.Sprintf(`{"n":%d}`, i))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 50_000 {
		if err := o.Set(t.Context(), state); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	require.Len(t, deltas(t, n, "order/1"), 1)
}
