package virtual

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The consumer's checks find what they are meant to.
func TestConsumerFindsFaults(t *testing.T) {
	for _, c := range []struct {
		name, updates string // ID, or ID<dep
		fault         string
	}{
		{"in order", "a.2 a.3 b.2<a.3", ""},
		{"skipped", "a.2 a.4", "a.4 came where seq 3 was next"},
		{"repeated", "a.2 a.2", "a.2 came where seq 3 was next"},
		{"went back", "a.2 a.3 a.2", "a.2 came where seq 4 was next"},
		{"genesis shown", "a.1", "a.1 came where seq 2 was next"},
		{"before its dependency", "b.2<a.3 a.2", "b.2 came before a.3"},
	} {
		consumer := newConsumer()
		for i, word := range strings.Fields(c.updates) {
			id, dep, _ := strings.Cut(word, "<")
			u := update{ID: id, Delta: json.RawMessage(`{"n":` + strconv.Itoa(i) + `}`)}
			if dep != "" {
				u.Deps = []string{dep}
			}
			consumer.take(u)
		}
		if c.fault == "" {
			require.Empty(t, consumer.faults, c.name)
		} else {
			require.Contains(t, consumer.faults, c.fault, c.name)
		}
	}
}

// So do the books'.
func TestBooksFindFaults(t *testing.T) {
	u := func(id, subject, delta string) update {
		return update{ID: id, Subject: subject, Delta: json.RawMessage(delta)}
	}
	one, two := u("a.2", "s", `{"n":1}`), u("a.3", "s", `{"n":2}`)
	for _, c := range []struct {
		name  string
		got   []update
		fault string
	}{
		{"all", []update{one, two}, ""},
		{"one that was not acknowledged", []update{one, two, u("b.2", "t", `{"n":3}`)}, ""},
		{"lost", []update{one}, "a.3 was acknowledged and is not there"},
		{"other content", []update{one, u("a.3", "s", `{"n":3}`)}, `a.3 is s {"n":3}, and was published as s {"n":2}`},
		{"other subject", []update{one, u("a.3", "t", `{"n":2}`)}, `a.3 is t {"n":2}, and was published as s {"n":2}`},
		{"made up", []update{one, two, u("b.2", "s", `{"n":4}`)}, `b.2 was never published: {"n":4}`},
		{"twice", []update{one, two, u("b.2", "s", `{"n":1}`)}, `{"n":1} is there twice`},
	} {
		b := newBooks()
		for _, delta := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`} {
			b.tried[delta] = true
		}
		b.acked["a.2"], b.acked["a.3"] = one, two
		got := map[string]update{}
		for _, u := range c.got {
			got[u.ID] = u
		}
		if c.fault == "" {
			require.Empty(t, b.faults(got), c.name)
		} else {
			require.Equal(t, []string{c.fault}, b.faults(got), c.name)
		}
	}
}
