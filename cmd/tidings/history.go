package main

import (
	"net/http"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type historyCmd struct {
	clientFlags
	Subject string `arg:"" help:"What to show the updates of."`
}

// Help is the long text of the command.
func (c *historyCmd) Help() string {
	return "With -o svg the node draws it: a lane for each authority and an arrow for each dependency."
}

// Run prints the stitched history of a subject.
func (c *historyCmd) Run(s *session) error {
	path, err := subjectPath("history", c.Subject)
	if err != nil {
		return err
	}
	accept := "application/json"
	if s.output == "svg" {
		accept = "image/svg+xml"
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	a, err := asks.Do(s.ctx, client.Request{Path: path, Header: http.Header{"Accept": {accept}}})
	switch {
	case err != nil:
		return err
	case s.output != "text":
		return s.printBody(a.Body)
	}
	var h reply.History
	if err := a.Decode(&h); err != nil {
		return err
	}
	t := s.newTable("TIME", "AUTHORITY", "UPDATE", "DELTA", "DEPS")
	for i := range h.Updates {
		u := &h.Updates[i]
		t.row(timeText(u.Time), u.Authority, u.ID.String(), string(u.Delta), idsText(u.Deps))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if !h.Complete {
		s.say("this history is not complete: older updates are folded into it")
	}
	return nil
}
