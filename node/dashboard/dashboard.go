package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// index is the page itself, which is at the root. What it is made of lies below
// dir.
const (
	index = "web/index.html"
	dir   = "/dashboard/"
)

// types are the media types of what is embedded, by how its name ends. The
// host's own table of types, which differs between machines, is not asked.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// policy lets the page load its own files and talk to its own node, and nothing
// else. An image may be a blob, for the drawing of a history is fetched.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Pages are the dashboard's files by their path, "/" among them. Each answers
// whatever method it is asked by as GET or HEAD. They are safe for concurrent
// use.
func Pages() map[string]http.Handler {
	pages := map[string]http.Handler{}
	err := fs.WalkDir(web, "web", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		contentType := types[path.Ext(name)]
		if contentType == "" {
			return fmt.Errorf("%s: no type is known for it", name)
		}
		body, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		at := dir + strings.TrimPrefix(name, "web/")
		if name == index {
			at = "/"
		}
		pages[at] = newPage(contentType, body)
		return nil
	})
	if err != nil {
		panic(err) // of what is embedded: no input leads here, and a test shows that nothing does
	}
	return pages
}

// page is one file.
type page struct {
	header http.Header
	body   string
}

func newPage(contentType string, body []byte) *page {
	sum := sha256.Sum256(body)
	return &page{body: string(body), header: http.Header{
		"Content-Type":            {contentType},
		"Etag":                    {`"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`},
		"Cache-Control":           {"no-cache"}, // asked for again each time, and sent again only when it is another
		"Content-Security-Policy": {policy},
		"Referrer-Policy":         {"no-referrer"},
		"X-Content-Type-Options":  {"nosniff"},
	}}
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "" && toFolder(w, r) {
		return
	}
	for name, values := range p.header {
		w.Header()[name] = slices.Clone(values)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(p.body))
}

// toFolder leads from a path that http.StripPrefix took whole, such as /status,
// to the same with a slash, and reports whether it could: from there alone do the
// page's relative paths lead to this node. The path is known here by its end
// only, for another handler may have taken more of it.
func toFolder(w http.ResponseWriter, r *http.Request) bool {
	asked, err := url.ParseRequestURI(r.RequestURI)
	if err != nil || strings.HasSuffix(asked.Path, "/") {
		return false
	}
	to := "./" + path.Base(asked.EscapedPath()) + "/"
	if asked.RawQuery != "" {
		to += "?" + asked.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}
