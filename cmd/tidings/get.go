package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

type getCmd struct {
	clientFlags
	Subject string `arg:"" help:"What to show the status of."`
}

// Run prints the view of a subject.
func (c *getCmd) Run(s *session) error {
	asks, err := newClient(&c.clientFlags)
	if err != nil {
		return err
	}
	path, err := subjectPath("subjects", c.Subject)
	if err != nil {
		return err
	}
	var v viewJSON
	a, err := get(s.ctx, asks, path, nil, &v)
	switch {
	case err != nil:
		return err
	case s.json():
		return s.printBody(a.Body)
	}
	return s.printView(&v)
}

func (s *session) printView(v *viewJSON) error {
	head := newTable(s.out)
	head.row("subject", v.Subject)
	head.row("status", string(v.Status))
	head.row("updates", strconv.FormatUint(v.Updates, 10))
	head.row("time", v.Time)
	head.row("heads", strings.Join(v.Heads, " "))
	if err := head.flush(); err != nil {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	authorities := newTable(s.out, "AUTHORITY", "TIME", "UPDATE", "STATUS")
	for _, name := range slices.Sorted(maps.Keys(v.Authorities)) {
		a := v.Authorities[name]
		authorities.row(name, a.Time, a.Update, string(a.Status))
	}
	if err := authorities.flush(); err != nil || len(v.Conflicts) == 0 {
		return err
	}
	if err := s.printLine(""); err != nil {
		return err
	}
	conflicts := newTable(s.out, "CONFLICT", "VALUE", "AUTHORITY", "TIME", "UPDATE")
	for _, conflict := range v.Conflicts {
		for _, w := range conflict.Writes {
			value := string(w.Value)
			if w.Deleted {
				value = "(deleted)"
			}
			conflicts.row(pointerText(conflict.Path), value, w.Authority, w.Time, w.Update)
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
