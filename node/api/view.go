package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// view answers GET /v1/subjects/{subject}.
func (h *Handler) view(x *exchange) error {
	if err := chain.CheckSubject(x.rest); err != nil {
		return newProblem(CodeBadSubject, "subject", err.Error())
	}
	q, err := parseQuery(x.r.URL.RawQuery, "wait", "at_least", "expect", "at")
	if err != nil {
		return err
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	if at, ok := q.get("at"); ok {
		return h.viewAt(x, q, at)
	}
	d, err := q.wait(0)
	if err != nil {
		return err
	}
	f, err := q.atLeast()
	if err != nil {
		return err
	}
	expect, err := q.flag("expect")
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
		v, err := h.look(x.rest, expect)
		if err != nil {
			return err
		}
		if v != nil && (d == 0 || !noneMatch(tags, v.tag)) {
			w.end()
			return h.sendView(x, v, tags)
		}
		if w == nil && d > 0 {
			if w, err = x.wait(d); err != nil {
				return err
			}
			defer w.end()
		}
		var next time.Duration
		if v != nil {
			next = v.attendance.Next
		}
		more, err := w.next(func() Watch { return h.backend.Watch(x.rest) }, next)
		switch {
		case err != nil:
			return err
		case more:
		case v == nil:
			return newProblem(CodeNotFound, "subject", "nothing was ever said of this subject here")
		default:
			w.end()
			return h.sendView(x, v, tags)
		}
	}
}

// look is what is to be seen of a subject at a moment.
type look struct {
	state      *chain.State
	attendance Attendance
	members    []byte // of the attendance, to go into the view; nil unless asked for
	tag        string
}

// look returns what there is of a subject, nil if nothing was ever said of it.
func (h *Handler) look(subject string, expect bool) (*look, error) {
	state, err := h.backend.View(subject)
	v := &look{state: state}
	if err == nil && expect {
		v.attendance, err = h.backend.Attendance(state)
	}
	switch {
	case errors.Is(err, chain.ErrNotFound) || errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	v.tag = state.ETag()
	if expect {
		v.members = v.attendance.appendMembers(nil)
		v.tag = expectTag(v.tag, v.members)
	}
	return v, nil
}

func (h *Handler) sendView(x *exchange, v *look, tags []string) error {
	age := h.backend.Heard(v.state.Authorities())
	header := x.w.Header()
	header["Etag"] = []string{`"` + v.tag + `"`}
	header["Cache-Control"] = noCacheHeader
	header["Tidings-Age-Ms"] = []string{strconv.FormatInt(wholeMillis(age), 10)}
	if noneMatch(tags, v.tag) {
		x.empty(http.StatusNotModified)
		return nil
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = v.state.AppendView((*buf)[:0])
	if v.members != nil {
		*buf = append(append((*buf)[:len(*buf)-1], v.members...), '}')
	}
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
		return newProblem(CodeBehind, a.param, "not all of it is applied here yet; ask again, or another node")
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
