package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/room"
)

// Handler is a node's HTTP interface. It is safe for concurrent use.
type Handler struct {
	backend  Backend
	info     Info
	logger   *slog.Logger
	failures failures
	metrics  *metrics
	scrape   http.Handler
	limits   Limits

	nodeHeader []string
	exact      map[string]*route
	below      []*route // by their prefix

	sameOrigin http.CrossOriginProtection

	waiters atomic.Int64
	streams atomic.Int64
	batches *batches
	views   *views
	large   *room.Room // of bodies

	closing context.Context // ends with Close
	close   context.CancelFunc
}

// New returns the interface of a node.
func New(cfg Config) *Handler {
	h := &Handler{
		backend: cfg.Backend,
		info:    cfg.Backend.Info(),
		logger:  cfg.Logger,
		scrape:  cfg.Metrics,
		limits:  cfg.Limits.withDefaults(),
		batches: newShared[batchKey, *batch](maxBatchBytes),
		views:   newShared[viewKey, *view](maxViewBytes),
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if h.metrics, err = newMetrics(cfg.Registry); err != nil {
		h.logger.Error("register HTTP metrics", slog.Any("err", err))
	}
	h.large = newLargeRoom(h.limits.LargeBodies)
	h.nodeHeader = []string{h.info.Node}
	h.closing, h.close = context.WithCancel(context.Background())
	h.routes(cfg.Pages)
	return h
}

// Close ends all that waits, with the code "closing", and refuses what comes
// later with the same. A publish that was taken is still answered by its
// outcome. It does not wait for any of this, and is idempotent.
func (h *Handler) Close() { h.close() }

// route is one path of the interface, or all below one.
type route struct {
	pattern string // as metrics name it
	prefix  string // of the path, for a route with a parameter
	allow   string // value of the Allow header
	open    bool   // answers while closing
	get     action
	post    action
	delete  action
}

// action answers a request, or says why not.
type action func(x *exchange) error

func (h *Handler) routes(pages map[string]http.Handler) {
	h.exact = map[string]*route{}
	routes := []*route{
		{pattern: "/", get: h.root},
		{pattern: "/healthz", get: h.healthz, open: true},
		{pattern: "/readyz", get: h.readyz, open: true},
		{pattern: "/metrics", get: h.serveMetrics, open: true},
		{pattern: "/v1/updates", post: h.publish},
		{pattern: "/v1/updates/{id}", get: h.update},
		{pattern: "/v1/subjects", get: h.subjects},
		{pattern: "/v1/subjects/{subject}", get: h.view},
		{pattern: "/v1/history/{subject}", get: h.history},
		{pattern: "/v1/chains/{origin}", get: h.chain},
		{pattern: "/v1/changes", get: h.changes, post: h.changesByPost},
		{pattern: "/v1/mesh", get: h.mesh},
		{pattern: "/v1/mesh/members/{name}", delete: h.forget},
		{pattern: "/v1/openapi.json", get: h.openapi},
	}
	for path, page := range pages {
		routes = append(routes, &route{pattern: path, get: func(x *exchange) error { return x.pass(page) }})
	}
	for _, r := range routes {
		methods := make([]string, 0, 4)
		if r.get != nil {
			methods = append(methods, "GET", "HEAD")
		}
		if r.post != nil {
			methods = append(methods, "POST")
		}
		if r.delete != nil {
			methods = append(methods, "DELETE")
		}
		r.allow = strings.Join(append(methods, "OPTIONS"), ", ")
		if prefix, _, ok := strings.Cut(r.pattern, "{"); ok {
			r.prefix = prefix
			h.below = append(h.below, r)
		} else {
			h.exact[r.pattern] = r
		}
	}
}

// find returns the route of a path and what the path names below it. The path
// is unescaped, so a "/" of a subject may be written as %2F, and nothing of it
// is cleaned: http.ServeMux would redirect "a//b" and "a/../b", which are
// invalid subjects here and answered as such.
func (h *Handler) find(path string) (*route, string) {
	if path == "" { // what http.StripPrefix leaves of the prefix itself
		path = "/"
	}
	if r := h.exact[path]; r != nil {
		return r, ""
	}
	for _, r := range h.below {
		if rest, ok := strings.CutPrefix(path, r.prefix); ok {
			return r, rest
		}
	}
	return nil, ""
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, start: time.Now()}
	header := w.Header()
	header["Tidings-Node"] = h.nodeHeader
	header["Tidings-Converged"] = falseHeader
	if h.backend.Converged() {
		header["Tidings-Converged"] = trueHeader
	}
	header["X-Content-Type-Options"] = nosniffHeader
	header["Cache-Control"] = noStoreHeader
	pattern := "other"
	defer func() {
		if failure := recover(); failure != nil {
			if failure != http.ErrAbortHandler {
				h.logger.Error("panic in an HTTP handler", slog.String("path", r.URL.Path),
					slog.Any("panic", failure), slog.String("stack", string(debug.Stack())))
			}
			if x.status != 0 || failure == http.ErrAbortHandler {
				h.metrics.answered(pattern, http.StatusInternalServerError, time.Since(x.start)-x.waited)
				panic(http.ErrAbortHandler) // the answer is cut off, and must look like it
			}
			x.problem(newProblem(CodeInternal, "", "the node failed; its log says how"))
		}
		h.metrics.answered(pattern, x.status, time.Since(x.start)-x.waited)
	}()
	rt, rest := h.find(r.URL.Path)
	if rt != nil {
		pattern = rt.pattern
	}
	x.rest = rest
	if err := h.dispatch(rt, x); err != nil {
		h.fail(x, err)
	}
}

// dispatch calls the action of a route.
func (h *Handler) dispatch(rt *route, x *exchange) error {
	if n := len(x.r.URL.RawQuery) + len(x.r.URL.Path); n > maxURL {
		p := newProblem(CodeTooLarge, "", "the URL is too long; a long cursor goes into the body of POST /v1/changes")
		p.Status = http.StatusRequestURITooLong
		return p
	}
	if rt == nil {
		if x.r.Method == http.MethodOptions && x.r.URL.Path == "*" {
			x.w.Header().Set("Allow", "GET, HEAD, POST, DELETE, OPTIONS")
			x.empty(http.StatusNoContent)
			return nil
		}
		return newProblem(CodeNotFound, reply.FieldPath, "a node has no call at this path")
	}
	var do action
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		do = rt.get
	case http.MethodPost:
		do = rt.post
	case http.MethodDelete:
		do = rt.delete
	case http.MethodOptions:
		x.w.Header().Set("Allow", rt.allow)
		x.empty(http.StatusNoContent)
		return nil
	}
	switch {
	case do == nil:
		x.w.Header().Set("Allow", rt.allow)
		return newProblem(CodeMethodNotAllowed, "", "this path takes "+rt.allow)
	case h.closing.Err() != nil && !rt.open:
		return errClosing
	case h.sameOrigin.Check(x.r) != nil:
		return errCrossOrigin
	}
	return do(x)
}

// errCrossOrigin refuses what the page of another site sends through the
// browser of a user who reaches this node: a loopback address keeps the network
// out, not the pages that its owner reads.
var errCrossOrigin = newProblem(CodeNotAllowed, "Origin", "a page of another site sent this: only GET, HEAD and OPTIONS are taken from one")

var errClosing = newProblem(CodeClosing, "", "this node is shutting down; ask another")

// fail answers an error, unless the answer has begun or nobody waits for it.
func (h *Handler) fail(x *exchange, err error) {
	if x.status != 0 {
		h.logger.Warn("HTTP answer cut off", slog.String("path", x.r.URL.Path), slog.Any("err", err))
		panic(http.ErrAbortHandler)
	}
	if clientGone(x.r.Context(), err) {
		x.status = statusClientGone
		return
	}
	p := problemOf(err)
	h.report(p, err, slog.String("method", x.r.Method), slog.String("path", x.r.URL.Path))
	x.problem(p)
}

// report logs an error that the answer does not show, or that the node's owner
// has to know of.
func (h *Handler) report(p *Problem, err error, attrs ...slog.Attr) {
	if p.Code != CodeInternal && p.Code != CodeStoreFailed {
		return
	}
	if unlogged, ok := h.failures.next(time.Now()); ok {
		h.logger.LogAttrs(context.Background(), slog.LevelError, "HTTP request failed",
			append(attrs, slog.String("err", err.Error()), slog.Int("not_logged", unlogged))...)
	}
}

// failures bounds what is logged of requests that fail: a store that is damaged
// fails each of them, and all are counted.
type failures struct {
	mu       sync.Mutex // protects what follows
	last     time.Time
	unlogged int
}

// failuresEvery is the least time between two log lines.
const failuresEvery = time.Second

// next reports whether a failure is to be logged, and how many were not since
// the last that was.
func (f *failures) next(now time.Time) (unlogged int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.last.IsZero() && now.Sub(f.last) < failuresEvery {
		f.unlogged++
		return 0, false
	}
	unlogged, f.unlogged, f.last = f.unlogged, 0, now
	return unlogged, true
}

// statusClientGone is what metrics count where nothing was answered, because
// the client had gone. The number is nginx's.
const statusClientGone = 499

// errGone says that the client went away while its request waited.
var errGone = errors.New("client is gone")
