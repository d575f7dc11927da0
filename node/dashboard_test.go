package node_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node"
)

// The dashboard is at the root of a node's handler, wherever that is mounted, and
// takes no other path from it.
func TestDashboard(t *testing.T) {
	n := open(t, node.Config{})
	mux := http.NewServeMux()
	mux.Handle("/status/", http.StripPrefix("/status", n.Handler()))
	ask := func(h http.Handler, method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w
	}
	for prefix, h := range map[string]http.Handler{"": n.Handler(), "/status": mux} {
		w := ask(h, "GET", prefix+"/")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
		require.Equal(t, "no-cache", w.Header().Get("Cache-Control"))
		require.Equal(t, "wh-1", w.Header().Get("Tidings-Node"))
		require.Contains(t, w.Body.String(), `src="dashboard/app.js"`)
		head := ask(h, "HEAD", prefix+"/")
		require.Equal(t, http.StatusOK, head.Code)
		require.Zero(t, head.Body.Len())
		require.Equal(t, http.StatusOK, ask(h, "GET", prefix+"/dashboard/app.js").Code)

		for _, path := range []string{"/index.html", "/dashboard", "/dashboard/", "/dashboard/index.html", "/dashboard/doc.go", "/dashboard/x.js", "/status"} {
			w := ask(h, "GET", prefix+path)
			require.Equal(t, http.StatusNotFound, w.Code, path)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), path)
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			for _, path := range []string{"/", "/dashboard/style.css"} {
				w := ask(h, method, prefix+path)
				require.Equal(t, http.StatusMethodNotAllowed, w.Code, path)
				require.Equal(t, "GET, HEAD, OPTIONS", w.Header().Get("Allow"), path)
			}
		}
	}
}
