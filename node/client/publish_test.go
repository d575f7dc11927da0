package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

func TestPublish(t *testing.T) {
	receipt := answers(201, `{"id":"`+zeros+`.2","subject":"s","deps":[],"acks":1}`)
	draft := Draft{Subject: "s", Delta: []byte(`{"n": 1.50}`), Key: "k", Authority: "a", Ack: 2, Wait: 3 * time.Second}
	inBubble(t, func(t *testing.T, w *web) {
		// Nothing was sent to the first: the next one gets it, as it was written.
		second := w.script("b", receipt)
		r, err := w.client(nil, "a", "b").Publish(t.Context(), draft)
		require.NoError(t, err)
		require.Equal(t, chain.Seq(2), r.ID.Seq)
		require.Equal(t, 201, r.Status)
		got := second.requests()[0]
		require.Equal(t, "/v1/updates?ack=2&wait=3s", got.uri)
		require.Equal(t, `{"subject":"s","key":"k","authority":"a","delta":{"n": 1.50}}`, got.body)
	})
	inBubble(t, func(t *testing.T, w *web) {
		// Once it was sent it stays there, with its key, which is a fresh one here.
		first := w.script("a", hangsUp, refuses(429, "busy", "Retry-After", "1"), refuses(503, "not_ready"), receipt)
		second := w.script("b", receipt)
		_, err := w.client(nil, "a", "b").Publish(t.Context(), Draft{Subject: "s", Delta: []byte(`{}`)})
		require.NoError(t, err)
		require.Empty(t, second.requests())
		all := first.requests()
		require.Len(t, all, 4)
		require.GreaterOrEqual(t, all[2].at.Sub(all[1].at), time.Second)
		for _, s := range all {
			require.Equal(t, all[0].body, s.body)
			require.Contains(t, s.body, `"key":"`)
		}
	})
	for name, steps := range map[string][]step{"hangs up": {hangsUp}, "hangs": {hangs}, "hangs up, then is busy": {hangsUp, refuses(429, "busy")}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				w.script("a", steps...)
				second := w.script("b", receipt)
				began := time.Now()
				_, err := w.client(nil, "a", "b").Publish(t.Context(), Draft{Subject: "s", Delta: []byte(`{}`)})
				require.ErrorIs(t, err, ErrInDoubt)
				require.LessOrEqual(t, time.Since(began), 10*time.Second)
				require.Empty(t, second.requests())
			})
		})
	}
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", refuses(422, "key_reused"))
		c := w.client(nil, "a")
		_, err := c.Publish(t.Context(), draft)
		require.ErrorIs(t, err, ErrKeyReused)
		require.NotErrorIs(t, err, ErrInDoubt)
		for _, d := range []Draft{
			{Subject: "s", Delta: []byte(`{`)},
			{Subject: "s\xff", Delta: []byte(`{}`)}, // which JSON would make another subject of
			{Subject: "s", Key: "\xff", Delta: []byte(`{}`)},
			{Subject: "s", Authority: "\xff", Delta: []byte(`{}`)},
		} {
			_, err = c.Publish(t.Context(), d)
			require.ErrorIs(t, err, ErrConfig)
		}
		busy := w.script("a", refuses(429, "busy"))
		_, err = w.client(nil, "a").Publish(t.Context(), draft)
		require.ErrorIs(t, err, ErrBusy)
		require.NotErrorIs(t, err, ErrInDoubt)
		require.Greater(t, len(busy.requests()), 5)
		require.NotErrorIs(t, err, ErrUnreachable)
	})
}

// A node that shuts down has taken nothing: the next one gets the publish at once.
// Where no other takes it, that node may come back.
func TestPublishLeavesANodeThatShutsDown(t *testing.T) {
	receipt := answers(201, `{"id":"`+zeros+`.2","subject":"s","deps":[],"acks":1}`)
	closing := refuses(503, "closing", "Retry-After", "1")
	draft := Draft{Subject: "s", Delta: []byte(`{}`)}
	for name, c := range map[string]struct {
		first, second  []step
		asked          [2]int // how often each is
		took           time.Duration
		deferred, down int
	}{
		"another takes it":          {[]step{closing}, []step{receipt}, [2]int{1, 1}, 0, 0, 1},
		"busy, then leaves":         {[]step{refuses(429, "busy", "Retry-After", "1"), closing}, []step{receipt}, [2]int{2, 1}, time.Second, 1, 1},
		"it comes back":             {[]step{closing, receipt}, nil, [2]int{2, 0}, time.Second, 1, 2},
		"both leave, and one comes": {[]step{closing, closing}, []step{closing, receipt}, [2]int{2, 2}, time.Second, 1, 3},
		"another authority's is no stand-in": {
			[]step{closing, receipt}, []step{refuses(409, "wrong_authority")}, [2]int{2, 1}, time.Second, 1, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				scripts := [2]*script{w.script("a", c.first...), {}}
				if c.second != nil {
					scripts[1] = w.script("b", c.second...)
				}
				heard := &events{}
				began := time.Now()
				_, err := w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "a", "b").Publish(t.Context(), draft)
				require.NoError(t, err)
				require.Equal(t, c.took, time.Since(began))
				require.Equal(t, c.asked, [2]int{len(scripts[0].requests()), len(scripts[1].requests())})
				require.Equal(t, c.deferred, heard.count(PublishDeferred))
				require.Equal(t, c.down, heard.count(EndpointDown))
			})
		})
	}
	inBubble(t, func(t *testing.T, w *web) {
		// What it was sent before, and did not answer, it may have taken.
		first := w.script("a", hangsUp, closing, receipt)
		second := w.script("b", receipt)
		_, err := w.client(nil, "a", "b").Publish(t.Context(), draft)
		require.NoError(t, err)
		require.Len(t, first.requests(), 3)
		require.Empty(t, second.requests())
	})
	inBubble(t, func(t *testing.T, w *web) {
		for _, names := range [][]string{{"a"}, {"a", "b"}, {"a", "nobody"}} {
			w.script("a", closing)
			w.script("b", closing)
			began := time.Now()
			_, err := w.client(nil, names...).Publish(t.Context(), draft)
			require.ErrorIs(t, err, ErrClosing, names)
			require.NotErrorIs(t, err, ErrUnreachable)
			require.InDelta(t, 9, time.Since(began).Seconds(), 1, names)
		}
	})
	inBubble(t, func(t *testing.T, w *web) {
		// One of another authority does not take its place for what comes later.
		first := w.script("a", closing, receipt)
		w.script("b", refuses(409, "wrong_authority"))
		c := w.client(nil, "a", "b")
		for range 3 {
			_, err := c.Publish(t.Context(), draft)
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Len(t, first.requests(), 4)
		_, err := w.client(nil, "b", "nobody", "a").Publish(t.Context(), draft)
		require.NoError(t, err, "the one that is meant is another endpoint")
		_, err = w.client(nil, "b", "nobody").Publish(t.Context(), draft)
		require.ErrorIs(t, err, ErrWrongAuthority)
	})
	inBubble(t, func(t *testing.T, w *web) {
		// It goes, and leaves its refusal standing.
		stop := w.serve("a", &script{steps: []step{closing}})
		time.AfterFunc(3500*time.Millisecond, stop) // between two requests
		_, err := w.client(nil, "a").Publish(t.Context(), draft)
		require.ErrorIs(t, err, ErrClosing)
	})
}
