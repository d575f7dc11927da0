package svg

import (
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// maker makes a history of one subject, in stitched order.
type maker struct {
	subject   string
	at        chain.HLC
	seqs      map[chain.Origin]chain.Seq
	authority map[chain.Origin]string
	entries   []entry
}

func newMaker(subject string) *maker {
	return &maker{
		subject: subject, at: chain.HLCOf(time.Date(2026, 1, 2, 23, 59, 59, 0, time.UTC).UnixMilli()),
		seqs: map[chain.Origin]chain.Seq{}, authority: map[chain.Origin]string{},
	}
}

// origin is a chain by its node's name.
func (m *maker) origin(node, authority string) chain.Origin {
	sum := sha256.Sum256([]byte(node))
	o := chain.Origin(sum[:16])
	if m.seqs[o] == 0 {
		m.seqs[o] = 1 // its genesis
	}
	m.authority[o] = authority
	return o
}

// write makes the next update, some milliseconds later.
func (m *maker) write(o chain.Origin, later int64, delta string, deps ...chain.ID) *chain.Update {
	m.at, _ = m.at.Next(m.at.Millis() + later)
	m.seqs[o]++
	u := &chain.Update{ID: chain.ID{Origin: o, Seq: m.seqs[o]}, Kind: chain.KindStatus, HLC: m.at, Deps: deps, Subject: m.subject, Delta: []byte(delta)}
	u.Hash = sha256.Sum256([]byte(u.ID.String()))
	m.entries = append(m.entries, entry{u, m.authority[o]})
	return u
}

func (m *maker) history(t require.TestingT) *History {
	h := New(m.subject)
	for _, e := range m.entries {
		require.NoError(t, h.Add(e.Update, e.authority))
	}
	return h
}

func (m *maker) draw(t require.TestingT) string {
	b, err := m.history(t).Append(nil)
	require.NoError(t, err)
	return string(b)
}

// drawn is what a reader of the XML finds.
type drawn struct {
	counts map[string]int // elements, by name or by "name.class"
	text   string         // of all elements, a line for each
}

// read parses a picture and holds it to what all pictures are held to: it is sound
// XML of elements and attributes that only show something.
func read(t require.TestingT, picture string) drawn {
	elements := strings.Fields("svg title desc style rect g path text tspan circle")
	attributes := strings.Fields("xmlns width height viewBox role aria-labelledby aria-describedby aria-hidden id class x y rx d cx cy r transform")
	out := drawn{counts: map[string]int{}}
	require.LessOrEqual(t, len(picture), 2<<20)
	d := xml.NewDecoder(strings.NewReader(picture))
	var text strings.Builder
	inStyle := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch x := token.(type) {
		case xml.StartElement:
			inStyle = x.Name.Local == "style"
			require.Contains(t, elements, x.Name.Local)
			out.counts[x.Name.Local]++
			for _, a := range x.Attr {
				require.Contains(t, attributes, a.Name.Local)
				require.True(t, a.Name.Local == "xmlns" || !strings.ContainsAny(a.Value, ":&<"), "attribute %s=%q", a.Name.Local, a.Value)
				if a.Name.Local == "class" {
					for class := range strings.FieldsSeq(a.Value) {
						out.counts[x.Name.Local+"."+class]++
					}
				}
			}
		case xml.CharData:
			if !inStyle {
				text.Write(x)
			}
		case xml.EndElement:
			inStyle = false
			if x.Name.Local != "tspan" {
				text.WriteByte('\n')
			}
		default:
			require.Fail(t, "a comment or an instruction")
		}
	}
	out.text = text.String()
	return out
}

// checkLayout holds a picture to what can be read off it: nothing lies over
// anything else, and each dependency has its arrow.
func checkLayout(t require.TestingT, p *picture) {
	for i, r := range p.rows {
		require.Less(t, r.top, r.bottom)
		if i > 0 {
			require.GreaterOrEqual(t, r.top, p.rows[i-1].bottom)
		}
		for _, l := range r.lines {
			require.LessOrEqual(t, p.lineX+pixels(l.cells()), p.width-margin)
		}
	}
	require.LessOrEqual(t, p.rows[len(p.rows)-1].bottom, p.height-footHeight)
	var seen []string
	for i, col := range p.columns {
		if i > 0 {
			require.GreaterOrEqual(t, col.x, p.columns[i-1].x+gap)
		}
		if n := len(seen); n == 0 || seen[n-1] != col.authority {
			require.NotContains(t, seen, col.authority, "a lane is in one piece")
			seen = append(seen, col.authority)
		}
	}
	var first []string
	arrows := 0
	for _, r := range p.rows {
		if !slices.Contains(first, r.authority) {
			first = append(first, r.authority)
		}
		for _, id := range p.deps(r) {
			to := p.byID[id]
			if to == nil {
				continue
			}
			arrows++
			require.True(t, slices.ContainsFunc(p.trunks, func(k *trunk) bool { return k.to == to && slices.Contains(k.from, r) }))
		}
	}
	require.Equal(t, first, seen, "lanes stand in the order in which their authorities appear")
	for i, k := range p.trunks {
		arrows -= len(k.from)
		for _, col := range p.columns {
			require.Greater(t, max(col.x-k.x, k.x-col.x), radius+arrow, "a trunk goes between columns")
		}
		require.Less(t, k.x, p.graphRight)
		require.Positive(t, k.x)
		for _, other := range p.trunks[:i] {
			if k.x == other.x && k.place < maxTrunks-1 {
				require.True(t, other.last() < k.to.index || len(k.to.column.left) == maxTrunks || len(k.to.column.right) == maxTrunks,
					"two trunks lie over each other")
			}
		}
	}
	require.Zero(t, arrows)
}
