package svg

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Measures, in pixels.
const (
	margin     = 24
	lineHeight = 17  // of text
	rowHeight  = 30  // of a row with one line
	dateHeight = 26  // of what stands above the first row of a day
	headHeight = 84  // above the names of the lanes
	footHeight = 52  // below the rows
	minWidth   = 720 // of all
	columnGap  = 16  // between texts
	gap        = 34  // between two columns without trunks
	trunkAt    = 17  // from a column to the first trunk beside it
	trunkGap   = 6   // between two trunks beside a column
	maxTrunks  = 6   // on one side of a column; those beyond lie over each other
	radius     = 6   // of an update
	slant      = 65  // hundredths of its length that a lane's slanted name is high
)

// picture is a history as it is to be drawn.
type picture struct {
	state    *chain.State // with all updates
	clashes  *clashes
	heads    map[chain.ID]bool
	contexts map[chain.ID]chain.Context // of all updates of the subject
	older    map[chain.Origin]bool      // that have updates before those that are drawn

	rows     []*row    // from the oldest, which is at the top
	columns  []*column // from left to right
	trunks   []*trunk
	byID     map[chain.ID]*row
	byOrigin map[chain.Origin]*column
	colours  map[string]int // of authorities
	prefix   int            // characters of an origin that tell it from the others

	graphTop, graphRight          int
	timeX, authorityX, idX, lineX int
	authorityCells, lineCells     int
	width, height                 int
}

// column is the place of one chain, in the lane of its authority.
type column struct {
	origin      chain.Origin
	authority   string
	index       int
	x           int
	earlier     bool   // it has updates before those that are drawn
	left, right []int  // for each place beside it, the last row that a trunk takes it for
	rows        []*row // its updates
}

// row is an update as it is drawn.
type row struct {
	entry
	index       int
	column      *column
	top, bottom int
	y           int    // of the update, and of the middle of its first line
	date        string // to stand above it, "" if it is that of the row before
	lines       []line
}

// trunk is what the arrows to one update share on one side of its column: it goes
// up beside the column to that update.
type trunk struct {
	to    *row
	from  []*row // ascending
	right bool
	place int
	x     int
}

// layOut places the updates that are drawn.
func (p *picture) layOut(drawn []entry) {
	p.heads = map[chain.ID]bool{}
	for _, id := range p.state.Heads() {
		p.heads[id] = true
	}
	p.place(drawn)
	p.tellApart()
	p.connect()
	p.setColumns()
	p.setRows()
}

// place makes the rows and columns: lanes in the order in which their
// authorities appear, and chains so within their lane.
func (p *picture) place(drawn []entry) {
	p.byID, p.colours = map[chain.ID]*row{}, map[string]int{}
	p.byOrigin = map[chain.Origin]*column{}
	for i, e := range drawn {
		col := p.byOrigin[e.ID.Origin]
		if col == nil {
			if _, ok := p.colours[e.authority]; !ok {
				p.colours[e.authority] = len(p.colours)
			}
			col = &column{origin: e.ID.Origin, authority: e.authority, earlier: p.older[e.ID.Origin]}
			p.byOrigin[col.origin] = col
			p.columns = append(p.columns, col)
		}
		r := &row{entry: e, index: i, column: col}
		col.rows = append(col.rows, r)
		p.rows = append(p.rows, r)
		p.byID[e.ID] = r
	}
	slices.SortStableFunc(p.columns, func(a, b *column) int { return cmp.Compare(p.colours[a.authority], p.colours[b.authority]) })
	for i, col := range p.columns {
		col.index = i
	}
}

// tellApart finds how many characters of an origin tell it from the others.
func (p *picture) tellApart() {
	texts := make([]string, 0, len(p.columns))
	for _, col := range p.columns {
		texts = append(texts, col.origin.String())
	}
	slices.Sort(texts)
	p.prefix = minPrefix
	for i := 1; i < len(texts); i++ {
		for p.prefix < len(texts[i]) && texts[i][:p.prefix] == texts[i-1][:p.prefix] {
			p.prefix++
		}
	}
}

const minPrefix = 5

// connect makes the trunks: what depends on one update from the same side shares
// one. Each gets a place beside the column that no other has in those rows.
func (p *picture) connect() {
	type side struct {
		to    *row
		right bool
	}
	of := map[side]*trunk{}
	for _, r := range p.rows {
		for _, id := range p.deps(r) {
			to := p.byID[id]
			if to == nil {
				continue
			}
			at := side{to, r.column.index > to.column.index}
			t := of[at]
			if t == nil {
				t = &trunk{to: to, right: at.right}
				of[at] = t
				p.trunks = append(p.trunks, t)
			}
			t.from = append(t.from, r)
		}
	}
	slices.SortFunc(p.trunks, func(a, b *trunk) int {
		return cmp.Or(cmp.Compare(a.to.index, b.to.index), cmp.Compare(a.last(), b.last()))
	})
	for _, t := range p.trunks {
		col := t.to.column
		if t.right {
			t.place, col.right = takePlace(col.right, t)
		} else {
			t.place, col.left = takePlace(col.left, t)
		}
	}
}

// last is the index of the lowest row that a trunk comes from.
func (t *trunk) last() int { return t.from[len(t.from)-1].index }

// takePlace takes the first place that is free above the trunk, a new one, or the
// one that is free next. places has for each the last row that it is taken for.
func takePlace(places []int, t *trunk) (int, []int) {
	at := slices.IndexFunc(places, func(last int) bool { return last < t.to.index })
	switch {
	case at < 0 && len(places) < maxTrunks:
		at = len(places)
		places = append(places, t.last())
	case at < 0:
		at = slices.Index(places, slices.Min(places))
	}
	places[at] = max(places[at], t.last())
	return at, places
}

// deps are the updates that one depends on, its cause included: on its own chain
// that is no dependency by itself.
func (p *picture) deps(r *row) []chain.ID {
	if r.Cause.IsZero() || slices.Contains(r.Deps, r.Cause) {
		return r.Deps
	}
	return append(slices.Clone(r.Deps), r.Cause)
}

// setColumns puts the columns as far from each other as the trunks need.
func (p *picture) setColumns() {
	x := margin + radius
	for i, col := range p.columns {
		if n := len(col.left); n > 0 {
			x += trunkAt + trunkGap*(n-1)
			if i == 0 {
				x -= radius
			}
		}
		col.x = x
		x += gap
		if n := len(col.right); n > 0 {
			x += trunkAt + trunkGap*(n-1) - gap/2
		}
	}
	p.graphRight = x
	for _, t := range p.trunks {
		off := trunkAt + trunkGap*t.place
		if !t.right {
			off = -off
		}
		t.x = t.to.column.x + off
	}
}

// setRows puts the rows below each other, each with its text.
func (p *picture) setRows() {
	for _, col := range p.columns {
		p.authorityCells = max(p.authorityCells, cells(clip(col.authority, maxAuthority)))
	}
	p.graphTop = headHeight + pixels(p.authorityCells)*slant/100
	y, date := p.graphTop+8, ""
	for _, r := range p.rows {
		if d := r.HLC.Time().Format(time.DateOnly); d != date {
			r.date, date = d, d
			y += dateHeight
		}
		r.lines = p.describe(r)
		for _, l := range r.lines {
			p.lineCells = max(p.lineCells, l.cells())
		}
		r.top, r.y = y, y+rowHeight/2
		y += rowHeight + lineHeight*(len(r.lines)-1)
		r.bottom = y
	}
	p.height = y + footHeight
	p.timeX = p.graphRight
	p.authorityX = p.timeX + pixels(len("15:04:05.000")) + columnGap
	p.idX = p.authorityX + pixels(p.authorityCells) + columnGap
	ids := 0
	for _, r := range p.rows {
		ids = max(ids, cells(p.short(r.ID)))
	}
	p.lineX = p.idX + pixels(ids) + columnGap
	p.width = max(minWidth, p.lineX+pixels(p.lineCells)+margin)
}
