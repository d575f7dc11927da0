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
