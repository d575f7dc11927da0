package client

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func query(t *testing.T, s seen) url.Values {
	t.Helper()
	u, err := url.Parse(s.uri)
	require.NoError(t, err)
	return u.Query()
}

// The feed goes on with one cursor at the next endpoint, and only asks to wait once
// it is up to date, and not of an endpoint that it turns to: that would take the time
// of a wait to be found out where it hangs too.
func TestChangesMoveWithTheirCursor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		first := w.script("a",
			batch("c1.A", false, updateText(2, 10, "s", `{}`)),
			batch("c1.B", true, updateText(3, 20, "s", `{}`)),
			stalls)
		second := w.script("b",
			batch("c1.C", true, updateText(4, 30, "s", `{}`), updateText(5, 31, "s", `{}`)),
			after(20*time.Second, batch("c1.C", true)))
		cursors, ids := take(t, w.client(nil, "a", "b"), 4, Prefix("s/"), Authorities("x", "y"), Limit(7))
		require.Equal(t, []string{"c1.A", "c1.B", "c1.C", "c1.C"}, cursors)
		require.Equal(t, []string{"2", "3", "4", "5"}, ids)
		require.Equal(t, "/v1/changes?authority=x&authority=y&limit=7&prefix=s%2F&since=start", first.requests()[0].uri)
		require.False(t, query(t, first.requests()[1]).Has("wait"))
		require.False(t, query(t, second.requests()[0]).Has("wait"))
		for _, s := range []seen{first.requests()[2], second.requests()[1]} {
			wait, err := time.ParseDuration(query(t, s).Get("wait"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, wait, defaultHold*3/4)
			require.LessOrEqual(t, wait, defaultHold)
		}
		require.Equal(t, "c1.B", query(t, second.requests()[0]).Get("since"))
	})
}

// While no endpoint serves, it waits, tells, and goes on from its place, however
// long that is.
func TestChangesOutlastEveryEndpoint(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		heard := &events{}
		c := w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "a", "b")
		back := &script{steps: []step{
			batch("c1.A", false, updateText(2, 10, "s", `{}`)), hangsUp, refuses(503, "closing"),
			answers(404, "<html>"), batch("c1.B", true, updateText(3, 20, "s", `{}`)),
		}}
		time.AfterFunc(30*time.Minute, func() { w.serve("b", back) })
		began := time.Now()
		cursors, ids := take(t, c, 2)
		require.Equal(t, []string{"c1.A", "c1.B"}, cursors)
		require.Equal(t, []string{"2", "3"}, ids)
		took := time.Since(began)
		require.Greater(t, took, 30*time.Minute)
		require.Less(t, took, 30*time.Minute+30*time.Second)
		require.Greater(t, heard.count(NoneAnswers), 200)
		require.Less(t, heard.count(NoneAnswers), 800)
		require.GreaterOrEqual(t, heard.count(EndpointUp), 1)
		all := back.requests()
		require.Len(t, all, 5)
		for _, s := range all[1:] {
			require.Equal(t, "c1.A", query(t, s).Get("since"))
		}
	})
	// A node that asks to be left alone is.
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a", refuses(429, "busy", "Retry-After", "7"), batch("c1.A", true))
		take(t, w.client(nil, "a"), 1)
		all := s.requests()
		require.Len(t, all, 2)
		require.GreaterOrEqual(t, all[1].at.Sub(all[0].at), 7*time.Second)
	})
}

// With a patience it ends: at once where nobody ever answered, later where
// somebody did.
func TestChangesLosePatience(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		began := time.Now()
		require.ErrorIs(t, failed(t.Context(), w.client(nil, "a"), Patience(time.Minute)), ErrUnreachable)
		require.Zero(t, time.Since(began))
		w.script("b", batch("c1.A", true), hangsUp)
		require.ErrorIs(t, failed(t.Context(), w.client(nil, "b"), Patience(time.Minute)), ErrUnreachable)
		require.Equal(t, time.Minute, time.Since(began)-emptyPause)
	})
	// A node that is busy, or starts, is one that answers.
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", refuses(429, "busy"), refuses(503, "not_ready"), batch("c1.A", true))
		take(t, w.client(nil, "a"), 1, Patience(time.Minute))
		w.script("b", refuses(429, "busy"))
		began := time.Now()
		require.ErrorIs(t, failed(t.Context(), w.client(nil, "b"), Patience(time.Minute)), ErrBusy)
		require.Equal(t, time.Minute, time.Since(began))
	})
	// It counts from the failure on, not from when a poll began to wait for news.
	inBubble(t, func(t *testing.T, w *web) {
		stop := w.serve("a", &script{steps: []step{batch("c1.A", true), after(20*time.Second, hangsUp)}})
		began := time.Now()
		time.AfterFunc(20*time.Second+emptyPause, stop)
		time.AfterFunc(25*time.Second, func() { w.script("a", batch("c1.B", true), hangs) })
		cursors, _ := take(t, w.client(nil, "a"), 2, Patience(10*time.Second))
		require.Equal(t, []string{"c1.A", "c1.B"}, cursors)
		require.Greater(t, time.Since(began), 25*time.Second)
	})
}

// A refusal that does not pass ends it, with all that the node says.
func TestChangesEndWithARefusal(t *testing.T) {
	for code, status := range map[string]int{"gone": 410, "bad_cursor": 400, "bad_request": 400, "unauthorized": 401, "not_allowed": 403} {
		for _, inside := range []bool{false, true} {
			inBubble(t, func(t *testing.T, w *web) {
				refusal := refuses(status, code)
				if inside { // a proxy that makes every answer a 200
					refusal = answers(200, fmt.Sprintf(`{"status":%d,"code":%q,"floor":"c1.floor"}`, status, code), "Content-Type", "application/problem+json")
				}
				w.script("a", batch("c1.A", false), refusal)
				second := w.script("b", batch("c1.A", true))
				err := failed(t.Context(), w.client(nil, "a", "b"))
				var p *Problem
				require.ErrorAs(t, err, &p)
				require.Equal(t, code, string(p.Code))
				require.Equal(t, status, p.Status)
				require.Equal(t, "c1.floor", p.Floor)
				require.Empty(t, second.requests())
			})
		}
	}
	inBubble(t, func(t *testing.T, w *web) { // a proxy that lets nobody in
		w.script("a", answers(401, "<html>"))
		require.ErrorContains(t, failed(t.Context(), w.client(nil, "a")), "status 401: Unauthorized from http://a")
	})
}

// The end of the context ends it without an error, wherever it is, and leaves
// nothing behind: the bubble's end would find it.
func TestChangesEndWithTheirContext(t *testing.T) {
	for name, c := range map[string]struct {
		steps   []step
		options []FeedOption
	}{
		"waiting":       {[]step{batch("c1.A", true), hangs}, nil},
		"in a body":     {[]step{stalls}, nil},
		"between polls": {[]step{batch("c1.A", true)}, []FeedOption{Every(time.Hour)}},
		"backing off":   {[]step{refuses(503, "closing")}, nil},
		"no endpoint":   {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				if c.steps != nil {
					w.script("a", c.steps...)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				began := time.Now()
				require.NoError(t, failed(ctx, w.client(nil, "a"), c.options...))
				require.Equal(t, 7*time.Second, time.Since(began))
			})
		})
	}
}

// At a fixed interval polls do not wait, and what takes long does not shift them,
// but for what is there already.
func TestChangesAtAnInterval(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a", batch("c1.A", false, updateText(2, 10, "s", `{}`)), batch("c1.B", true), after(3*time.Second, batch("c1.B", true)))
		began := time.Now()
		take(t, w.client(nil, "a"), 5, Every(10*time.Second))
		var at []time.Duration
		for _, r := range s.requests() {
			require.False(t, query(t, r).Has("wait"))
			at = append(at, r.at.Sub(began))
		}
		require.Equal(t, []time.Duration{0, 0, 10 * time.Second, 20 * time.Second, 30 * time.Second}, at)
	})
}

// A node, or what is in front of it, that does not hold its answers is not asked in
// a tight loop.
func TestChangesDoNotSpin(t *testing.T) {
	for _, empty := range []string{batchText("c1.A", true), batchText("c1.A", false)} {
		inBubble(t, func(t *testing.T, w *web) {
			s := w.script("a", answers(200, empty))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			require.NoError(t, failed(ctx, w.client(nil, "a")))
			require.InDelta(t, 200, len(s.requests()), 5)
		})
	}
	// What a filter passes over is not slowed down.
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", batch("c1.A", false), batch("c1.B", false), batch("c1.C", true))
		began := time.Now()
		cursors, _ := take(t, w.client(nil, "a"), 3)
		require.Equal(t, []string{"c1.A", "c1.B", "c1.C"}, cursors)
		require.Zero(t, time.Since(began))
	})
}

// A node that is behind still gives what it has, keeps what it has not in the
// cursor, and is left for another if that lasts.
func TestChangesLeaveANodeThatStaysBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		lagging := strings.Replace(batchText("c1.A", true), `"behind":[]`, `"behind":["`+zeros+`"]`, 1)
		first := w.script("a", answers(200, lagging), after(lagPatience, answers(200, lagging)))
		second := w.script("b", batch("c1.A", true, updateText(2, 10, "s", `{}`)), after(10*time.Second, batch("c1.A", true)))
		heard := &events{}
		began := time.Now()
		_, ids := take(t, w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "a", "b"), 4)
		require.Equal(t, []string{"2"}, ids)
		require.Equal(t, 1, heard.count(EndpointLagging))
		require.Len(t, first.requests(), 2)
		require.Equal(t, "5s", query(t, first.requests()[1]).Get("wait"), "it is not waited for longer than it may lag")
		require.Len(t, second.requests(), 2)
		require.Less(t, time.Since(began), 20*time.Second)
	})
	// The only endpoint is not left.
	inBubble(t, func(t *testing.T, w *web) {
		lagging := strings.Replace(batchText("c1.A", true), `"behind":[]`, `"behind":["`+zeros+`"]`, 1)
		w.script("a", after(10*time.Second, answers(200, lagging)))
		heard := &events{}
		take(t, w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "a"), 5)
		require.Zero(t, heard.count(EndpointLagging))
	})
}

// What a cursor has seen may be lost, and all nodes stay behind it: the log gets that
// when it begins, seldomer and seldomer while it lasts, and when it ends.
func TestALagThatLastsIsLoggedSeldom(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		lagging := strings.Replace(batchText("c1.A", true), `"behind":[]`, `"behind":["`+zeros+`"]`, 1)
		began := time.Now()
		lost := func() bool {
			h := time.Since(began).Hours()
			return h < 10 || h > 12
		}
		answer := after(2*time.Second, func(w http.ResponseWriter, r *http.Request) {
			if lost() {
				answers(200, lagging)(w, r)
			} else {
				batch("c1.A", true)(w, r)
			}
		})
		w.script("a", answer)
		w.script("b", answer)
		var text bytes.Buffer // of the feed's goroutine alone
		heard := &events{}
		c := w.client(func(cfg *Config) {
			cfg.Notify, cfg.Logger = heard.keep, slog.New(slog.NewTextHandler(&text, nil))
		}, "a", "b")
		logged := map[time.Duration]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 13*time.Hour)
		defer cancel()
		for _, err := range c.Changes(ctx, Since("c1.A")) {
			require.NoError(t, err)
			if lines := strings.Count(text.String(), "endpoint is behind"); lines > 0 {
				logged[time.Since(began).Truncate(time.Hour)] += lines
				require.Contains(t, text.String(), "endpoint=http://")
				require.NotContains(t, text.String(), "caught up")
			}
			if strings.Contains(text.String(), "endpoint has caught up") {
				require.Contains(t, text.String(), "level=INFO")
				require.InDelta(t, 10, time.Since(began).Hours(), 0.1)
			}
			text.Reset()
		}
		// Of each, after 0, 1, 3, 7, 15 and 31 minutes, about, and then every hour.
		require.InDelta(t, 12, logged[0], 1)
		for h := 1; h < 10; h++ {
			require.LessOrEqual(t, logged[time.Duration(h)*time.Hour], 4)
			require.Positive(t, logged[time.Duration(h)*time.Hour]+logged[time.Duration(h-1)*time.Hour])
		}
		require.Zero(t, logged[10*time.Hour]+logged[11*time.Hour])
		require.InDelta(t, 12, logged[12*time.Hour], 1, "it begins anew")
		require.Greater(t, heard.count(EndpointLagging), 500, "Notify gets all")
		require.Positive(t, heard.count(EndpointCaughtUp))
	})
}

func TestChangesPostALongCursor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		long := "c1." + strings.Repeat("x", longQuery)
		s := w.script("a", batch(long, true), after(5*time.Second, batch(long, true)))
		take(t, w.client(nil, "a"), 2, Since(long), Prefix("p"), Authorities("x", "y"), Hold(time.Millisecond))
		got := s.requests()
		require.Equal(t, http.MethodPost, got[0].method)
		require.Equal(t, "/v1/changes", got[0].uri)
		require.Equal(t, "application/json", got[0].header.Get("Content-Type"))
		require.Equal(t, `{"authority":["x","y"],"limit":1000,"prefix":"p","since":"`+long+`"}`, got[0].body)
	})
	// So do the names of many authorities.
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a", batch("c1.A", true))
		var names []string
		for i := range 1000 {
			names = append(names, fmt.Sprint("authority-", i))
		}
		take(t, w.client(nil, "a"), 1, Authorities(names...))
		require.Equal(t, http.MethodPost, s.requests()[0].method)
		require.Contains(t, s.requests()[0].body, `"authority-999"]`)
	})
}

// Several loops of one client end up at the endpoint that answers, and none is left
// behind.
func TestAClientIsSafeForConcurrentUse(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		stop := w.serve("a", http.HandlerFunc(after(time.Millisecond, batch("c1.A", true, updateText(2, 10, "s", `{}`)))))
		w.serve("b", http.HandlerFunc(after(time.Millisecond, batch("c1.A", true, updateText(2, 10, "s", `{}`)))))
		c := w.client(func(cfg *Config) { cfg.InOrder = false }, "a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		done := make(chan int)
		for range 8 {
			go func() {
				n := 0
				for _, err := range c.Changes(ctx, Every(100*time.Millisecond)) {
					if err != nil {
						t.Error(err)
					}
					n++
				}
				done <- n
			}()
		}
		time.Sleep(2 * time.Second)
		stop()
		for range 8 {
			require.Greater(t, <-done, 40)
		}
		synctest.Wait()
	})
}
