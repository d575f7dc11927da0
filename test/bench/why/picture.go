package main

import (
	"bytes"
	"fmt"
	"math"
)

// The picture: a row for each scenario, in it a line for each consumer from p50 to
// p99. It has a ground of its own, so that it is legible on any page.
const (
	width     = 900
	top       = 78
	rowHeight = 64
	labels    = 128 // where the scenario's name ends
)

// panel is a column with a logarithmic axis of milliseconds.
type panel struct {
	title    string
	from, to float64 // x
	min, max float64 // ms
	p50, p99 func(Result) float64
}

var panels = []panel{
	{"How long it waits", labels + 14, labels + 274, 0.1, 10_000, func(r Result) float64 { return r.P50ms }, func(r Result) float64 { return r.P99ms }},
	{"How old the oldest part is", labels + 334, labels + 594, 0.1, 20_000, func(r Result) float64 { return r.Age50ms }, func(r Result) float64 { return r.Age99ms }},
}

const (
	wholeAt  = labels + 664
	servedAt = labels + 754
)

const style = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .head { font-weight: 600 }
  .small { font-size: 10.5px; fill: #59636e }
  .ground { fill: #ffffff }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .asks { stroke: #bc4c00; fill: #bc4c00 }
  .polls { stroke: #0969da; fill: #0969da }
  .asks, .polls { stroke-width: 4; stroke-linecap: round }
  text.asks, text.polls { stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    .ground { fill: #0d1117 }
    .grid { stroke: #3d444d }
    .asks { stroke: #f0883e; fill: #f0883e }
    .polls { stroke: #58a6ff; fill: #58a6ff }
  }
`

// draw is the results as an SVG.
func draw(results []Result) []byte {
	var b bytes.Buffer
	height := top + rowHeight*(len(results)/2) + 34
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="t">`+"\n", width, height, width, height)
	b.WriteString(`<title id="t">A consumer that asks three authorities, beside one that polls any node</title>` + "\n<style>" + style + "</style>\n")
	fmt.Fprintf(&b, `<rect class="ground" width="%d" height="%d" rx="6"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<circle class="asks" cx="24" cy="24" r="3"/><text class="asks head" x="36" y="28">asks each authority</text>`+"\n")
	fmt.Fprintf(&b, `<circle class="polls" cx="200" cy="24" r="3"/><text class="polls head" x="212" y="28">polls any node</text>`+"\n")
	fmt.Fprintf(&b, `<text class="small" x="322" y="28">from p50 to p99; logarithmic</text>`+"\n")
	text(&b, "small", servedAt, 28, "end", "* to the authorities' own systems")
	bottom := top + rowHeight*(len(results)/2)
	for _, p := range panels {
		text(&b, "head", p.from, 58, "start", p.title)
		for ms := p.min; ms <= p.max; ms *= 10 {
			x := p.x(ms)
			fmt.Fprintf(&b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", x, top-8, x, bottom)
			text(&b, "small", x, bottom+16, "middle", axis(ms, p.min))
		}
	}
	text(&b, "head", wholeAt, 58, "end", "Whole")
	text(&b, "head", servedAt, 58, "end", "Requests/s*")
	for i, r := range results {
		y := float64(top + rowHeight*(i/2) + 14 + 24*(i%2))
		class := []string{"asks", "polls"}[i%2]
		if i%2 == 0 {
			text(&b, "head", labels, y+16, "end", r.Scenario)
		}
		for _, p := range panels {
			p.line(&b, r, y, class)
		}
		text(&b, class, wholeAt, y+4, "end", fmt.Sprintf("%.0f %%", 100*r.Whole))
		text(&b, class, servedAt, y+4, "end", figure(r.Served))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// line draws one consumer's range, with its two figures.
func (p panel) line(b *bytes.Buffer, r Result, y float64, class string) {
	if p.title != panels[0].title && r.Whole == 0 {
		text(b, "small", p.from, y+4, "start", "no answer")
		return
	}
	from, to := p.x(p.p50(r)), p.x(p.p99(r))
	fmt.Fprintf(b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, from, y, max(to, from+0.1), y)
	label := short(p.p50(r))
	if most := short(p.p99(r)); most != label {
		label += " – " + most
	}
	if at := to + 8; at < p.to-30 {
		text(b, "small", at, y+4, "start", label)
	} else {
		text(b, "small", from-8, y+4, "end", label)
	}
}

func (p panel) x(ms float64) float64 {
	at := math.Log(min(max(ms, p.min), p.max)/p.min) / math.Log(p.max/p.min)
	return p.from + at*(p.to-p.from)
}

// axis names a line of the grid. What is below the first one is drawn on it.
func axis(ms, least float64) string {
	if ms == least {
		return "≤ " + short(ms)
	}
	return short(ms)
}

// short is a time with two digits.
func short(ms float64) string {
	switch {
	case ms == 0:
		return "0"
	case ms < 9.95:
		return fmt.Sprintf("%.2g ms", ms)
	case ms < 995:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g s", ms/1e3)
}

func text(b *bytes.Buffer, class string, x, y any, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%v" y="%v" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, s)
}
