package browser

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// front mounts nodes below /status, and stands between them and the browser.
type front struct {
	silent atomic.Bool            // nobody gets an answer
	draws  atomic.Pointer[string] // what is answered in place of a picture; nil: 406
}

func (f *front) mount(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/status", http.StripPrefix("/status", h))
	mux.Handle("/status/", http.StripPrefix("/status", h))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.silent.Load():
			panic(http.ErrAbortHandler) // the connection ends without an answer
		case r.Header.Get("Accept") == "image/svg+xml":
			picture := f.draws.Load()
			if picture == nil {
				http.Error(w, "", http.StatusNotAcceptable)
				return
			}
			w.Header().Set("Content-Type", "image/svg+xml")
			_, _ = w.Write([]byte(*picture))
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// testDrawing: a history is shown as the picture that the node makes of it, which is
// an image, so that nothing in it runs; and as a list where the node makes none.
func (f *front) testDrawing(t *testing.T, n *member) {
	n.publish(t, "order/9", `{"a":1}`)
	p := open(t, n.server.URL+"/status/#/subject/order/9", 1024, 700)
	p.shows("#history", "warehouse-1")
	draw := chromedp.Click("#history .choice button:last-child")
	picture := `<svg xmlns="http://www.w3.org/2000/svg" width="321" height="50" onload="top.hurt=1"><script>top.hurt=2</script><rect width="9" height="9"/></svg>`
	f.draws.Store(&picture)
	p.do(draw)
	p.until(`document.querySelector("#history img")?.naturalWidth === 321`)
	require.False(t, eval[bool](p, `"hurt" in window || document.querySelector("#history .table").offsetHeight > 0`))
	p.do(chromedp.Click("#history .choice button:first-child"))
	p.until(`document.querySelector("#history .drawing").hidden`)
	p.clean()

	f.draws.Store(nil)
	p.do(draw)
	p.shows("#history", "This node draws no histories. This is the list.", `{"a": 1}`)
	p.until(`document.querySelector("#history .choice button:last-child").disabled`)
}
