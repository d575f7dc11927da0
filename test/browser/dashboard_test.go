package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// Tests wait for polls and for gossip most of the time, so meshes go side by side,
// each with tabs of its own.

// The tests of one mesh, in this order: each leaves more in it, and the last one
// takes a member off.
func TestMeshPage(t *testing.T) {
	inOrder(t, []test{
		{"mesh", meshPage},
		{"light and dark", lightAndDark},
		{"markup is text", markupIsText},
		{"feed stands still", feedStandsStill},
		{"member fails", memberFails},
	})
}

func TestSubjectPages(t *testing.T) {
	inOrder(t, []test{
		{"subject in conflict", subjectInConflict},
		{"subject absent", subjectAbsent},
		{"subjects", subjectsPage},
		{"keys", keys},
		{"phone", phone},
	})
}

type test struct {
	name string
	run  func(*testing.T, *mesh)
}

func inOrder(t *testing.T, tests []test) {
	needsChromium(t)
	t.Parallel()
	m := newMesh(t, atRoot)
	seed(t, m)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, m) })
	}
}

// The first page shows who is in the mesh and what each chain has. What is
// published on another node appears in the feed, without anything being loaded
// again, and a filter leaves out what it is to leave out.
func meshPage(t *testing.T, m *mesh) {
	p := open(t, m.members[0].server.URL, 1440, 900)
	p.shows("#members", "warehouse-1 this one", "fleet-1", "payments-1", "alive", "the same")
	p.shows("#chains", "warehouse-1", "fleet-1", "payments-1")
	p.shows(".facts", "Members 3 of 3")
	p.shows("#who", "warehouse-1 · warehouse", "converged")
	p.shows("#held", "Nothing waits.")
	p.shows("#freezes", "No chain is frozen.")
	p.until(`document.querySelector("#feed .pill").innerText === "live" && ((window.early = !document.querySelector("#feed .lines li")), true)`)
	require.False(t, eval[bool](p, "window.early"), "live before its last updates, from before, are shown")
	p.shows("#feed", "order/1006")
	require.Equal(t, "Mesh · warehouse-1 · Tidings", eval[string](p, "document.title"))

	p.do(chromedp.Evaluate[chromedp.Void]("void (window.loaded = 'once')"))
	id := m.members[1].publish(t, "order/77", `{"van":12}`)
	p.shows("#feed .lines li", "order/77", "fleet", `{"van": 12}`, "fleet-1.8")
	require.Equal(t, id.String(), eval[string](p, `document.querySelector("#feed .lines .id").title`))
	p.shows(".facts", "Updates 25", "Subjects 7")

	p.do(chromedp.SendKeys(`#feed input`, "order/77"+kb.Enter))
	p.until(`document.querySelectorAll("#feed .lines li").length === 1`)
	m.members[1].publish(t, "order/78", `{"van":13}`)
	m.members[2].publish(t, "order/77/refund", `{"amount":0.50}`)
	p.shows("#feed .lines li", "order/77/refund", `{"amount": 0.50}`)
	require.Equal(t, 2, eval[int](p, `document.querySelectorAll("#feed .lines li").length`))
	p.do(chromedp.Evaluate[chromedp.Void](`void ((s) => { s.value = "fleet"; s.dispatchEvent(new Event("change")); })(document.querySelector("#feed select"))`))
	p.until(`document.querySelectorAll("#feed .lines li").length === 1`)
	p.shows("#feed .lines li", "order/77", "fleet")
	require.Equal(t, "once", eval[string](p, "window.loaded"))
	p.clean()
}

// A feed that is paused, or read further down, stands still and counts what is new.
func feedStandsStill(t *testing.T, m *mesh) {
	p := open(t, m.members[0].server.URL, 1440, 900)
	m.members[0].publish(t, "late/first", `{"n":1}`)
	p.shows("#feed .lines li", "late/first")
	p.do(chromedp.Click("#feed .filters button"))
	for i := range 3 {
		m.members[0].publish(t, fmt.Sprint("late/", i), `{"n":1}`)
	}
	p.shows("#feed .fresh", "3 new")
	require.Contains(t, eval[string](p, `document.querySelector("#feed .lines li").innerText`), "late/first")
	p.do(chromedp.Click("#feed .fresh"))
	p.shows("#feed .lines li", "late/2")

	// However much comes, what the page keeps is bounded.
	for i := range 700 {
		m.members[0].publish(t, fmt.Sprint("many/", i), `{"n":1}`)
	}
	p.shows("#feed .lines li", "many/699")
	p.do(chromedp.Click("#feed .filters button"))
	p.until(`document.querySelectorAll("#feed .lines li").length === 500`)
	p.clean()
}

// A subject's page shows who said what, the writes that contradict each other with
// the one that is shown first, and how it came about. It changes by itself.
func subjectInConflict(t *testing.T, m *mesh) {
	m.argue("order/1001", `{"state":"packed"}`, `{"state":"delivered","delivery":{"signed_by":"Ada"}}`)
	p := open(t, m.members[2].server.URL, 1440, 900)
	p.shows("#conflicts", "order/1001", "state", `warehouse "packed"`, `fleet "delivered"`)
	p.do(chromedp.Click("#conflicts a"))
	p.shows("h1", "order/1001")
	p.shows(".facts-line", "Updates 6", "1 conflict")
	p.shows("#fields .disputed", "state", `"packed"`, `"delivered"`, "conflict")
	p.shows("#fields", "payment/amount", "49.90") // as it was written
	view, err := m.members[2].View(t.Context(), "order/1001")
	require.NoError(t, err)
	writes := eval[[]string](p, `[...document.querySelectorAll("#subject-conflicts tbody tr")].map((r) => r.innerText)`)
	require.Len(t, writes, 2)
	require.Contains(t, writes[0], view.Conflicts()[0].Writes[0].Value.String())
	require.Contains(t, writes[0], "shown")
	require.NotContains(t, writes[1], "shown")
	require.Equal(t, 6, eval[int](p, `document.querySelectorAll("#history tbody tr").length`))
	p.shows("#history", "warehouse-1", "fleet-1", "payments-1")
	m.members[2].publish(t, "order/1001", `{"state":"delivered"}`)
	p.until(`document.querySelector("#subject-conflicts").hidden`)
	p.shows(".facts-line", "Updates 7")
	p.until(`document.querySelectorAll("#history tbody tr").length === 7`)
	p.clean()
}

// A subject of which nothing was said appears once something is.
func subjectAbsent(t *testing.T, m *mesh) {
	p := open(t, m.members[0].server.URL+"/#/subject/no/such", 1024, 700)
	p.shows("main", "Nothing was said of this subject.")
	m.members[1].publish(t, "no/such", `{"here":true}`)
	p.shows("#fields", "here", "true")
	p.visit("#/subject/a//b")
	p.shows("main", "A subject has no empty segment")
}

// A node that is gone is shown as failed, by those who are left.
func memberFails(t *testing.T, m *mesh) {
	p := open(t, m.members[0].server.URL, 1440, 900)
	p.shows(".facts", "Members 3 of 3")
	m.cut(m.members[2])
	p.shows("#members", "payments-1 payments failed")
	p.shows(".facts", "Members 2 of 3")
	p.picture("member failed")
	p.clean()
}

// Keys do what a mouse does.
func keys(t *testing.T, m *mesh) {
	p := open(t, m.members[0].server.URL, 1024, 700)
	p.shows("#members", "warehouse-1")
	p.press("/")
	p.until(`document.activeElement.id === "search" && document.activeElement.value === ""`)
	p.do(chromedp.KeyEvent("order/1002" + kb.Enter))
	p.shows("h1", "order/1002")
	p.press("/")
	p.do(chromedp.KeyEvent("order/" + kb.Enter))
	p.shows("#subjects", "order/1006")

	// Each step of the tab key leads to something that is to be seen, with a mark on it.
	p = open(t, m.members[0].server.URL+"/#/subjects?prefix=order", 1024, 700)
	p.shows("#subjects", "order/1001")
	seen := map[string]bool{}
	for range 12 {
		p.do(chromedp.KeyEvent(kb.Tab))
		seen[eval[string](p, `(({ activeElement: e }) => {
			if (!e.matches(":focus-visible") || getComputedStyle(e).outlineStyle === "none") return "unmarked " + e.outerHTML;
			return e.innerText || e.ariaLabel || e.type;
		})(document)`)] = true
	}
	for _, want := range []string{"Skip to the content", "Mesh", "Subjects", "Open a subject", "Only subjects with this prefix", "order/1001"} {
		require.Contains(t, seen, want)
	}
	for what := range seen {
		require.NotContains(t, what, "unmarked")
	}
}

// The list of subjects goes by prefix and authority, finds conflicts, and follows
// what is published.
func subjectsPage(t *testing.T, m *mesh) {
	seed(t, m)
	m.members[1].publish(t, "van/7", `{"at":"depot"}`)
	m.argue("van/9", `{"state":"packed"}`, `{"state":"lost"}`)
	p := open(t, m.members[0].server.URL+"/#/subjects", 1440, 900)
	p.shows("#subjects", "order/1001", "van/7")
	p.picture("subjects light")
	p.do(chromedp.SendKeys("#subjects input", "van"+kb.Enter))
	p.shows("#subjects", "2 shown")
	m.members[1].publish(t, "van/8", `{"at":"depot"}`)
	p.shows("#subjects", "van/8", "3 shown")
	p.visit("#/subjects?prefix=van/&conflicts=true")
	p.shows("#subjects", "1 in conflict of 3 looked at", "van/9")
	p.visit("#/subjects?prefix=nothing")
	p.shows("#subjects", "No subject matches.")
	p.clean()
}

// hostile is what would run, or show something else, if it were taken for markup.
const hostile = `<img src=x onerror="window.hurt=1"><script>window.hurt=2</script><b>bold</b>`

// Markup in anything that others wrote is shown as the text that it is.
func markupIsText(t *testing.T, m *mesh) {
	subject := "order/<script>window.hurt=3<\u2215script><b>x<\u2215b>"
	delta := fmt.Sprintf(`{%q:%q,"turned":"a\u202eb","javascript:alert(1)":["</td>",{"<i>":null}]}`, hostile, hostile)
	for _, n := range m.members[:2] {
		n.publish(t, subject, delta)
	}
	m.argue(subject, `{"said":"<u>one</u>"}`, `{"said":"<u>other</u>"}`)
	p := open(t, m.members[0].server.URL, 1440, 900)
	text := fmt.Sprintf("%q", hostile)
	p.shows("#feed .lines", subject, `"<u>one</u>"`)
	p.shows("#feed .lines", text[1:len(text)-1])
	p.shows("#conflicts", subject, `"<u>other</u>"`)
	p.picture("hostile mesh")
	none := func() {
		t.Helper()
		require.Zero(t, eval[int](p, `document.querySelectorAll("main img, main script, main b:not(.facts-line b), main u, main i:not(.dot)").length`))
		require.False(t, eval[bool](p, `"hurt" in window`))
	}
	none()
	p.visit("#/subjects?prefix=order/%3Cscript%3Ewindow.hurt%3D3%3C%E2%88%95script%3E%3Cb%3Ex%3C%E2%88%95b%3E")
	p.shows("#subjects", "1 shown", subject)
	none()
	p.do(chromedp.Click("#subjects tbody a"))
	p.shows("h1", subject)
	p.shows("#fields", hostile[:20], `"a\u202eb"`, `"<u>one</u>"`)
	p.shows("#subject-conflicts", `"<u>other</u>"`)
	p.shows("#history", text[1:len(text)-1])
	require.Contains(t, eval[string](p, "document.title"), "<script>")
	p.picture("hostile subject")
	none()
	p.clean()
}

// On a phone nothing makes the page wider than the screen.
func phone(t *testing.T, m *mesh) {
	m.argue("order/1001", `{"state":"packed"}`, `{"state":"delivered"}`)
	m.members[0].publish(t, "a-long-segment-without-any-break/"+fmt.Sprintf("%0100d", 7), `{"note":"`+fmt.Sprintf("%0300d", 7)+`"}`)
	p := open(t, m.members[0].server.URL, 375, 812)
	for _, page := range []struct{ hash, shows, name string }{
		{"#/", "a-long-segment", "phone mesh"},
		{"#/subjects", "a-long-segment", "phone subjects"},
		{"#/subject/order/1001", "delivered", "phone subject"},
		{"#/subject/a-long-segment-without-any-break/" + fmt.Sprintf("%0100d", 7), "note", "phone long"},
	} {
		p.visit(page.hash)
		p.shows("main", page.shows)
		require.Equal(t, 375, eval[int](p, "document.documentElement.scrollWidth"), page.hash)
		p.picture(page.name)
	}
	p.clean()
}

// The page follows what the reader's system prefers, and can be read in both: text
// has the contrast with what is behind it that WCAG 2.2 asks for (1.4.3).
func lightAndDark(t *testing.T, m *mesh) {
	m.argue("order/1001", `{"state":"packed"}`, `{"state":"out for delivery"}`)
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		p := open(t, m.members[0].server.URL, 1320, 800, scheme(name))
		p.shows("#conflicts", "order/1001")
		p.shows("#feed", "order/1006")
		p.until(`!document.querySelector("#members").innerText.includes("other")`) // all hold the same
		require.Equal(t, dark, eval[bool](p, luminance+`luminance(getComputedStyle(document.body).backgroundColor) < 0.05`))
		require.Empty(t, eval[[]string](p, faint))
		p.picture("mesh " + name)
		p.visit("#/subject/order/1001")
		p.shows("#subject-conflicts", "out for delivery")
		require.Empty(t, eval[[]string](p, faint))
		p.picture("subject " + name)
		p.clean()
	}
}

const luminance = `var luminance = (colour) => {
	const [r, g, b] = colour.match(/[\d.]+/g).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
`

// faint are the texts that stand out too little.
const faint = luminance + `(() => {
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const colour = getComputedStyle(e).backgroundColor;
			if (!/, 0\)$/.test(colour)) return colour;
		}
	};
	const found = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.offsetWidth === 0) continue;
		const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) found.add(e.innerText + " " + getComputedStyle(e).color + " on " + behind(e));
	}
	return [...found];
})()`

// Mounted below a path, with and without the slash, the page finds its node. It says
// so when that does not answer any more, and goes on from where it was when it does.
func TestBelowPath(t *testing.T) {
	needsChromium(t)
	t.Parallel()
	var f front
	m := newMesh(t, f.mount)
	n := m.members[0]
	n.publish(t, "a b/ü?#%2F", `{"a":1}`)
	for _, path := range []string{"/status", "/status/"} {
		p := open(t, n.server.URL+path, 1024, 700)
		p.shows("#members", "warehouse-1")
		p.shows("#feed .lines", "a b/ü?#%2F")
		p.do(chromedp.Click("#feed .lines a"))
		p.shows("h1", "a b/ü?#%2F")
		p.shows("#fields", "a", "1")
		require.Equal(t, "/status/", eval[string](p, "location.pathname"))
		p.clean()
	}
	t.Run("drawing", func(t *testing.T) { f.testDrawing(t, n) })
	t.Run("trouble", func(t *testing.T) { f.testTrouble(t, n) })
	t.Run("many", func(t *testing.T) { f.testMany(t, n) })

	p := open(t, n.server.URL+"/status/", 1024, 700)
	p.shows("#feed", "live")
	f.silent.Store(true)
	n.server.CloseClientConnections()
	p.shows("#notices", "This node does not answer", "Trying again.")
	p.picture("unreachable")
	missed := n.publish(t, "order/1", `{"a":1}`)
	f.silent.Store(false)
	p.until(`document.querySelector("#notices").innerText === ""`)
	p.shows("#feed", "live")
	p.shows("#feed .lines li", "order/1")
	require.Equal(t, missed.String(), eval[string](p, `document.querySelector("#feed .lines .id").title`))
}
