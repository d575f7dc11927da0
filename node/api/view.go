package api

import (
	"bytes"
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
			return h.sendView(x, v.view, tags)
		}
		if w == nil && d > 0 {
			if w, err = x.wait(d); err != nil {
				return err
			}
			defer w.end()
		}
		var next time.Duration
		if v != nil {
			next = v.next
		}
		more, err := w.next(func() Watch { return h.backend.Watch(x.rest) }, next)
		switch {
		case err != nil:
			return err
		case more:
		case v == nil:
			return errNoSubject
		default:
			w.end()
			return h.sendView(x, v.view, tags)
		}
	}
}

// view is a view on its way to consumers. Nobody writes to it once it is made.
type view struct {
	authorities  []string
	json         []byte
	tag          string
	etag, length []string // values of headers
}

func newView(state *chain.State, tag string, json []byte) *view {
	return &view{
		authorities: state.Authorities(), json: json,
		tag: tag, etag: []string{`"` + tag + `"`}, length: []string{strconv.Itoa(len(json))},
	}
}

// views are those of subjects that were not written since: who polls again, and
// all who wait for one subject, share them.
type views = shared[viewKey, *view]

// viewKey names a view: what a subject's is changes with the version.
type viewKey struct {
	subject string
	version uint64
}

const (
	maxViewBytes = 8 << 20 // of encodings that are kept, in all
	viewOverhead = 512     // bytes of one besides its JSON and its subject
)

// look is what is to be seen of a subject at a moment.
type look struct {
	*view
	next time.Duration // until something else is to be seen by itself, 0 for never
}

// look returns what there is of a subject, nil if nothing was ever said of it.
func (h *Handler) look(subject string, expect bool) (v *look, err error) {
	v = new(look)
	if expect {
		err = h.lookExpecting(v, subject)
	} else {
		v.view, err = h.current(subject)
	}
	if errors.Is(err, chain.ErrNotFound) || errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// current is the view that everyone gets who asks for it now.
func (h *Handler) current(subject string) (*view, error) {
	key := viewKey{subject, h.backend.SubjectVersion(subject)} // of before the state is read
	v, _, err := h.views.get(key, func() (*view, int, error) {
		state, err := h.backend.View(subject)
		if err != nil {
			return nil, 0, err
		}
		v := newView(state, state.ETag(), encode(state.AppendView))
		return v, viewOverhead + 2*len(subject) + len(v.json), nil
	})
	return v, err
}

// lookExpecting is the look at a view with who is expected, which is another one
// as time passes.
func (h *Handler) lookExpecting(v *look, subject string) error {
	state, err := h.backend.View(subject)
	if err != nil {
		return err
	}
	attendance, err := h.backend.Attendance(state)
	if err != nil {
		return err
	}
	members := attendance.appendMembers(nil)
	json := encode(state.AppendView)
	json = append(append(json[:len(json)-1], members...), '}')
	v.view, v.next = newView(state, expectTag(state.ETag(), members), json), attendance.Next
	return nil
}

// encode is what is appended, in as many bytes as it takes.
func encode(appendTo func([]byte) []byte) []byte {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = appendTo((*buf)[:0])
	return bytes.Clone(*buf)
}

func (h *Handler) sendView(x *exchange, v *view, tags []string) error {
	age := h.backend.Heard(v.authorities)
	header := x.w.Header()
	header["Etag"] = v.etag
	header["Cache-Control"] = noCacheHeader
	header["Tidings-Age-Ms"] = []string{strconv.FormatInt(wholeMillis(age), 10)}
	if noneMatch(tags, v.tag) {
		x.empty(http.StatusNotModified)
		return nil
	}
	x.sendSized(http.StatusOK, jsonHeader, v.length, v.json)
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
