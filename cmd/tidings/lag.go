package main

import (
	"encoding/json"
	"strconv"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type lagCmd struct{ clientFlags }

// Run prints a node's frontier by origin: what it applied of each chain, and
// what it knows to exist.
func (c *lagCmd) Run(s *session) error {
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
		return s.printPart(a, "node", "converged", "root", "chains", "held")
	}
	t := s.newTable("ORIGIN", "AUTHORITY", "NODE", "APPLIED", "HEAD", "KNOWN", "LAG", "HELD", "AGE", "FROZEN")
	for i := range m.Chains {
		b := &m.Chains[i]
		lag := lagOf(b)
		t.row(b.Origin.String(), b.Authority, b.Node, b.Applied.String(), b.Head.String(), b.Known.String(),
			strconv.FormatUint(lag, 10), strconv.FormatUint(b.Held, 10), age(b.AgeMs), b.Frozen)
		t.paint(6, numberPaint(lag))
		t.paint(7, numberPaint(b.Held))
		t.paint(9, statusPaint(b.Frozen))
	}
	if err := t.flush(); err != nil || len(m.Held) == 0 {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	held := s.newTable("HELD", "REASON", "AGE", "WAITING FOR")
	for i := range m.Held {
		h := &m.Held[i]
		held.row(h.ID.String(), h.Reason, age(h.AgeMs), idsText(h.WaitingFor))
		held.paint(1, yellow)
	}
	return held.flush()
}

// lagOf is how many updates of a chain are known to exist and not applied.
func lagOf(c *reply.Chain) uint64 {
	if known := max(c.Known, c.Head); known > c.Applied {
		return uint64(known - c.Applied)
	}
	return 0
}

// printPart prints some keys of a node's answer, each as it came.
func (s *session) printPart(a *client.Answer, keys ...string) error {
	whole := map[string]json.RawMessage{}
	if err := a.Decode(&whole); err != nil {
		return err
	}
	part := map[string]json.RawMessage{}
	for _, key := range keys {
		if v, ok := whole[key]; ok {
			part[key] = v
		}
	}
	return s.printJSON(part)
}
