package client

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
)

const meshText = `{"node":"n","members":[],"chains":[],"held":[]}`

// Where an endpoint does not serve, for whatever reason, the next one does, and
// the first is not asked again at once.
func TestCallsFailOver(t *testing.T) {
	for name, c := range map[string]struct {
		first step
		took  time.Duration // at most
	}{
		"nothing listens":    {nil, 0},
		"hangs up":           {hangsUp, 0},
		"hangs":              {hangs, 10 * time.Second},
		"stalls":             {stalls, 10 * time.Second},
		"trickles":           {trickles(" ", 1000, time.Second, meshText), 10 * time.Second},
		"closing":            {refuses(503, "closing"), 0},
		"store failed":       {refuses(503, "store_failed"), 0},
		"busy":               {refuses(429, "busy"), 0},
		"a defect":           {refuses(500, "internal"), 0},
		"bad gateway":        {answers(502, "<html>"), 0},
		"no node":            {answers(200, "<html>"), 0},
		"a wrong path":       {answers(404, "<html>"), 0},
		"a redirect":         {answers(307, "", "Location", "http://elsewhere/v1/mesh"), 0},
		"cut short":          {answers(200, meshText[:20], "Content-Length", "48"), 0},
		"too long a length":  {answers(200, "", "Content-Length", "999999999999"), 0},
		"a problem in a 200": {answers(200, `{"status":503,"code":"closing"}`, "Content-Type", "application/problem+json"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				var first *script
				if c.first != nil {
					first = w.script("a", c.first)
				}
				w.script("elsewhere", answers(200, `{"node":"elsewhere"}`))
				second := w.script("b", answers(200, meshText))
				heard := &events{}
				client := w.client(func(cfg *Config) { cfg.Notify = heard.keep }, "a", "b")
				began := time.Now()
				for range 3 {
					m, err := client.Mesh(t.Context())
					require.NoError(t, err)
					require.Equal(t, "n", m.Node)
				}
				require.LessOrEqual(t, time.Since(began), c.took)
				require.Len(t, second.requests(), 3)
				if first != nil {
					require.Len(t, first.requests(), 1)
				}
				require.Equal(t, 1, heard.count(EndpointDown))
			})
		})
	}
}

// A long answer may take long, as long as it goes on.
func TestALongAnswerIsReadToItsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", trickles(strings.Repeat(" ", 2<<10), 20, 6*time.Second, meshText))
		began := time.Now()
		_, err := w.client(nil, "a").Mesh(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2*time.Minute, time.Since(began))
	})
}

func TestAnswersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", trickles(strings.Repeat(" ", 1<<10), 1<<20, 0, ""))
		_, err := w.client(func(cfg *Config) { cfg.MaxAnswer = 10 << 10 }, "a").Mesh(t.Context())
		require.ErrorContains(t, err, "answer of more than 10240 bytes")
		require.ErrorIs(t, err, ErrUnreachable)
	})
}

// Every code is told by errors.Is, and the whole problem by errors.As. What another
// endpoint would answer in the same way is not asked of it.
func TestRefusalsAreTyped(t *testing.T) {
	for code, want := range map[string]error{
		"bad_request": ErrBadRequest, "bad_delta": ErrBadDelta, "bad_subject": ErrBadSubject, "bad_cursor": ErrBadCursor,
		"unauthorized": ErrUnauthorized, "not_allowed": ErrNotAllowed, "not_found": ErrNotFound, "method_not_allowed": ErrMethodNotAllowed,
		"not_acceptable": ErrNotAcceptable, "unknown_dependency": ErrUnknownDependency, "wrong_authority": ErrWrongAuthority,
		"gone": ErrGone, "too_large": ErrTooLarge, "unsupported_media_type": ErrUnsupportedMediaType, "key_reused": ErrKeyReused,
		"busy": ErrBusy, "internal": ErrInternal, "behind": ErrBehind, "not_ready": ErrNotReady, "store_failed": ErrStoreFailed,
		"clock_skew": ErrClockSkew, "closing": ErrClosing,
	} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *web) {
				status := reply.Code(code).Status()
				w.script("a", refuses(status, code))
				second := w.script("b", refuses(status, code))
				_, err := w.client(nil, "a", "b").View(t.Context(), "order/1")
				require.ErrorIs(t, err, want)
				require.NotErrorIs(t, err, ErrUnreachable)
				var p *Problem
				require.ErrorAs(t, err, &p)
				require.Equal(t, Problem{Status: status, Code: reply.Code(code), Detail: "because of " + code, Field: "f", Line: 3, Floor: "c1.floor"}, *p)
				asked := 0
				if status >= 500 || status == http.StatusTooManyRequests {
					asked = 1
				}
				require.Len(t, second.requests(), asked)
				require.Equal(t, asked == 1, Transient(err))
			})
		})
	}
}

// A path at which there is no node's interface is no absent subject, whoever says that
// there is nothing: the node itself, or another program in its own form.
func TestAnEndpointThatIsNoInterface(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		d := newDesk(t, "d", "d")
		w.finally(d.handler.Close)
		w.serve("node", d.handler)
		w.script("plain", answers(404, "404 page not found", "Content-Type", "text/plain"))
		w.script("form", answers(404, `{"type":"about:blank","title":"Not Found","status":404}`, "Content-Type", "application/problem+json"))
		for _, endpoint := range []string{"node/typo", "node/v1", "plain", "form/status"} {
			_, err := w.client(nil, endpoint).View(t.Context(), "order/1")
			require.EqualError(t, err, "status 404: no node's interface is at http://"+endpoint+": look at its path")
			require.NotErrorIs(t, err, ErrNotFound)
			require.True(t, Transient(err), "another endpoint may be right")
		}
		_, err := w.client(nil, "node/typo", "node").View(t.Context(), "order/1")
		require.ErrorIs(t, err, ErrNotFound)
		_, err = w.client(nil, "node/typo").Publish(t.Context(), Draft{Subject: "s", Delta: []byte(`{}`)})
		require.ErrorContains(t, err, "no node's interface is at http://node/typo")

		w.script("teapot", answers(418, `{"detail":"short and stout"}`, "Content-Type", "application/problem+json"))
		_, err = w.client(nil, "teapot").View(t.Context(), "order/1")
		require.EqualError(t, err, "status 418: short and stout from http://teapot")
	})
}

func TestNoneAnswersAndMistakesOfTheCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		c := w.client(nil, "a", "b")
		_, err := c.View(t.Context(), "order/1")
		require.ErrorIs(t, err, ErrUnreachable)
		require.NotErrorIs(t, err, ErrInDoubt)
		require.ErrorContains(t, err, "http://a: ")
		require.ErrorContains(t, err, "http://b: ")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.View(ctx, "order/1")
		require.ErrorIs(t, err, context.Canceled)

		// A Config that is wrong is told by every call, and not to last.
		for _, endpoints := range [][]string{nil, {" "}, {"ftp://a"}, {"http://"}, {"http://a?b"}, {"http://a?"}, {"http://a:99999"}, {"a:99999"}, {"http://u@a"}, {"http://a", "%"}} {
			c := New(Config{Endpoints: endpoints})
			_, err := c.Mesh(t.Context())
			require.ErrorIs(t, err, ErrConfig, endpoints)
			require.ErrorIs(t, failed(t.Context(), c), ErrConfig, endpoints)
			_, err = c.Publish(t.Context(), Draft{Subject: "s", Delta: []byte(`{}`)})
			require.ErrorIs(t, err, ErrConfig, endpoints)
		}
		_, err = c.View(t.Context(), "order/1", Wait(time.Hour))
		require.ErrorIs(t, err, ErrConfig)
		for _, o := range []FeedOption{Limit(0), Limit(10_001), Hold(-1), Hold(time.Minute), Every(-1), Patience(-1)} {
			require.ErrorIs(t, failed(t.Context(), c, o), ErrConfig)
		}
	})
}

// What a node has not applied yet is asked of another; none of them is put aside.
func TestAtLeastGoesToWhoHasIt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		first := w.script("a", after(2*time.Second, refuses(503, "behind")))
		second := w.script("b", answers(200, `{"subject":"s/1","status":{"x":1.50},"updates":3}`, "ETag", `"t"`, "Tidings-Age-Ms", "1500"))
		c := w.client(nil, "a", "b")
		for range 2 {
			v, err := c.View(t.Context(), "s/1", AtLeast("x.2", "y.3"), Wait(2*time.Second))
			require.NoError(t, err)
			require.Equal(t, `{"x":1.50}`, string(v.Status))
			require.Equal(t, "t", v.ETag)
			require.Equal(t, 1500*time.Millisecond, v.Age)
			require.EqualValues(t, 3, v.Updates)
		}
		require.Len(t, first.requests(), 2)
		require.Equal(t, "/v1/subjects/s%2F1?at_least=x.2%2Cy.3&wait=2s", second.requests()[1].uri)
	})
}

// A view at a cursor is asked for with the cursor, of whoever has it.
func TestViewAtACursor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", refuses(503, "behind"))
		second := w.script("b", answers(200, `{"subject":"s","status":{"x":1},"updates":1}`, "ETag", `"then"`), refuses(404, "not_found"), refuses(400, "bad_cursor"))
		c := w.client(nil, "a", "b")
		v, err := c.View(t.Context(), "s", At("c1.x"), Wait(2*time.Second))
		require.NoError(t, err)
		require.Equal(t, "then", v.ETag)
		require.Equal(t, "/v1/subjects/s?at=c1.x&wait=2s", second.requests()[0].uri)
		_, err = c.View(t.Context(), "s", At("c1.y"))
		require.ErrorIs(t, err, ErrNotFound)
		_, err = c.View(t.Context(), "s", At("")) // not now instead
		require.ErrorIs(t, err, ErrBadCursor)
		require.Equal(t, "/v1/subjects/s?at=", second.requests()[2].uri)
		_, err = c.View(t.Context(), "s", At("c1.x"), AtLeast("x.2"))
		require.ErrorIs(t, err, ErrConfig)
	})
	// Where none has it, that is told, whatever is in front of another.
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", refuses(503, "behind"))
		w.script("b", answers(502, "<html>"))
		_, err := w.client(nil, "a", "b").View(t.Context(), "s", At("c1.x"))
		require.ErrorIs(t, err, ErrBehind)
	})
}

func TestSubjectsArePaged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a",
			answers(200, `{"subjects":[{"subject":"s/1"},{"subject":"s/2"}],"next_page":"p1.a","cursor":"c1.x"}`),
			answers(200, `{"subjects":[{"subject":"s/3"}],"next_page":"p1.b","cursor":null}`),
			answers(200, `{"subjects":[{"subject":"s/4"}],"next_page":null,"cursor":"c1.x"}`))
		list := func(options ...ListOption) (all, cursors []string) {
			for p, err := range w.client(nil, "a").Subjects(t.Context(), options...) {
				require.NoError(t, err)
				cursors = append(cursors, p.Cursor)
				for _, v := range p.Subjects {
					all = append(all, v.Subject)
				}
			}
			return all, cursors
		}
		all, cursors := list(Prefix("s"), Authorities("x", "y"), Ended(), Limit(2))
		require.Equal(t, []string{"s/1", "s/2", "s/3", "s/4"}, all)
		require.Equal(t, []string{"c1.x", "c1.x", "c1.x"}, cursors)
		require.Equal(t, "/v1/subjects?authority=x&authority=y&empty=true&limit=2&page=p1.b&prefix=s", s.requests()[2].uri)

		s = w.script("a",
			answers(200, `{"subjects":[{"subject":"s/1"},{"subject":"s/2"}],"next_page":"p1.a","cursor":"c1.x"}`),
			answers(200, `{"subjects":[{"subject":"s/3"}],"next_page":"p1.b","cursor":"c1.x"}`))
		all, _ = list(Limit(2), AtMost(3))
		require.Equal(t, []string{"s/1", "s/2", "s/3"}, all)
		require.Contains(t, s.requests()[1].uri, "limit=1&page=p1.a")
	})
}

func TestOneUpdateAndAHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		held := strings.TrimSuffix(updateText(2, 10, "s", `{"x":1}`), "}") + `,"applied":false,"reason":"dependency","waiting_for":["` + zeros + `.7"]}`
		s := w.script("a", answers(200, held), answers(200, `{"subject":"s","complete":true,"updates":[`+updateText(2, 10, "s", `{"x": 1}`)+`]}`))
		c := w.client(nil, "a")
		id, err := chain.ParseID(zeros + ".2")
		require.NoError(t, err)
		u, err := c.Update(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, id, u.ID)
		require.Equal(t, `{"x":1}`, string(u.Delta))
		require.False(t, u.Applied)
		require.Equal(t, "dependency", u.Reason)
		require.Equal(t, chain.Seq(7), u.WaitingFor[0].Seq)
		require.JSONEq(t, held, string(u.Raw))
		h, err := c.History(t.Context(), "s")
		require.NoError(t, err)
		require.Len(t, h.Updates, 1)
		require.Equal(t, int64(10), h.Updates[0].HLC.Millis())
		require.Equal(t, "/v1/updates/"+id.String(), s.requests()[0].uri)
	})
}

func TestTheTokenIsSent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a", answers(200, meshText))
		_, err := w.client(func(cfg *Config) { cfg.Token = "s3cret" }, "a").Mesh(t.Context())
		require.NoError(t, err)
		require.Equal(t, "Bearer s3cret", s.requests()[0].header.Get("Authorization"))
		require.Equal(t, "tidings-client", s.requests()[0].header.Get("User-Agent"))
	})
}

// Any takes the first node's word, whatever it is.
func TestAnyTakesARefusalForAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("b", refuses(503, "not_ready"))
		w.script("c", answers(200, `{}`))
		a, err := w.client(nil, "a", "b", "c").Do(t.Context(), Request{Path: "/readyz", Any: true})
		require.NoError(t, err)
		require.Equal(t, 503, a.Status)
		require.Equal(t, "http://b", a.Endpoint)
		require.ErrorIs(t, a.Err(), ErrNotReady)
	})
}
