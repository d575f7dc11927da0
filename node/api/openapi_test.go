package api

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tidings-mesh/tidings/chain"
)

func TestDescription(t *testing.T) {
	h := newHandler(t, newFake())
	a := call(h, "GET", "/v1/openapi.json", "")
	wantBody(t, a, 200, string(description))
	tag := a.header.Get("ETag")
	if tag == "" || a.header.Get("Cache-Control") != "no-cache" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.header)
	}
	wantBody(t, call(h, "GET", "/v1/openapi.json", "", "If-None-Match: W/"+tag), 304, "")
	wantStatus(t, call(h, "GET", "/v1/openapi.json", "", `If-None-Match: "another"`), 200)
}

// TestDescriptionIsOpenAPI: it is what OpenAPI 3.1 asks for, its examples too.
func TestDescriptionIsOpenAPI(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	if !document.IsOpenAPI31OrLater() {
		t.Errorf("version %s", document.OpenAPI)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDescriptionIsOfItsTable: openapi.json is what the table makes.
func TestDescriptionIsOfItsTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "openapi.json")
	if out, err := exec.Command("go", "run", "./openapi", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(made) != string(description) {
		t.Error("openapi.json is not what its table makes: go generate ./node/api")
	}
}

// broken is a backend that fails at everything.
type broken struct{ *fake }

func (broken) Enqueue(context.Context, []chain.Draft) ([]Pending, error) { return nil, errPlanted }

func (broken) Update(chain.ID) (*chain.Update, UpdateState, error) {
	return nil, UpdateState{}, errPlanted
}

func (broken) View(string) (*chain.State, error) { return nil, errPlanted }

func (broken) Subjects(chain.Prefix, string) iter.Seq2[*chain.State, error] {
	return func(yield func(*chain.State, error) bool) { yield(nil, errPlanted) }
}

func (broken) History(string) iter.Seq2[*chain.Update, error] {
	return func(yield func(*chain.Update, error) bool) { yield(nil, errPlanted) }
}

func (broken) Chain(chain.Origin, chain.Seq, int) (*ChainPage, error) { return nil, errPlanted }

func (broken) Changes(chain.Cursor, chain.Filter, int, func(*chain.Update)) (*Changes, error) {
	return nil, errPlanted
}

func (broken) Mesh() *Mesh { panic(errPlanted) }

func (broken) Forget(context.Context, string) error { return errPlanted }

// TestEveryCall puts every call that is described into the trouble that any may
// come into. Where the trouble is not described of a call, it must not come.
func TestEveryCall(t *testing.T) {
	sound, closed, busy := newHandler(t, newFake()), newHandler(t, newFake()), New(Config{Backend: newFake(), Limits: Limits{Waiters: 1}})
	failing := New(Config{Backend: broken{newFake()}})
	t.Cleanup(failing.Close)
	t.Cleanup(busy.Close)
	closed.Close()
	busy.waiters.Add(1)
	long := strings.Repeat("x", maxURL)
	waits := "wait=1s&at_least=" + fleet.String() + ".2"
	for _, trouble := range []struct {
		name    string
		h       *Handler
		query   string
		body    string // in place of a good one
		headers []string
		status  string
		code    Code
	}{
		{name: "an unknown parameter", h: sound, query: "x=1", status: "400", code: CodeBadRequest},
		{name: "a long URL", h: sound, query: "x=" + long, status: "414", code: CodeTooLarge},
		{name: "another type", h: sound, headers: []string{"Accept: image/png"}, status: "406", code: CodeNotAcceptable},
		{name: "a failure", h: failing, status: "500", code: CodeInternal},
		{name: "a shutdown", h: closed, status: "503", code: CodeClosing},
		{name: "too many that wait", h: busy, query: waits, body: `{"wait":"1s"}`, status: "429", code: CodeBusy},
		{name: "what is not here", h: sound, query: strings.TrimPrefix(waits, "wait=1s&"), body: `{"at_least":"` + fleet.String() + `.2"}`, status: "503", code: CodeBehind},
		{name: "a damaged cursor", h: sound, query: "at_least=c1.x", body: `{"at_least":"c1.x"}`, status: "400", code: CodeBadCursor},
	} {
		for path, item := range observations.at("paths").(map[string]any) {
			for method := range item.(map[string]any) {
				t.Run(trouble.name+"/"+method+" "+path, func(t *testing.T) {
					target := strings.NewReplacer("{id}", ownOrigin.String()+".2", "{subject}", "s", "{origin}", ownOrigin.String(), "{name}", "gone").Replace(path)
					query, body := trouble.query, ""
					if method == "post" {
						body = map[string]string{"/v1/updates": `{"subject":"s","delta":{"a":1}}`, "/v1/changes": "{}"}[path]
						if path == "/v1/changes" && trouble.body != "" {
							query, body = "", trouble.body
						}
					}
					a := call(trouble.h, strings.ToUpper(method), target+"?"+query, body, trouble.headers...)
					var p Problem
					_ = json.Unmarshal([]byte(a.body), &p)
					_, described := observations.described[sight(method, path, trouble.status, "application/problem+json", string(trouble.code))]
					if came := p.Code == trouble.code && p.Status == a.status; came != described && !otherwise(path, method, trouble.code) {
						t.Errorf("described: %t; answered %d %s", described, a.status, a.body)
					}
				})
			}
		}
	}
}

// otherwise reports what a call comes into in a way of its own, which tests of
// its own show.
func otherwise(path, method string, code Code) bool {
	return path == "/v1/updates" && method == "post" && code == CodeBusy
}

// TestFeedByPostInTrouble is what only the feed by POST comes into.
func TestFeedByPostInTrouble(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	if p := call(h, "POST", "/v1/changes", `{"since":"`+strings.Repeat("x", maxQueryBody)+`"}`).problem(t); p.Code != CodeTooLarge || p.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("problem %+v", p)
	}
	f.feed = &GoneError{Floor: chain.Cursor{Frontier: chain.Frontier{ownOrigin: 9}}}
	if p := call(h, "POST", "/v1/changes", `{}`).problem(t); p.Code != CodeGone || p.Floor == "" {
		t.Errorf("problem %+v", p)
	}
}

// TestAtLeastWhatIsHere: with all of it applied, a wait ends before it begins.
func TestAtLeastWhatIsHere(t *testing.T) {
	f := newFake()
	h := newHandler(t, f)
	id := f.put(ownOrigin, "s", `{"a":1}`).String()
	for _, path := range []string{"/v1/subjects", "/v1/subjects/s", "/v1/history/s", "/v1/changes"} {
		wantStatus(t, call(h, "GET", path+"?wait=55s&at_least="+id, ""), 200)
	}
}

// TestConformity: answers that are not as described are found.
func TestConformity(t *testing.T) {
	const good = `{"status":400,"type":"about:blank","title":"Bad Request","code":"bad_request","detail":"d"}`
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
		header                   string
		good                     bool
	}{
		"as described":          {"GET", "/v1/mesh", "application/problem+json", good, 400, "", true},
		"another status":        {"GET", "/v1/mesh", "application/problem+json", good, 418, "", false},
		"another media type":    {"GET", "/v1/mesh", "application/json", good, 400, "", false},
		"another code":          {"GET", "/v1/mesh", "application/problem+json", strings.Replace(good, "bad_request", "gone", 1), 400, "", false},
		"a member too many":     {"GET", "/healthz", "application/json", `{"status":"ok","more":1}`, 200, "", false},
		"a member too few":      {"GET", "/healthz", "application/json", `{}`, 200, "", false},
		"a body that is absent": {"GET", "/healthz", "", "", 200, "", false},
		"a header too few":      {"GET", "/healthz", "application/json", `{"status":"ok"}`, 200, "Tidings-Node", false},
		"a body of HEAD":        {"HEAD", "/healthz", "application/json", `{"status":"ok"}`, 200, "", false},
		"another method":        {"PUT", "/healthz", "application/json", `{"status":"ok"}`, 200, "", false},
		"a parameter too many":  {"GET", "/healthz?x=1", "application/json", `{"status":"ok"}`, 200, "", false},
		"a bad event":           {"GET", "/v1/changes", "text/event-stream", "event: changes\nid: x\ndata: {}\n\n", 200, "", false},
		"an unknown event":      {"GET", "/v1/changes", "text/event-stream", "event: x\ndata: {}\n\n", 200, "", false},
		"a bad line":            {"GET", "/v1/history/{subject}", "application/x-ndjson", "{}\n", 200, "", false},
		"not the index of ours": {"GET", "/v1/none", "application/json", "{}", 200, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			own := newConformity(description)
			header := http.Header{"Tidings-Node": {"n"}, "Tidings-Converged": {"true"}}
			header.Del(c.header)
			if c.kind != "" {
				header.Set("Content-Type", c.kind)
			}
			r, err := http.NewRequest(c.method, c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := &observer{ResponseWriter: headerOnly{header}, request: r, status: c.status}
			o.body.WriteString(c.body)
			var rt *route
			if own.at("paths", r.URL.Path) != nil {
				rt = &route{pattern: r.URL.Path}
			}
			before := len(own.missing())
			own.observe(rt, o)
			if got := len(own.wrong()) == 0; got != c.good {
				t.Errorf("good %t, want %t: %v", got, c.good, own.wrong())
			}
			if seen := before - len(own.missing()); c.good && seen != 1 {
				t.Errorf("%d answers ticked off, want 1", seen)
			}
		})
	}
}

type headerOnly struct{ header http.Header }

func (h headerOnly) Header() http.Header         { return h.header }
func (h headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h headerOnly) WriteHeader(int)             {}
