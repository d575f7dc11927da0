package harness

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The picture: a section for each number of nodes, in it a line for each peer with
// a bar of its latency, from p50 to p99, and one of its throughput. Those that
// sync to a disk stand above those that do not. It has a ground of its own, so
// that it is legible on any page.
const (
	pictureWidth = 900
	lineHeight   = 19
	groupHeight  = 22 // the title of a group
	namesTo      = 178
	footHeight   = 34
)

// panel is a column of bars with a logarithmic axis.
type panel struct {
	title    string
	phase    string
	from, to float64 // x
	min, max float64
	unit     string
}

var panels = []panel{
	{"Latency to all nodes at 100 updates/s: p50 – p99", PhaseLatency, 190, 390, 0.1, 10_000, "ms"},
	{"Throughput: updates/s that all nodes have", PhaseThroughput, 580, 750, 100, 10_000_000, "/s"},
}

const pictureStyle = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .head { font-weight: 600 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 10.5px; fill: #59636e }
  .lost { font-size: 10.5px; fill: #bc4c00 }
  .ground { fill: #ffffff }
  .grid { stroke: #e4e9ee; stroke-width: 1 }
  .rule { stroke: #d1d9e0; stroke-width: 1 }
  .ours { fill: #0969da }
  .other { fill: #818b98 }
  .floor { fill: #ced5dc }
  .tail { opacity: 0.4 }
  text.ours { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    .lost { fill: #f0883e }
    .ground { fill: #0d1117 }
    .grid { stroke: #21262d }
    .rule { stroke: #3d444d }
    .ours { fill: #58a6ff }
    .other { fill: #8b949e }
    .floor { fill: #444c56 }
  }
`

// drawing is an SVG that grows downwards.
type drawing struct {
	b bytes.Buffer
	y float64
}

// draw is the results as an SVG.
func draw(results []Result) []byte {
	all := rows(results)
	var sizes []int
	for _, o := range all {
		if !slices.Contains(sizes, o.n) {
			sizes = append(sizes, o.n)
		}
	}
	slices.Sort(sizes)
	d := &drawing{y: 26}
	text(&d.b, "title", 20, d.y, "start", "Updates of 256 bytes from any node to all nodes, on one machine")
	text(&d.b, "small", 20, d.y+18, "start", "All nodes and the load share its cores and its disk. Axes are logarithmic; bars are dark to p50, pale to p99.")
	d.y += 34
	for _, n := range sizes {
		d.section(all, n)
	}
	height := d.y + 14
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" role="img" aria-labelledby="t">`+"\n", pictureWidth, height, pictureWidth, height)
	out.WriteString(`<title id="t">Latency and throughput of Tidings and of other systems</title>` + "\n<style>" + pictureStyle + "</style>\n")
	fmt.Fprintf(&out, `<rect class="ground" width="%d" height="%.0f" rx="6"/>`+"\n", pictureWidth, height)
	out.Write(d.b.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// line is a peer at one number of nodes.
type line struct {
	name                string
	synced              bool
	latency, throughput *row // nil if not measured
}

func (l line) class() string {
	switch {
	case strings.HasPrefix(l.name, "tidings"):
		return "ours"
	case strings.HasSuffix(l.name, "-floor"):
		return "floor"
	}
	return "other"
}

// linesOf gathers the peers at n nodes: synced ones first, floors last of each. Of
// several loads the one with the best throughput counts.
func linesOf(all []*row, n int) []line {
	var lines []line
	for _, o := range all {
		if o.n != n {
			continue
		}
		i := slices.IndexFunc(lines, func(l line) bool { return l.name == o.peer })
		if i < 0 {
			i = len(lines)
			lines = append(lines, line{name: o.peer, synced: o.synced})
		}
		switch l := &lines[i]; {
		case o.phase == PhaseLatency:
			l.latency = o
		case l.throughput == nil || o.median(perSec) > l.throughput.median(perSec):
			l.throughput = o
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		rank := func(l line) int {
			r := 0
			if !l.synced {
				r += 2
			}
			if l.class() == "floor" {
				r++
			}
			return r
		}
		return cmp.Compare(rank(a), rank(b))
	})
	return lines
}

func (d *drawing) section(all []*row, n int) {
	lines := linesOf(all, n)
	fmt.Fprintf(&d.b, `<line class="rule" x1="20" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", d.y, pictureWidth-20, d.y)
	d.y += 24
	text(&d.b, "title", 20, d.y, "start", fmt.Sprintf("%d nodes", n))
	for _, p := range panels {
		text(&d.b, "head", p.from, d.y, "start", p.title)
	}
	d.y += 10
	groups := 0
	for i, l := range lines {
		if i == 0 || l.synced != lines[i-1].synced {
			groups++
		}
	}
	bottom := d.y + float64(len(lines)*lineHeight+groups*groupHeight)
	for _, p := range panels {
		for v := p.min; v <= p.max; v *= 10 {
			x := p.x(v)
			fmt.Fprintf(&d.b, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", x, d.y, x, bottom)
			text(&d.b, "small", x, bottom+14, "middle", short(v)+map[bool]string{true: " " + p.unit}[v == p.max])
		}
	}
	for i, l := range lines {
		if i == 0 || l.synced != lines[i-1].synced {
			title := "not synced"
			if l.synced {
				title = "synced to a disk first"
			}
			text(&d.b, "small", 20, d.y+14, "start", title)
			d.y += groupHeight
		}
		class := ""
		if l.class() == "ours" {
			class = "ours"
		}
		text(&d.b, class, namesTo, d.y+13, "end", l.name)
		panels[0].bar(d, l.latency, l.class(), p50, func(r Result) float64 { return r.P99ms })
		panels[1].bar(d, l.throughput, l.class(), perSec, perSec)
		d.y += lineHeight
	}
	d.y = bottom + footHeight
}

// bar draws one figure, or two of which the second is the larger.
func (p panel) bar(d *drawing, o *row, class string, least, most func(Result) float64) {
	y := d.y + 3
	if o == nil {
		return
	}
	if len(o.runs) == 0 {
		text(&d.b, "lost", p.from+4, y+10, "start", "failed")
		return
	}
	from, to := o.median(least), o.median(most)
	x, end := p.x(from), p.x(to)
	if end > x {
		fmt.Fprintf(&d.b, `<rect class="%s tail" x="%.1f" y="%.1f" width="%.1f" height="12"/>`+"\n", class, x, y, end-x)
	}
	fmt.Fprintf(&d.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="12"/>`+"\n", class, p.from, y, x-p.from)
	label := short(from)
	if to != from {
		label += " – " + short(to)
	}
	text(&d.b, "small", end+5, y+10, "start", label)
	if share := o.median(func(r Result) float64 { return r.Complete }); share < 1 {
		text(&d.b, "lost", end+5+5.8*float64(len([]rune(label)))+6, y+10, "start", fmt.Sprintf("%s arrive", pct(share)))
	}
}

func (p panel) x(v float64) float64 {
	at := math.Log(min(max(v, p.min), p.max)/p.min) / math.Log(p.max/p.min)
	return p.from + at*(p.to-p.from)
}

// short is a figure with two or three digits.
func short(v float64) string {
	switch {
	case v >= 999_500:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 999.5:
		return fmt.Sprintf("%.3gk", v/1e3)
	case v >= 99.5:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

func text(b *bytes.Buffer, class string, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, s)
}
