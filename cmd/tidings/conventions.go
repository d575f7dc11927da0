package main

import "encoding/json"

// member is a member of a status as people read it.
type member struct{ name, text string }

// conventions are the members of a status that docs/conventions.md gives a
// meaning, those that are there.
func conventions(status json.RawMessage) []member {
	var values map[string]json.RawMessage
	if json.Unmarshal(status, &values) != nil {
		return nil // an answer of another shape is shown as it is
	}
	var out []member
	for _, name := range []string{"state", "reason", "message", "url"} {
		if value, ok := values[name]; ok {
			out = append(out, member{name, textOf(value)})
		}
	}
	return out
}

// stateOf is a status in a word, "" for one that says none.
func stateOf(status json.RawMessage) string {
	if string(status) == "{}" {
		return "(ended)"
	}
	for _, m := range conventions(status) {
		if m.name == "state" {
			return m.text
		}
	}
	return ""
}

// textOf is a JSON text without its quotes, and any other value as it is.
func textOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return string(value)
	}
	return text
}
