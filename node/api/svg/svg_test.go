package svg

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

var update = flag.Bool("update", false, "write docs/history.svg anew")

// concepts is the order of docs/concepts.md.
func concepts() *maker {
	m := newMaker("order/42")
	m.at = chain.HLCOf(1767355384000)
	w, f, p := m.origin("wh-1", "warehouse"), m.origin("fl-1", "fleet"), m.origin("pay-1", "payments")
	w2 := m.write(w, 1000, `{"state":"placed","items":2}`)
	f2 := m.write(f, 10, `{"carrier":"north"}`, w2.ID)
	f3 := m.write(f, 10, `{"eta":"tue"}`)
	w3 := m.write(w, 10, `{"state":"picked"}`, f2.ID)
	m.write(p, 10, `{"state":"paid","paid":true}`, w2.ID)
	m.write(p, 20, `{"state":"picked and paid"}`, f3.ID, w3.ID)
	return m
}

// The picture in the docs is what a node draws.
func TestConceptsPicture(t *testing.T) {
	const file = "../../../docs/history.svg"
	got := concepts().draw(t)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./node/api/svg -run TestConceptsPicture -update, then look at it")
}

func TestWhatIsDrawn(t *testing.T) {
	m := concepts()
	d := read(t, m.draw(t))
	require.Equal(t, 6, d.counts["circle.no"])
	require.Equal(t, 5, d.counts["path.tr"]-1, "an arrow for each dependency, beside that of the legend")
	require.Equal(t, 2, d.counts["circle.rs"]-1, "w3 and p2 were in a conflict")
	require.Zero(t, d.counts["circle.ro"])
	for _, line := range []string{
		"History of order/42", "6 updates · 2026-01-02 12:03:05 UTC · no open conflict",
		`state "picked and paid"  ◂ head`, "settles the conflict on state",
	} {
		require.Contains(t, "\n"+d.text, "\n"+line+"\n")
	}
	require.Regexp(t, `\nconflict on state, settled by payments \S+….3, with warehouse \S+….3\n`, d.text)

	// A conflict that is open, at a path above the one before, and a reaction.
	w, f, p := m.origin("wh-1", "warehouse"), m.origin("fl-1", "fleet"), m.origin("pay-1", "payments")
	last := m.entries[5].ID
	m.write(w, 1, `{"box":{"size":1}}`, last)
	m.write(f, 1, `{"box":{"size":2}}`, last)
	m.write(p, 1, `{"box":null}`)
	r := m.write(w, 1, `{}`, last)
	r.Cause, r.Hook = last, "refund"
	d = read(t, m.draw(t))
	require.Equal(t, 3, d.counts["circle.ro"]-1)
	require.Regexp(t, `\nopen conflict on box/size with warehouse \S+….4\n`, d.text)
	require.Regexp(t, `\nopen conflict on box with fleet \S+….4, warehouse \S+….4\n`, d.text)
	require.Contains(t, d.text, "1 open conflict\n")
	require.Regexp(t, `\n↳ refund answers payments \S+….3\n`, d.text)
	require.Equal(t, 1, d.counts["rect.no"])
	require.Contains(t, d.text, "\nbox removed")
	// One that writes over its own part leaves the conflict to the others.
	m.write(f, 1, `{"box":{"size":3}}`)
	require.Regexp(t, `\nconflict on box/size, written over since, with warehouse \S+….4\n`, read(t, m.draw(t)).text)
}

// Of a long history the newest are drawn, and the picture says so.
func TestNewestAreDrawn(t *testing.T) {
	m := newMaker("order/1")
	w, f := m.origin("w", "warehouse"), m.origin("f", "fleet")
	first := m.write(f, 1, `{"n":0}`)
	for i := range 3*Most + 10 {
		m.write(w, 1, fmt.Sprintf(`{"n":%d}`, i))
	}
	m.write(f, 1, `{"m":1}`)
	m.write(w, 1, `{"m":2}`, first.ID, chain.ID{Origin: chain.Origin{1}, Seq: 2})
	d := read(t, m.draw(t))
	require.Equal(t, Most, d.counts["circle.no"])
	require.Contains(t, d.text, "\nThe newest 200 of 613 updates; the 413 before them are not drawn · ")
	require.Equal(t, 2, d.counts["path.ea"], "dots lead to what is not drawn of either chain")
	require.Contains(t, d.text, "\nafter fleet "+first.ID.Origin.String()[:minPrefix]+"….2, not drawn\n")
	require.Contains(t, d.text, "\nafter 04000….2, of another subject\n")
	require.Contains(t, d.text, "\nopen conflict on m with fleet ")
	// It may be drawn on the way, too.
	h := New(m.subject)
	for i, e := range m.entries {
		require.NoError(t, h.Add(e.Update, e.authority))
		if i%97 == 0 {
			_, err := h.Append(nil)
			require.NoError(t, err)
		}
	}
	b, err := h.Append([]byte("<!-- -->"))
	require.NoError(t, err)
	require.Equal(t, "<!-- -->"+m.draw(t), string(b))
}

func TestSpan(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for later, want := range map[time.Duration]string{
		0:              "2026-01-02 03:04:05 UTC",
		time.Minute:    "2026-01-02 03:04:05 to 03:05:05 UTC",
		24 * time.Hour: "2026-01-02 03:04:05 to 2026-01-03 03:04:05 UTC",
	} {
		require.Equal(t, want, span(at, at.Add(later)))
	}
}

func TestNothingIsDrawnOfNothing(t *testing.T) {
	b, err := New("order/1").Append([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x", string(b))
}

// What is no history is refused.
func TestDisorderIsRefused(t *testing.T) {
	m := concepts()
	h := m.history(t)
	require.NoError(t, h.Add(m.entries[2].Update, "fleet"))
	_, err := h.Append(nil)
	require.Error(t, err)
	h = New("order/42")
	require.NoError(t, h.Add(m.entries[1].Update, "fleet"))
	require.NoError(t, h.Add(m.entries[0].Update, "warehouse"))
	_, err = h.Append(nil)
	require.ErrorContains(t, err, "not next in stitched order")
	other := *m.entries[0].Update
	other.Subject = "order/43"
	h = New("order/42")
	require.NoError(t, h.Add(&other, "warehouse"))
	_, err = h.Append(nil)
	require.Error(t, err)
}

var hostile = []string{
	"a", "state", "</text><script>alert(1)</script>", "]]>", "<!--", "&amp;", "&", `"'`, "\u202egnp", "\x1b[2J", "\x00", "\ufffe", "日本語の注文番号",
	"שלום 123", "z\u0301\u0301\u0301\u0301\u0301", "{{.}}", "%s%d", "url(http://x)", "\U0001f469\u200d\U0001f467", "a/b~c",
}

// Whatever is written is drawn: sound, bounded, the same each time.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String())
		m := newMaker(text.Draw(t, "subject"))
		n := rapid.IntRange(1, 5).Draw(t, "chains")
		var origins []chain.Origin
		for i := range n {
			origins = append(origins, m.origin(fmt.Sprint(i), text.Draw(t, "authority")))
		}
		for range rapid.IntRange(1, 25).Draw(t, "updates") {
			o := rapid.SampledFrom(origins).Draw(t, "origin")
			var deps []chain.ID
			for _, other := range origins {
				if other != o && m.seqs[other] > 1 && rapid.IntRange(0, 3).Draw(t, "sees") == 0 {
					deps = append(deps, chain.ID{Origin: other, Seq: m.seqs[other]})
				}
			}
			delta := []byte("{")
			for i := range rapid.IntRange(0, 3).Draw(t, "fields") {
				if i > 0 {
					delta = append(delta, ',')
				}
				delta = chain.AppendJSONString(delta, fmt.Sprint(i)+text.Draw(t, "key"))
				delta = append(delta, ':')
				if rapid.Bool().Draw(t, "remove") {
					delta = append(delta, "null"...)
				} else {
					delta = chain.AppendJSONString(delta, text.Draw(t, "value"))
				}
			}
			u := m.write(o, rapid.Int64Range(0, 40_000_000).Draw(t, "later"), string(delta)+"}", deps...)
			if len(deps) > 0 && rapid.Bool().Draw(t, "reacts") {
				u.Cause, u.Hook = deps[0], "h"+text.Draw(t, "hook")
			} else if u.ID.Seq > 2 && rapid.IntRange(0, 5).Draw(t, "reacts to itself") == 0 {
				u.Cause, u.Hook = chain.ID{Origin: o, Seq: u.ID.Seq - 1}, "own"
			}
		}
		picture := m.draw(t)
		d := read(t, picture)
		require.Equal(t, len(m.entries), d.counts["circle.no"]+d.counts["rect.no"])
		require.Equal(t, picture, m.draw(t))
		checkLayout(t, m.laidOut(t))
	})
}

// laidOut is the picture of a history that is drawn whole.
func (m *maker) laidOut(t require.TestingT) *picture {
	h := m.history(t)
	p, err := h.picture()
	require.NoError(t, err)
	now := map[chain.ID]bool{}
	for _, c := range p.state.Conflicts() {
		for _, w := range c.Writes {
			now[w.ID] = true
			require.True(t, p.clashes.ever[w.ID])
		}
	}
	require.Equal(t, now, p.clashes.now)
	return p
}

// The largest picture that anyone can have made is bounded.
func TestSizeIsBounded(t *testing.T) {
	const nasty = `\u0000&&&&&&&&`
	m := newMaker(strings.Repeat("&", chain.MaxSubject))
	var deps []chain.ID
	for i := range Most + 1 {
		o := m.origin(fmt.Sprint(i), strings.Repeat("&", 120)+fmt.Sprint(i))
		fields := make([]string, 60)
		for j := range fields {
			fields[j] = fmt.Sprintf(`"&&&&&&%d":"%s%d"`, j, strings.Repeat(nasty, 2), i)
		}
		u := m.write(o, 100_000_000, "{"+strings.Join(fields, ",")+"}", deps[max(0, len(deps)-64):]...)
		if i > 0 {
			u.Cause, u.Hook = deps[len(deps)-1], strings.Repeat("&", chain.MaxHook)
		}
		if i%2 == 0 {
			deps = append(deps, u.ID)
		}
	}
	picture := m.draw(t)
	require.Contains(t, read(t, picture).text, " · too many conflicts to be drawn")
	require.Greater(t, len(picture), 1<<19, "it is a large one")
}

func FuzzText(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 1 || most > 1000 {
			return
		}
		text := clip(s, most)
		require.LessOrEqual(t, cells(text), most)
		require.True(t, strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0, "%q", text)
		b := appendText([]byte("<text>"), text)
		d := read(t, string(b)+"</text>")
		require.Equal(t, text+"\n", d.text)
	})
}
