package main

import (
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

type whyCmd struct {
	clientFlags
	Subject string `arg:"" help:"What to explain the status of."`
}

// winnerJSON is a field of a status and the update that it is from.
type winnerJSON struct {
	Path      string      `json:"path"` // a JSON pointer
	Value     chain.Value `json:"value"`
	Authority string      `json:"authority"`
	Update    string      `json:"update"`
	Time      string      `json:"time"`
}

// Run prints, for each field of a subject's status, the update that it is
// from. It is folded here, from the subject's history.
func (c *whyCmd) Run(s *session) error {
	caller, err := newCaller(&c.clientFlags)
	if err != nil {
		return err
	}
	path, err := subjectPath("history", c.Subject)
	if err != nil {
		return err
	}
	var h historyJSON
	a, err := caller.get(s.ctx, path, nil, &h)
	if err != nil {
		return err
	}
	fields, err := winners(h.Updates)
	if err != nil {
		return fmt.Errorf("%s: answer is not what a node gives: %w", a.endpoint, err)
	}
	if !h.Complete {
		s.say("this history is not complete: fields from older updates are missing")
	}
	if s.json() {
		return s.printJSON(struct {
			Subject string       `json:"subject"`
			Fields  []winnerJSON `json:"fields"`
		}{h.Subject, fields})
	}
	t := newTable(s.out, "FIELD", "VALUE", "AUTHORITY", "TIME", "UPDATE")
	for i := range fields {
		f := &fields[i]
		t.row(f.Path, f.Value.String(), f.Authority, f.Time, f.Update)
	}
	return t.flush()
}

// winners tells for each leaf which update of a history won it.
func winners(history []updateJSON) ([]winnerJSON, error) {
	times := map[string]string{}
	won, err := chain.Winners(func(yield func(*chain.Update, string, error) bool) {
		for i := range history {
			j := &history[i]
			stamp, err := stampOf(j)
			u := &chain.Update{Kind: chain.KindStatus, ID: stamp.ID, HLC: stamp.HLC, Subject: j.Subject, Delta: j.Delta}
			times[j.ID] = j.Time
			if !yield(u, j.Authority, err) {
				return
			}
		}
	})
	fields := make([]winnerJSON, 0, len(won))
	for _, w := range won {
		id := w.ID.String()
		fields = append(fields, winnerJSON{w.Path, w.Value, w.Authority, id, times[id]})
	}
	return fields, err
}
