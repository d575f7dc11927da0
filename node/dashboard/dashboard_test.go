package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/node/dashboard"
)

func get(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every file forbids what it does not need, and is asked for again by its tag.
func TestHeaders(t *testing.T) {
	pages := dashboard.Pages()
	tags := map[string]bool{}
	for at, page := range pages {
		w := get(page, "GET", at)
		require.Equal(t, http.StatusOK, w.Code, at)
		require.NotEmpty(t, w.Body.Bytes(), at)
		h := w.Header()
		require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", h.Get("Content-Security-Policy"), at)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), at)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), at)
		require.Equal(t, "no-cache", h.Get("Cache-Control"), at)
		want := map[string]string{"": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
		require.Equal(t, want[path.Ext(at)], h.Get("Content-Type"), at)

		tag := h.Get("Etag")
		require.Regexp(t, `^"[\w-]{20}"$`, tag)
		require.False(t, tags[tag], "%s has the tag of another file", at)
		tags[tag] = true
		same := get(page, "GET", at, "If-None-Match", tag)
		require.Equal(t, http.StatusNotModified, same.Code, at)
		require.Empty(t, same.Body.Bytes(), at)
		require.Equal(t, http.StatusOK, get(page, "GET", at, "If-None-Match", `"another"`).Code, at)

		head := get(page, "HEAD", at)
		require.Equal(t, http.StatusOK, head.Code, at)
		require.Empty(t, head.Body.Bytes(), at)
		require.Equal(t, h.Get("Content-Length"), head.Header().Get("Content-Length"), at)
	}
}

// Files name each other by relative paths that are there, and nothing elsewhere.
func TestFilesFindEachOther(t *testing.T) {
	pages := dashboard.Pages()
	reference := regexp.MustCompile(`(?:src|href|from)[= ]"([^"#]+)"`)
	outside := regexp.MustCompile(`(?i)https?:|//[a-z0-9-]+\.[a-z]`)
	reached := map[string]bool{"/": true}
	for at, page := range pages {
		body := get(page, "GET", at).Body.String()
		for _, line := range strings.Split(body, "\n") {
			line = strings.ReplaceAll(line, "http://www.w3.org/2000/svg", "") // the name of a language
			require.False(t, outside.MatchString(line), "%s: %s", at, line)
		}
		for _, m := range reference.FindAllStringSubmatch(body, -1) {
			if strings.HasPrefix(m[1], "v1/") {
				continue
			}
			require.False(t, strings.HasPrefix(m[1], "/"), "%s: %s", at, m[1])
			to := path.Join(path.Dir(at), m[1])
			require.Contains(t, pages, to, at)
			reached[to] = true
		}
	}
	require.Len(t, reached, len(pages), "a file that nothing names")
}

// No text of others can become markup: nothing that makes elements of text is
// used at all.
func TestTextStaysText(t *testing.T) {
	makes := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\(|new Function`)
	for at, page := range dashboard.Pages() {
		require.NotRegexp(t, makes, get(page, "GET", at).Body.String(), at)
	}
	require.Regexp(t, makes, "node.innerHTML = text")
}

// Below a path the page needs the slash, without which its relative paths would
// lead past the node.
func TestFolder(t *testing.T) {
	root := dashboard.Pages()["/"]
	for prefix, to := range map[string]string{"/status": "./status/", "/ops/a:b": "./a:b/", "/status?x=%20": "./status/?x=%20"} {
		w := get(http.StripPrefix(strings.Split(prefix, "?")[0], root), "GET", prefix)
		require.Equal(t, http.StatusTemporaryRedirect, w.Code, prefix)
		require.Equal(t, to, w.Header().Get("Location"), prefix)
	}
	require.Equal(t, http.StatusOK, get(http.StripPrefix("/status", root), "GET", "/status/").Code)
}
