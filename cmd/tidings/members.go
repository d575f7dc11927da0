package main

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type membersCmd struct {
	clientFlags
	List   membersListCmd   `cmd:"" default:"1" help:"Show the members; list may be left out."`
	Forget membersForgetCmd `cmd:"" help:"Forget a member that left or failed, so that it counts no more."`
}

type membersListCmd struct{}

// Run prints the members of the mesh as one node sees them.
func (*membersListCmd) Run(s *session, c *membersCmd) error {
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	var m reply.Mesh
	a, err := get(s.ctx, asks, "/v1/mesh", nil, &m)
	switch {
	case err != nil:
		return err
	case s.json():
		return s.printPart(a, "node", "converged", "members")
	}
	t := s.newTable("NAME", "AUTHORITY", "STATUS", "ADDR", "HTTP", "ZONE", "RTT", "BEHIND", "ORIGIN")
	for i := range m.Members {
		b := &m.Members[i]
		rtt := ""
		if b.RTTMs > 0 {
			rtt = strconv.FormatFloat(b.RTTMs, 'f', 1, 64) + "ms"
		}
		t.row(b.Name, b.Authority, b.Status, b.Addr, b.HTTP, b.Zone, rtt, strconv.FormatUint(b.Behind, 10), b.Origin.String())
		t.paint(2, statusPaint(b.Status))
		t.paint(7, numberPaint(b.Behind))
	}
	return t.flush()
}

type membersForgetCmd struct {
	Name string `arg:"" help:"The member's name."`
}

// Run makes the mesh forget a member.
func (c *membersForgetCmd) Run(s *session, m *membersCmd) error {
	if c.Name == "" {
		return usagef("want a member's name, got an empty argument")
	}
	asks, err := m.client(s)
	if err != nil {
		return err
	}
	// Forgetting is the same however often it is asked for.
	if _, err := asks.Do(s.ctx, client.Request{Method: http.MethodDelete, Path: "/v1/mesh/members/" + url.PathEscape(c.Name)}); err != nil {
		return err
	}
	if s.json() {
		return s.printJSON(map[string]string{"forgotten": c.Name})
	}
	return s.printLine("forgot %s", plain(c.Name))
}
