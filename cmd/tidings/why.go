package main

import (
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/client"
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
	if c.Subject == "" {
		return usagef("want a subject, got an empty argument")
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	h, err := asks.History(s.ctx, c.Subject)
	if err != nil {
		return err
	}
	fields, err := winners(h.Updates)
	if err != nil {
		return fmt.Errorf("%w: %w", client.ErrNotANode, err)
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
	t := s.newTable("FIELD", "VALUE", "AUTHORITY", "TIME", "UPDATE")
	for i := range fields {
		f := &fields[i]
		t.row(f.Path, f.Value.String(), f.Authority, f.Time, f.Update)
	}
	return t.flush()
}

// winners tells for each leaf which update of a history won it.
func winners(history []client.Update) ([]winnerJSON, error) {
	won, err := chain.Winners(func(yield func(*chain.Update, string, error) bool) {
		for i := range history {
			u := &history[i]
			if !yield(&chain.Update{Kind: chain.KindStatus, ID: u.ID, HLC: u.HLC, Subject: u.Subject, Delta: u.Delta}, u.Authority, nil) {
				return
			}
		}
	})
	fields := make([]winnerJSON, 0, len(won))
	for _, w := range won {
		fields = append(fields, winnerJSON{w.Path, w.Value, w.Authority, w.ID.String(), w.HLC.Time().Format(chain.TimeLayout)})
	}
	return fields, err
}
