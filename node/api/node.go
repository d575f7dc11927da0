package api

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"

	"github.com/tidings-mesh/tidings/chain"
)

// mesh answers GET /v1/mesh.
func (h *Handler) mesh(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	m := *h.backend.Mesh()
	m.Members = append([]Member{}, m.Members...) // [] where there is none
	for i := range m.Members {
		if rtt := m.Members[i].RTTMs; math.IsNaN(rtt) || math.IsInf(rtt, 0) {
			m.Members[i].RTTMs = 0
		}
	}
	m.Chains = append([]Chain{}, m.Chains...)
	m.Held = append([]Held{}, m.Held...)
	for i := range m.Held {
		m.Held[i].WaitingFor = append([]chain.ID{}, m.Held[i].WaitingFor...)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&m); err != nil {
		return err
	}
	x.json(bytes.TrimRight(buf.Bytes(), "\n"))
	return nil
}

// forget answers DELETE /v1/mesh/members/{name}.
func (h *Handler) forget(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	if err := chain.CheckName(x.rest); err != nil {
		return newProblem(CodeNotFound, "name", "no member is called so: "+err.Error())
	}
	if err := h.backend.Forget(x.r.Context(), x.rest); err != nil {
		return err
	}
	x.empty(http.StatusNoContent)
	return nil
}

// healthz answers GET /healthz: the process is there.
func (h *Handler) healthz(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	x.json([]byte(`{"status":"ok"}`))
	return nil
}

// readyz answers GET /readyz.
func (h *Handler) readyz(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	r := h.backend.Readiness()
	if h.closing.Err() != nil {
		r.Ready, r.Reason = false, "closing"
	}
	progress := Progress{Have: r.Have, Want: r.Want}
	if !r.Ready {
		p := newProblem(CodeNotReady, "", "not ready: "+r.Reason)
		p.Reason, p.Progress = r.Reason, &progress
		return p
	}
	b := append([]byte(nil), `{"ready":true,"progress":`...)
	x.json(append(progress.AppendJSON(b), '}'))
	return nil
}

// serveMetrics answers GET /metrics.
func (h *Handler) serveMetrics(x *exchange) error {
	return x.pass(h.scrape)
}

// root answers GET / where no page does.
func (h *Handler) root(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	x.send(http.StatusOK, plainHeader, []byte(rootText))
	return nil
}

// rootText has relative links: the handler may be mounted below a prefix.
const rootText = `This is a Tidings node.

v1/mesh               the mesh and this node
v1/subjects           what is known, by subject
v1/subjects/SUBJECT   one subject's status
v1/history/SUBJECT    how it came about
v1/changes            the feed of all changes
v1/updates            publish here by POST
v1/openapi.json       all of this, for programs
healthz  readyz  metrics
`

// pass lets another handler answer.
func (x *exchange) pass(to http.Handler) error {
	if to == nil {
		return newProblem(CodeNotFound, "", "this node does not offer that")
	}
	to.ServeHTTP(&recorder{x}, x.r)
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return nil
}

// recorder tells an exchange what another handler answers.
type recorder struct{ x *exchange }

func (r *recorder) Header() http.Header { return r.x.w.Header() }

func (r *recorder) Unwrap() http.ResponseWriter { return r.x.w }

func (r *recorder) WriteHeader(status int) {
	if r.x.status == 0 && status >= http.StatusOK {
		r.x.status = status
	}
	r.x.w.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.x.status == 0 {
		r.x.status = http.StatusOK
	}
	return r.x.w.Write(b)
}
