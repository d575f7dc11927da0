package svg

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// append writes the picture: what lies below first, and rows in their order, so
// that it can be read out.
func (p *picture) append(dst []byte) []byte {
	d := &drawing{dst}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" `, p.width, p.height)
	d.put(`role="graphics-document document" aria-labelledby="tidings-title" aria-describedby="tidings-desc">` + "\n")
	d.put(`<title id="tidings-title">History of `)
	d.text(clip(p.state.Subject(), maxTitle))
	d.put("</title>\n" + `<desc id="tidings-desc">`)
	d.text(p.summary() + ". A row for each update, a lane for each authority: " + p.authorities() + ".")
	d.put("</desc>\n" + style)
	d.put(`<rect class="bg" x=".5" y=".5" width="%d" height="%d" rx="8"/>`+"\n", p.width-1, p.height-1)
	p.drawHead(d)
	d.put(`<g aria-hidden="true">` + "\n")
	p.drawGround(d)
	p.drawLanes(d)
	p.drawTrunks(d)
	p.drawUpdates(d)
	d.put("</g>\n")
	for _, r := range p.rows {
		p.drawText(d, r)
	}
	p.drawFoot(d)
	d.put("</svg>\n")
	return d.b
}

// drawing is the XML so far.
type drawing struct{ b []byte }

// put writes XML; args are numbers and names of classes only.
func (d *drawing) put(format string, args ...any) {
	if len(args) == 0 {
		d.b = append(d.b, format...)
		return
	}
	d.b = fmt.Appendf(d.b, format, args...)
}

// text writes a text that was clipped.
func (d *drawing) text(s string) { d.b = appendText(d.b, s) }

// label writes a text at a place.
func (d *drawing) label(class string, x, y int, s string) {
	d.put(`<text class="%s" x="%d" y="%d">`, class, x, y)
	d.text(s)
	d.put("</text>\n")
}

func (p *picture) colour(authority string) int { return p.colours[authority] % colours }

// summary tells what the picture is of, in a line.
func (p *picture) summary() string {
	total := p.state.Updates()
	s := count(total, "update")
	if n := uint64(len(p.rows)); n < total {
		s = fmt.Sprintf("The newest %d of %d updates; the %d before them are not drawn", n, total, total-n)
	}
	s += " · " + span(p.rows[0].HLC.Time(), p.rows[len(p.rows)-1].HLC.Time())
	switch n := len(p.clashes.open); {
	case p.clashes.tooMany:
		return s + " · too many conflicts to be drawn"
	case n > 0:
		return s + " · " + count(uint64(n), "open conflict")
	}
	return s + " · no open conflict"
}

// span is the time from one moment to another, to the second.
func span(from, to time.Time) string {
	first, last := from.Format(time.DateTime), to.Format(time.DateTime)
	if first == last {
		return first + " UTC"
	}
	if day, clock, _ := strings.Cut(last, " "); strings.HasPrefix(first, day+" ") {
		last = clock
	}
	return first + " to " + last + " UTC"
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}

// authorities are the names of the lanes, the first few of them.
func (p *picture) authorities() string {
	const most = 10
	var names []string
	for _, col := range p.columns {
		if name := clip(col.authority, maxAuthority); len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], strconv.Itoa(more)+" more")
	}
	return strings.Join(names, ", ")
}

func (p *picture) drawHead(d *drawing) {
	const subjectCell = 11 // pixels of a character of the subject, at most
	d.label("h", margin, 38, clip(p.state.Subject(), (p.width-2*margin)/subjectCell))
	d.label("s", margin, 60, p.summary())
	for _, col := range p.columns {
		if p.columns[max(0, col.index-1)].authority == col.authority && col.index > 0 {
			continue // the lane has its name
		}
		d.put(`<text class="a f%d" transform="translate(%d %d) rotate(-40)">`, p.colour(col.authority), col.x, p.graphTop)
		d.text(clip(col.authority, maxAuthority))
		d.put("</text>\n")
	}
}

// drawGround draws what helps the eye along: every other row, and where a day begins.
func (p *picture) drawGround(d *drawing) {
	for _, r := range p.rows {
		if r.date != "" {
			y := r.top - dateHeight/2 + 4
			d.put(`<path class="ru" d="M%d %dH%d"/>`+"\n", p.timeX+pixels(len(r.date))+8, y-4, p.width-margin)
		}
		if r.index%2 == 0 {
			d.put(`<rect class="z" x="%d" y="%d" width="%d" height="%d" rx="4"/>`+"\n", p.timeX-8, r.top, p.width-margin+8-(p.timeX-8), r.bottom-r.top)
		}
	}
}

// drawLanes draws each chain from its first update to its last; dots lead to
// those before that are not drawn.
func (p *picture) drawLanes(d *drawing) {
	for _, col := range p.columns {
		first, last := col.rows[0], col.rows[len(col.rows)-1]
		if col.earlier {
			d.put(`<path class="ea s%d" d="M%d %dV%d"/>`+"\n", p.colour(col.authority), col.x, p.graphTop+8, first.y-radius)
		}
		if first != last {
			d.put(`<path class="ch s%d" d="M%d %dV%d"/>`+"\n", p.colour(col.authority), col.x, first.y, last.y)
		}
	}
}

// drawTrunks draws the arrows: from an update level to the trunk, up, and level to
// what it depends on. Those that share a trunk join it.
func (p *picture) drawTrunks(d *drawing) {
	for _, t := range p.trunks { // lanes give way to what crosses them
		for _, r := range t.from {
			out := t.out(r)
			d.put(`<path class="ha" d="M%d %dH%d"/>`+"\n", r.column.x-out*radius, r.y, t.x+out*bend)
		}
	}
	for _, t := range p.trunks {
		c := p.colour(t.to.authority)
		for i, r := range t.from {
			out, class := t.out(r), ""
			if r.Cause == t.to.ID {
				class = " ca"
			}
			d.put(`<path class="tr s%d%s" d="M%d %dH%d`, c, class, r.column.x-out*radius, r.y, t.x+out*bend)
			d.put(`Q%d %d %[1]d %d`, t.x, r.y, r.y-bend)
			if i < len(t.from)-1 {
				d.put(`"/>` + "\n")
				continue
			}
			in := 1 // towards the trunk, from what is depended on
			if !t.right {
				in = -1
			}
			tip := t.to.column.x + in*(radius+1)
			d.put(`V%dQ%d %d %d %[3]dH%[5]d"/>`, t.to.y+bend, t.x, t.to.y, t.x-in*bend, tip+in*arrow)
			d.put(`<path class="f%d" d="M%d %dl%d -4v8z"/>`+"\n", c, tip, t.to.y, in*arrow)
		}
	}
}

// out is on which side of a trunk an update is that it comes from: -1 or 1.
func (t *trunk) out(r *row) int {
	if r.column.x < t.x {
		return -1
	}
	return 1
}

// Measures of arrows, in pixels.
const (
	bend  = 5 // radius of a corner
	arrow = 7 // length of a head
)

// drawUpdates draws the updates themselves: squares where a reaction made them,
// ringed where they took part in a conflict.
func (p *picture) drawUpdates(d *drawing) {
	for _, r := range p.rows {
		x, y, c := r.column.x, r.y, p.colour(r.authority)
		switch {
		case p.clashes.now[r.ID]:
			d.put(`<circle class="ro" cx="%d" cy="%d" r="%d"/>`, x, y, radius+3)
		case p.clashes.ever[r.ID]:
			d.put(`<circle class="rs" cx="%d" cy="%d" r="%d"/>`, x, y, radius+3)
		}
		if r.Hook != "" {
			d.put(`<rect class="no f%d" x="%d" y="%d" width="%d" height="%[4]d" rx="2"/>`+"\n", c, x-radius, y-radius, 2*radius)
		} else {
			d.put(`<circle class="no f%d" cx="%d" cy="%d" r="%d"/>`+"\n", c, x, y, radius)
		}
	}
}

// baseline is from the middle of a line down to where its letters stand.
const baseline = 4

func (p *picture) drawText(d *drawing, r *row) {
	y := r.y + baseline
	if r.date != "" {
		d.label("mu", p.timeX, r.top-dateHeight/2+baseline, r.date)
	}
	d.put("<g>\n<title>")
	d.text(r.ID.String() + " by " + clip(r.authority, chain.MaxName) + ", " + r.HLC.Time().Format(chain.TimeLayout) + ": " + clip(string(r.Delta), maxTitle))
	d.put("</title>\n")
	d.label("mu", p.timeX, y, r.HLC.Time().Format("15:04:05.000"))
	d.label("a f"+strconv.Itoa(p.colour(r.authority)), p.authorityX, y, clip(r.authority, maxAuthority))
	d.label("mu", p.idX, y, p.short(r.ID))
	for i, l := range r.lines {
		d.put(`<text x="%d" y="%d">`, p.lineX, y+i*lineHeight)
		for _, part := range l {
			if part.class == "" {
				d.put("<tspan>")
			} else {
				d.put(`<tspan class="%s">`, part.class)
			}
			d.text(part.text)
			d.put("</tspan>")
		}
		d.put("</text>\n")
	}
	d.put("</g>\n")
}

// drawFoot explains the signs that are there.
func (p *picture) drawFoot(d *drawing) {
	x, y := margin, p.height-footHeight/2+6
	d.put(`<path class="ru" d="M%d %dH%d"/>`+"\n", margin, y-22, p.width-margin)
	c := p.colour(p.rows[0].authority)
	item := func(words string, sign func(x int)) {
		sign(x + 8)
		d.label("k", x+24, y+baseline, words)
		x += 24 + 13*len(words)/2 + 24
	}
	item("update", func(x int) { d.put(`<circle class="f%d" cx="%d" cy="%d" r="%d"/>`, c, x, y, radius) })
	reactions, rings, open := false, false, false
	for _, r := range p.rows {
		reactions = reactions || r.Hook != ""
		open = open || p.clashes.now[r.ID]
		rings = rings || (p.clashes.ever[r.ID] && !p.clashes.now[r.ID])
	}
	if reactions {
		item("by a reaction", func(x int) {
			d.put(`<rect class="f%d" x="%d" y="%d" width="%d" height="%[4]d" rx="2"/>`, c, x-radius, y-radius, 2*radius)
		})
	}
	if reactions {
		item("what it answers", func(x int) { d.put(`<path class="tr s%d ca" d="M%d %dH%d"/>`, c, x-9, y, x+9) })
	}
	if len(p.trunks) > 0 {
		item("depends on", func(x int) {
			d.put(`<path class="tr s%d" d="M%d %dH%d"/><path class="f%[1]d" d="M%[2]d %[3]dl%[5]d -4v8z"/>`, c, x-9, y, x+9, arrow)
		})
	}
	if open {
		item("in an open conflict", func(x int) { d.put(`<circle class="ro" cx="%d" cy="%d" r="%d"/>`, x, y, radius) })
	}
	if rings {
		item("was in a conflict", func(x int) { d.put(`<circle class="rs" cx="%d" cy="%d" r="%d"/>`, x, y, radius) })
	}
}
