package browser

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// front mounts nodes below /status, and stands between them and the browser.
type front struct {
	silent atomic.Bool            // nobody gets an answer
	draws  atomic.Pointer[string] // what is answered in place of a picture; nil: 406
	mesh   atomic.Pointer[string] // what is answered in place of the mesh, by a node that is not ready; nil: as it is
}

func (f *front) mount(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/status", http.StripPrefix("/status", h))
	mux.Handle("/status/", http.StripPrefix("/status", h))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case f.silent.Load():
			panic(http.ErrAbortHandler) // the connection ends without an answer
		case f.mesh.Load() != nil && r.URL.Path == "/status/v1/mesh":
			_, _ = w.Write([]byte(*f.mesh.Load()))
		case f.mesh.Load() != nil && r.URL.Path == "/status/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"not_ready","reason":"catching up","progress":{"have":1200,"want":4800}}`))
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

// testTrouble: all that can be wrong with a mesh is told, and what it waits for.
func (f *front) testTrouble(t *testing.T, n *member) {
	p := open(t, n.server.URL+"/status/", 1320, 900)
	p.shows("#members", "warehouse-1")
	p.shows("#feed", "live")
	const own, other = "00000000000000000000000000", "vvvvvvvvvvvvvvvvvvvvvvvvvo"
	trouble := `{"node":"wh-1","authority":"warehouse","origin":"` + own + `","converged":false,"root":"aa","members":[
		{"name":"wh-1","authority":"warehouse","origin":"` + own + `","status":"alive","zone":"","http":"","rtt_ms":0,"root":"aa","behind":0},
		{"name":"fl-1","authority":"fleet","origin":"` + other + `","status":"alive","zone":"north","http":"javascript:alert(1)//x:1","rtt_ms":2.5,"root":"bb","behind":1234,"clock_off_ms":-15000}],
		"chains":[{"origin":"` + own + `","authority":"warehouse","node":"wh-1","head":9,"applied":9,"known":9,"held":0,"age_ms":100},
		{"origin":"` + other + `","authority":"fleet","node":"fl-1","head":12,"applied":10,"known":20,"held":2,"age_ms":61000}],
		"held":[{"id":"` + other + `.11","reason":"dependency","waiting_for":["` + own + `.10"],"age_ms":5000}],
		"freezes":[{"origin":"1111111111111111111111111g","authority":"payments","after":7,"reason":"fork","detail":"seq 8 <b>twice</b>"}],
		"store":{"bytes":1048576,"updates":19,"subjects":3,"failed":"write: no space <i>left</i>"}}`
	f.mesh.Store(&trouble)
	defer f.mesh.Store(nil)
	p.shows("#notices", "This node writes nothing any more: write: no space <i>left</i>.", "not ready: catching up.", "1,200 of 4,800 updates",
		"The clock of fl-1 is off by -15,000 ms")
	p.shows("#who", "not converged")
	p.shows(".facts", "Lag 10", "Held 1", "Store failed")
	p.shows("#members", "fl-1 fleet alive 2.5 ms 1,234 other north javascript:alert(1)//x:1")
	p.shows("#chains", "fl-1 fleet 10 20 10", "1 min 2 held")
	p.shows("#held", "fl-1.11 dependency wh-1.10 5 s")
	p.shows("#freezes", "payments 7 fork seq 8 <b>twice</b>")
	require.Zero(t, eval[int](p, `document.querySelectorAll("main b, main i:not(.dot), #notices b, #notices i, #members td a").length`))
	require.Equal(t, 0.25, eval[float64](p, `document.querySelector("#notices progress").position`))
	p.picture("trouble")
}

// testMany: however many members there are, and whatever they call themselves, what is
// wrong is to be seen, and no part of the page keeps the others off the screen.
func (f *front) testMany(t *testing.T, n *member) {
	var members, chains []string
	for i := range 60 {
		origin, name := fmt.Sprintf("%025d0", i), fmt.Sprint(strings.Repeat("W", 120), i)
		status, frozen := "alive", ""
		if i == 59 {
			status, frozen = "failed", "fork"
		}
		members = append(members, fmt.Sprintf(`{"name":%q,"authority":%[1]q,"origin":%q,"status":%q,"zone":%[1]q,"http":%[1]q,"rtt_ms":1,"root":"aa","behind":1}`, name, origin, status))
		chains = append(chains, fmt.Sprintf(`{"origin":%q,"authority":%q,"node":%[2]q,"head":9,"applied":8,"known":9,"held":0,"age_ms":1,"frozen":%[3]q}`, origin, name, frozen))
	}
	many := fmt.Sprintf(`{"node":"n","authority":"a","origin":"0","converged":false,"root":"aa","members":[%s],"chains":[%s],"held":[],
		"store":{"bytes":1,"updates":1000000000000000,"subjects":3}}`, strings.Join(members, ","), strings.Join(chains, ","))
	f.mesh.Store(&many)
	defer f.mesh.Store(nil)
	for name, width := range map[string]int64{"many": 1440, "many phone": 375} {
		p := open(t, n.server.URL+"/status/", width, 812)
		p.shows("#members tbody tr:first-child", "failed")
		p.shows("#chains tbody", "W")
		require.Contains(t, eval[string](p, `document.querySelector("#chains tbody th").title`), "W59")
		require.Empty(t, eval[[]string](p, `[...document.querySelectorAll("#members tbody tr:first-child .pill, .facts div")]
			.filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.innerText)`), "off the screen")
		require.Less(t, eval[float64](p, `document.querySelector("#freezes").getBoundingClientRect().top`), 2.5*812)
		p.picture(name)
	}
}
