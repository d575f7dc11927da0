package main

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidings-mesh/tidings/node/api/reply"
)

type getCmd struct {
	clientFlags
	Subject string `arg:"" help:"What to show the status of."`

	At     string `placeholder:"CURSOR" help:"Show it as it was at a cursor, from any node."`
	Expect bool   `help:"Show who is expected to speak of it, by the node's configuration, and has not."`
}

// Run prints the view of a subject.
func (c *getCmd) Run(s *session) error {
	path, err := subjectPath("subjects", c.Subject)
	if err != nil {
		return err
	}
	query := url.Values{}
	if c.At != "" {
		if c.Expect {
			return usagef("--expect is about now: it does not go with --at")
		}
		query.Set("at", c.At)
	}
	if c.Expect {
		query.Set("expect", "true")
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	var v reply.View
	a, err := get(s.ctx, asks, path, query, &v)
	switch {
	case err != nil:
		return err
	case s.json():
		return s.printBody(a.Body)
	}
	return s.printView(&v, c.Expect)
}

func (s *session) printView(v *reply.View, expect bool) error {
	head := s.newTable()
	head.row("subject", v.Subject)
	for _, m := range conventions(v.Status) {
		head.row(m.name, m.text)
	}
	head.row("status", string(v.Status))
	head.row("updates", strconv.FormatUint(v.Updates, 10))
	head.row("time", timeText(v.Time))
	head.row("heads", idsText(v.Heads))
	if expect {
		head.row("expected", strings.Join(v.Expected, ", "))
		head.row("missing", strings.Join(v.Missing, ", "))
		head.row("late", strings.Join(v.Late, ", "))
		head.paint(1, statusPaint(strings.Join(v.Late, ", ")))
	}
	if err := head.flush(); err != nil {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	authorities := s.newTable("AUTHORITY", "TIME", "UPDATE", "STATUS")
	for _, name := range slices.Sorted(maps.Keys(v.Authorities)) {
		a := v.Authorities[name]
		authorities.row(name, timeText(a.Time), a.Update.String(), string(a.Status))
	}
	if err := authorities.flush(); err != nil || len(v.Conflicts) == 0 {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	conflicts := s.newTable("CONFLICT", "VALUE", "AUTHORITY", "TIME", "UPDATE")
	for _, conflict := range v.Conflicts {
		for _, w := range conflict.Writes {
			value := string(w.Value)
			if w.Deleted {
				value = "(deleted)"
			}
			conflicts.row(pointerText(conflict.Path), value, w.Authority, timeText(w.Time), w.Update.String())
			conflicts.paint(0, red)
		}
	}
	return conflicts.flush()
}

// pointerText is a JSON pointer for people, to whom the pointer of the whole
// document, "", says nothing.
func pointerText(pointer string) string {
	if pointer == "" {
		return "(whole)"
	}
	return pointer
}
