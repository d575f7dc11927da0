package api

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidings-mesh/tidings/chain"
)

// submission is a draft as it was sent.
type submission struct {
	chain.Draft
	authority string // guard, "" for none
}

var draftFields = [...]string{"subject", "delta", "deps", "key", "authority", "cause", "hook"}

// What is said of a draft that is no object, by where it stands.
const (
	noBody = "want a JSON object, or an array of them"
	noItem = "want an array of JSON objects: this item is none"
	noLine = "want a JSON object a line: this line is none"
)

// parseDraft reads one draft; noObject is said where it is no object. The delta
// keeps pointing into raw.
func parseDraft(raw []byte, noObject string) (*submission, error) {
	if !utf8.Valid(raw) {
		return nil, badRequest("", "not UTF-8")
	}
	s := scanner{b: raw}
	if s.peek() != '{' {
		return nil, badRequest("", noObject)
	}
	d := &submission{}
	var seen [len(draftFields)]bool
	err := s.fields(func(name string, value []byte) error {
		i := fieldIndex(draftFields[:], name)
		switch {
		case i < 0:
			return badRequest(clip(name), "unknown field")
		case seen[i]:
			return badRequest(name, "given more than once")
		}
		seen[i] = true
		return d.set(name, value)
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, jsonProblem(err)
	}
	return d, d.check()
}

func fieldIndex(known []string, name string) int {
	for i := range known {
		if known[i] == name {
			return i
		}
	}
	return -1
}

// jsonProblem makes a failure of the scanner a bad request; others pass.
func jsonProblem(err error) error {
	if errors.Is(err, errJSON) {
		return badRequest("", err.Error())
	}
	return err
}

// set takes one field. Null is as good as nothing, but for subject and delta,
// whose absence check tells.
func (d *submission) set(name string, value []byte) (err error) {
	if string(value) == "null" {
		return nil
	}
	switch name {
	case "subject":
		if d.Subject, err = fieldText(name, value); err == nil && d.Subject == "" {
			err = newProblem(CodeBadSubject, name, "empty")
		}
	case "delta":
		if len(value) > chain.MaxDelta {
			return newProblem(CodeTooLarge, name, fmt.Sprintf("%d bytes, at most %d", len(value), chain.MaxDelta))
		}
		d.Delta = value
	case "deps":
		d.Deps, err = fieldIDs(name, value)
	case "key":
		if d.Key, err = fieldText(name, value); err == nil {
			err = checkKey(d.Key)
		}
	case "authority":
		if d.authority, err = fieldText(name, value); err == nil && d.authority == "" {
			err = badRequest(name, "empty")
		}
	case "cause":
		var text string
		if text, err = fieldText(name, value); err == nil {
			if d.Cause, err = chain.ParseID(text); err != nil {
				err = badRequest(name, err.Error())
			}
		}
	case "hook":
		if d.Hook, err = fieldText(name, value); err == nil && d.Hook == "" {
			err = badRequest(name, "empty")
		}
	}
	return err
}

// check looks at the fields together.
func (d *submission) check() error {
	switch {
	case d.Subject == "":
		return newProblem(CodeBadSubject, "subject", "missing")
	case d.Delta == nil:
		return newProblem(CodeBadDelta, "delta", "missing or null; a delta is a JSON object")
	case d.Hook != "" && d.Cause.IsZero():
		return badRequest("cause", "missing; hook and cause come together")
	case d.Hook == "" && !d.Cause.IsZero():
		return badRequest("hook", "missing; hook and cause come together")
	}
	if err := chain.CheckSubject(d.Subject); err != nil {
		return newProblem(CodeBadSubject, "subject", err.Error())
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > chain.MaxKey || !utf8.ValidString(key) {
		return badRequest("key", fmt.Sprintf("want 1 to %d bytes of UTF-8", chain.MaxKey))
	}
	return nil
}

func fieldText(name string, value []byte) (string, error) {
	if value[0] != '"' {
		return "", badRequest(name, "want a string")
	}
	text, err := unquote(value)
	if err != nil {
		return "", badRequest(name, err.Error())
	}
	return text, nil
}

func fieldIDs(name string, value []byte) ([]chain.ID, error) {
	if value[0] != '[' {
		return nil, badRequest(name, "want an array of update IDs")
	}
	var ids []chain.ID
	list := scanner{b: value}
	err := list.list(func(item []byte) error {
		if len(ids) == chain.MaxDeps {
			return newProblem(CodeTooLarge, name, fmt.Sprintf("more than %d", chain.MaxDeps))
		}
		text, err := fieldText(name, item)
		if err != nil {
			return err
		}
		id, err := chain.ParseID(text)
		if err != nil {
			return badRequest(name, err.Error())
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// names reports whether the draft names other updates.
func (d *submission) names() bool { return len(d.Deps) > 0 || !d.Cause.IsZero() }

// needs is what has to be applied here before the draft is published: what it
// names of other chains.
func (d *submission) needs(own chain.Origin) chain.Frontier {
	var f chain.Frontier
	need := func(id chain.ID) {
		if id.IsZero() || id.Origin == own {
			return
		}
		if f == nil {
			f = chain.Frontier{}
		}
		f[id.Origin] = max(f[id.Origin], id.Seq)
	}
	need(d.Cause)
	for _, id := range d.Deps {
		need(id)
	}
	return f
}
