package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidings-mesh/tidings/chain"
)

func TestMesh(t *testing.T) {
	zero := chain.Hash{}.String()
	wantBody(t, call(newHandler(t, newFake()), "GET", "/v1/mesh", ""), 200,
		`{"node":"wh-1","authority":"warehouse","origin":"`+ownOrigin.String()+`","version":"test","converged":true,"root":"`+zero+`",`+
			`"members":[{"name":"wh-1","authority":"warehouse","origin":"`+ownOrigin.String()+`","addr":"","http":"","status":"alive","zone":"<b>","rtt_ms":0,"root":"`+zero+`","behind":0}],`+
			`"chains":[],"held":[{"id":"`+fleet.String()+`.3","reason":"clock","waiting_for":[],"age_ms":0}],`+
			`"store":{"bytes":10,"updates":2,"subjects":1}}`)
}

func TestForget(t *testing.T) {
	h := newHandler(t, newFake())
	if a := call(h, "DELETE", "/v1/mesh/members/gone", ""); a.status != 204 || a.body != "" {
		t.Errorf("forget: %+v", a)
	}
}

func TestReadiness(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	wantBody(t, call(h, "GET", "/readyz", ""), 200, `{"ready":true,"progress":{"have":7,"want":7}}`)
	f.readiness = Readiness{Reason: "catching up", Have: 3, Want: 9}
	a := call(h, "GET", "/readyz", "")
	if p := a.problem(t); p.Code != CodeNotReady || p.Reason != "catching up" || p.Progress == nil || *p.Progress != (Progress{Have: 3, Want: 9}) {
		t.Errorf("readyz: %s", a.body)
	}
	h.Close()
	a = call(h, "GET", "/readyz", "")
	if p := a.problem(t); p.Code != CodeNotReady || p.Reason != "closing" || p.Progress == nil {
		t.Errorf("readyz while closing: %s", a.body)
	}
	wantBody(t, call(h, "GET", "/healthz", ""), 200, `{"status":"ok"}`)
}

func TestUpdate(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	id := f.put(ownOrigin, "s", `{"a":1}`)
	wantBody(t, call(h, "GET", "/v1/updates/"+id.String(), ""), 200,
		`{"id":"`+id.String()+`","subject":"s","authority":"warehouse","time":"2026-01-02T03:04:05.001Z","hlc":"019b7ca98c890000","deps":[],"delta":{"a":1},"applied":true}`)
	genesis := decode[struct {
		Kind    string
		Applied bool
		Genesis struct {
			Node, Authority, Zone string
			Predecessor           *string
			PublicKey             []byte `json:"public_key"`
		}
		Body []byte
	}](t, call(h, "GET", "/v1/updates/"+ownOrigin.String()+".1", "").body)
	if genesis.Kind != "genesis" || !genesis.Applied || genesis.Genesis.Authority != "warehouse" ||
		chain.OriginOf(genesis.Genesis.PublicKey) != ownOrigin || genesis.Genesis.Predecessor != nil {
		t.Errorf("genesis %+v", genesis)
	}
	held := chain.ID{Origin: fleet, Seq: 7}
	f.held[held] = UpdateState{Authority: "fleet", Reason: "dependency", WaitingFor: []chain.ID{id}}
	a := call(h, "GET", "/v1/updates/"+held.String(), "")
	if wantStatus(t, a, 200); !strings.HasSuffix(a.body, `,"applied":false,"reason":"dependency","waiting_for":["`+id.String()+`"]}`) {
		t.Errorf("held: %s", a.body)
	}
}

func TestChain(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	for range 1200 {
		f.put(ownOrigin, "s", `{"a":1}`)
	}
	type link struct {
		ID         chain.ID
		Kind       string
		Delta      map[string]any
		Body       []byte
		Prev, Hash chain.Hash
		Header     []byte
	}
	type page struct {
		Origin    chain.Origin
		Authority string
		Node      string
		PublicKey []byte `json:"public_key"`
		Updates   []link
		Seals     []struct {
			Seq       chain.Seq
			Signature []byte
		}
		Head chain.Seq
	}
	get := func(query string) page {
		t.Helper()
		a := call(h, "GET", "/v1/chains/"+ownOrigin.String()+query, "")
		wantStatus(t, a, 200)
		return decode[page](t, a.body)
	}
	p := get("")
	if len(p.Updates) != 1000 || p.Head != 1201 || len(p.Seals) != 500 || len(p.Seals[0].Signature) != 64 ||
		p.Origin != ownOrigin || p.Authority != "warehouse" || p.Node != "wh-1" || len(p.PublicKey) != 3 {
		t.Fatalf("page of %d updates, %d seals, head %d", len(p.Updates), len(p.Seals), p.Head)
	}
	if p.Updates[0].Kind != "genesis" || p.Updates[0].Body == nil {
		t.Errorf("first update %+v", p.Updates[0])
	}
	// By hand, as the header is there for: each hash follows from what is shown.
	for i, u := range p.Updates[1:] {
		if u.ID.Seq != chain.Seq(i+2) || u.Prev != p.Updates[i].Hash || chain.HashUpdate(u.Prev, u.Header, []byte(`{"a":1}`)) != u.Hash {
			t.Fatalf("update %s does not link", u.ID)
		}
	}
	if p = get("?from=1201&limit=10000"); len(p.Updates) != 1 || p.Updates[0].ID.Seq != 1201 {
		t.Errorf("from the head: %d updates", len(p.Updates))
	}
	if p = get("?from=1202"); len(p.Updates) != 0 || p.Seals == nil || p.Head != 1201 {
		t.Errorf("past the head: %+v", p)
	}
	f.ended = &chain.Freeze{After: 1201, Reason: chain.FreezeFork, Detail: "seq 1202 <twice>"}
	f.cover = &chain.Cover{Links: []chain.Link{{Header: []byte{1}}, {Header: []byte{2, 3}, Body: chain.Hash{4}}}, Seal: chain.Seal{Seq: 1203}}
	a := call(h, "GET", "/v1/chains/"+ownOrigin.String()+"?from=1201", "")
	wantStatus(t, a, 200)
	signature := strings.Repeat("A", 86) + "=="
	if want := `,"seals":[],"head":1201,"frozen":{"after":1201,"reason":"fork","detail":"seq 1202 <twice>"},"evidence":{"links":[` +
		`{"header":"AQ==","body_hash":"` + strings.Repeat("0", 64) + `"},{"header":"AgM=","body_hash":"04` + strings.Repeat("0", 62) + `"}],` +
		`"seal":{"seq":1203,"signature":"` + signature + `"}}}`; !strings.HasSuffix(a.body, want) {
		t.Errorf("a chain that was ended: %s", a.body)
	}
	if p = get("?from=600&limit=501"); len(p.Updates) != 501 || p.Updates[500].ID.Seq != 1100 {
		t.Errorf("in the middle: %d updates", len(p.Updates))
	}
}

func TestOptionsAndHead(t *testing.T) {
	h := newHandler(t, newFake())
	for target, allow := range map[string]string{
		"/v1/updates": "POST, OPTIONS", "/v1/changes": "GET, HEAD, POST, OPTIONS", "/v1/subjects/a//b": "GET, HEAD, OPTIONS",
		"/v1/mesh/members/x": "DELETE, OPTIONS", "/": "GET, HEAD, OPTIONS",
	} {
		a := call(h, "OPTIONS", target, "")
		if a.status != 204 || a.header.Get("Allow") != allow {
			t.Errorf("OPTIONS %s: %d, Allow %q", target, a.status, a.header.Get("Allow"))
		}
	}
	for _, target := range []string{"/", "/healthz", "/readyz", "/v1/subjects", "/v1/changes", "/v1/mesh"} {
		get, head := call(h, "GET", target, ""), call(h, "HEAD", target, "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
			t.Errorf("HEAD %s: %+v", target, head)
		}
	}
}

func TestBelowPrefix(t *testing.T) {
	f := newFake()
	f.put(ownOrigin, "a/b", `{"a":1}`)
	h := http.StripPrefix("/status", newHandler(t, f))
	for _, target := range []string{"/status/v1/subjects/a/b", "/status/v1/subjects/a%2Fb", "/status", "/status/", "/status/v1/mesh"} {
		wantStatus(t, call(h, "GET", target, ""), 200)
	}
	if p := call(h, "GET", "/status/v1/subjects/a//b", "").problem(t); p.Code != CodeBadSubject {
		t.Errorf("problem %+v", p)
	}
}

// wantMetrics looks for lines of what a handler shows to Prometheus.
func wantMetrics(t *testing.T, h http.Handler, lines ...string) {
	t.Helper()
	a := call(h, "GET", "/metrics", "")
	wantStatus(t, a, 200)
	for _, line := range lines {
		if !strings.Contains(a.body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// newMeasured returns a handler that shows its metrics.
func newMeasured(f *fake, l Limits) *Handler {
	registry := prometheus.NewRegistry()
	return New(Config{Backend: f, Registry: registry, Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), Limits: l})
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := newFake()
	h := New(Config{Backend: f, Registry: registry, Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})})
	defer h.Close()
	// A second handler with the same registry counts into the same metrics.
	other := New(Config{Backend: f, Registry: registry})
	defer other.Close()
	call(h, "GET", "/v1/subjects/none", "")
	call(other, "GET", "/v1/subjects/a//b", "")
	call(h, "GET", "/nothing/of/the/kind", "")
	call(h, "POST", "/v1/updates", `[{"subject":"s","delta":{"a":1}},7]`)
	wantMetrics(t, h,
		`tidings_http_requests_total{code="404",route="/v1/subjects/{subject}"} 1`,
		`tidings_http_requests_total{code="400",route="/v1/subjects/{subject}"} 1`,
		`tidings_http_requests_total{code="404",route="other"} 1`,
		`tidings_http_publish_items_total{code="201"} 1`,
		`tidings_http_publish_items_total{code="400"} 1`,
		`tidings_http_request_duration_seconds_count{route="/v1/updates"} 1`,
		`tidings_http_waiters 0`)
	wantStatus(t, call(other, "GET", "/metrics", ""), 404)
}
