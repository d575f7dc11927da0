package api

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
)

// view answers GET /v1/subjects/{subject}.
func (h *Handler) view(x *exchange) error {
	if err := chain.CheckSubject(x.rest); err != nil {
		return newProblem(CodeBadSubject, "subject", err.Error())
	}
	q, err := parseQuery(x.r.URL.RawQuery, "wait", "at_least")
	if err != nil {
		return err
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	d, err := q.wait(0)
	if err != nil {
		return err
	}
	f, err := q.atLeast()
	if err != nil {
		return err
	}
	tags := x.r.Header["If-None-Match"]
	var w *waiting // begun once there is something to wait for
	if f != nil {
		if w, err = x.wait(d); err != nil {
			return err
		}
		defer w.end()
		if err := h.applied(w, f); err != nil {
			return err
		}
	}
	for {
		state, err := h.backend.View(x.rest)
		switch {
		case errors.Is(err, chain.ErrNotFound) || errors.Is(err, ErrNotFound):
			state = nil
		case err != nil:
			return err
		default:
			if tag := state.ETag(); !noneMatch(tags, tag) || d == 0 {
				w.end()
				return h.sendView(x, state, tag, tags)
			}
		}
		if w == nil && d > 0 {
			if w, err = x.wait(d); err != nil {
				return err
			}
			defer w.end()
		}
		more, err := w.next(func() Watch { return h.backend.Watch(x.rest) })
		switch {
		case err != nil:
			return err
		case more:
		case state == nil:
			return newProblem(CodeNotFound, "subject", "nothing was ever said of this subject here")
		default:
			w.end()
			return h.sendView(x, state, state.ETag(), tags)
		}
	}
}

func (h *Handler) sendView(x *exchange, state *chain.State, tag string, tags []string) error {
	age := h.backend.Heard(state.Authorities())
	header := x.w.Header()
	header["Etag"] = []string{`"` + tag + `"`}
	header["Cache-Control"] = noCacheHeader
	header["Tidings-Age-Ms"] = []string{strconv.FormatInt(wholeMillis(age), 10)}
	if noneMatch(tags, tag) {
		x.empty(http.StatusNotModified)
		return nil
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = state.AppendView((*buf)[:0])
	x.json(*buf)
	return nil
}

// applied waits until f is applied here.
func (h *Handler) applied(w *waiting, a *atLeast) error {
	f := a.frontier
	if a.place {
		f = h.backend.Clamp(f)
	}
	err := h.backend.Applied(w, f)
	if err == nil {
		return nil
	}
	if over := w.over(); over != nil {
		return over
	}
	if errors.Is(err, ErrBehind) {
		return newProblem(CodeBehind, "at_least", "not all of it is applied here yet; ask again, or another node")
	}
	return err
}

// atLeast waits for what a read that does not wait for anything else asks for.
func (h *Handler) atLeast(x *exchange, q query) error {
	d, err := q.wait(0)
	if err != nil {
		return err
	}
	f, err := q.atLeast()
	if err != nil || f == nil {
		return err
	}
	w, err := x.wait(d)
	if err != nil {
		return err
	}
	defer w.end()
	return h.applied(w, f)
}
