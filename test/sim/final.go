package sim

import (
	"context"

	"github.com/tidings-mesh/tidings/chain"
)

func (m *machine) root() chain.Hash {
	if m.proc == nil {
		return chain.Hash{}
	}
	return m.proc.archive.Summary().Root
}

// finish lets the consumers come to the end, and looks at every node.
func (w *world) finish() {
	for _, c := range w.load.consumers {
		for range 200 {
			if c.poll(w.rand.load.IntN(len(w.machines))) {
				break
			}
		}
	}
	for _, m := range w.machines {
		if m.proc != nil {
			w.history.Finals = append(w.history.Finals, m.proc.final())
			w.gathers += m.proc.engine.Stats().Gathers
		}
	}
}

// final is what a node says of everything.
func (p *process) final() Final {
	f := Final{
		Node: p.m.index, Origin: p.origin, Frontier: p.archive.Frontier().Clone(), Root: p.archive.Summary().Root,
		Frozen: map[chain.Origin]chain.Seq{}, Views: map[string]string{}, Histories: map[string][]Update{},
	}
	for _, z := range p.archive.Freezes() {
		f.Frozen[z.Origin] = z.After
	}
	for _, c := range p.chains() {
		_, updates, _, err := p.archive.Page(c.Received.Origin, 1, int(c.Applied.Seq))
		p.must(err)
		for i := range updates {
			if updates[i].ID.Seq <= c.Applied.Seq {
				f.Log = append(f.Log, updateOf(&updates[i].Update))
			}
		}
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for s, err := range p.archive.Subjects(over, "", "") {
		p.must(err)
		f.Views[s.Subject()] = string(s.AppendView(nil))
		for u, err := range p.archive.History(s.Subject()) {
			p.must(err)
			f.Histories[s.Subject()] = append(f.Histories[s.Subject()], updateOf(u))
		}
	}
	p.distort(&f)
	return f
}
