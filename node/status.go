package node

import (
	"bytes"
	"encoding/json"
)

// Status is the part of a status that every tool reads alike: docs/conventions.md.
// Embed it in the type of a whole status, or publish what Delta makes of it.
type Status struct {
	// State is what the subject is now, in one word, such as "picked" or "failed".
	State string `json:"state,omitempty"`
	// Reason is why, in one word for programs, such as "out_of_stock".
	Reason string `json:"reason,omitempty"`
	// Message is why, for people.
	Message string `json:"message,omitempty"`
	// URL is where to read more.
	URL string `json:"url,omitempty"`
}

// Delta is the delta that makes a status this one. What is empty is removed, so
// that no reason or message outlives the state that it was given for. With keys,
// it is that of the object which these lead to: Delta("payment") writes
// {"payment":{"state":…}}, and leaves the rest of that object as it is.
func (s Status) Delta(keys ...string) []byte {
	member := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	var delta any = map[string]any{
		"state": member(s.State), "reason": member(s.Reason), "message": member(s.Message), "url": member(s.URL),
	}
	for i := len(keys) - 1; i >= 0; i-- {
		delta = map[string]any{keys[i]: delta}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a delta keeps the escapes that it was sent with
	_ = e.Encode(delta)    // texts and nulls always encode
	return bytes.TrimSpace(b.Bytes())
}
