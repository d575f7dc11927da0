package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidings-mesh/tidings/node/client"
)

type lagCmd struct{ clientFlags }

// Run prints a node's frontier by origin: what it applied of each chain, and
// what it knows to exist.
func (c *lagCmd) Run(s *session) error {
	asks, err := newClient(&c.clientFlags)
	if err != nil {
		return err
	}
	var m meshJSON
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
		lag := b.lag()
		t.row(b.Origin, b.Authority, b.Node, strconv.FormatUint(b.Applied, 10), strconv.FormatUint(b.Head, 10),
			strconv.FormatUint(b.Known, 10), strconv.FormatUint(lag, 10), strconv.FormatUint(b.Held, 10), age(b.AgeMs), b.Frozen)
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
		held.row(h.ID, h.Reason, age(h.AgeMs), strings.Join(h.WaitingFor, " "))
		held.paint(1, yellow)
	}
	return held.flush()
}

// lag is how many updates of the chain are known to exist and not applied.
func (c *chainJSON) lag() uint64 {
	if known := max(c.Known, c.Head); known > c.Applied {
		return known - c.Applied
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
