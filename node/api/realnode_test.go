package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// TestRealNode: what a real node answers is as described, too.
func TestRealNode(t *testing.T) {
	n, err := node.Open(t.Context(), node.Config{Name: "wh-1", Authority: "warehouse", DataDir: t.TempDir(), Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	<-n.Ready()
	if _, ok := n.Handler().(*api.Handler); !ok {
		t.Fatalf("a %T is not observed", n.Handler())
	}
	h := api.Observed(n.Handler())
	call := func(method, target, body string) {
		t.Helper()
		r := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), method, target, nil)
		if body != "" {
			r.Body = io.NopCloser(strings.NewReader(body))
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code >= http.StatusBadRequest {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	}
	call("POST", "/v1/updates", `{"subject":"order/1","delta":{"state":"placed"}}`)
	call("POST", "/v1/updates?ack=1", `[{"subject":"order/1","delta":{"state":"picked"},"key":"k"},{"subject":"order/1","delta":{"state":"picked"}},{}]`)
	origin := n.Origin().String()
	for _, target := range []string{
		"/", "/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/mesh", "/v1/subjects?prefix=order&authority=warehouse", "/v1/subjects/order/1?expect=true",
		"/v1/history/order/1", "/v1/changes", "/v1/changes?since=now", "/v1/chains/" + origin, "/v1/updates/" + origin + ".1", "/v1/updates/" + origin + ".2",
	} {
		call("GET", target, "")
	}
}
