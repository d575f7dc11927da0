package chain_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// The page docs/concepts.md, played. Whatever it draws or lists is compared.
func TestConceptsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/concepts.md")
	require.NoError(t, err)
	parties := map[byte]*party{'w': newParty(t, "w", "warehouse"), 'f': newParty(t, "f", "fleet"), 'p': newParty(t, "p", "payments")}
	names := map[chain.Origin]string{}
	for name, p := range parties {
		names[p.ledger.Origin()] = string(name)
	}
	short := func(id chain.ID) string { return names[id.Origin] + id.Seq.String() }

	runs := map[string]*chain.Run{}
	deps := map[string][]string{}
	const subject = "order/42"
	publish := func(name byte, now int64, delta string) {
		p := parties[name]
		r := p.publish(t, now, chain.Draft{Subject: subject, Delta: []byte(delta)})
		require.Equal(t, now, r.HLC.Millis())
		runs[short(r.ID)] = p.runs[len(p.runs)-1]
		for _, d := range r.Deps {
			deps[short(r.ID)] = append(deps[short(r.ID)], short(d))
		}
	}
	hear := func(name byte, updates ...string) {
		for _, u := range updates {
			out := parties[name].accept(t, runs[u], 2000)
			require.Equal(t, chain.Accepted, out.Verdict, u)
		}
	}
	publish('w', 1000, `{"state":"placed","items":2}`)
	hear('f', "w2")
	hear('p', "w2")
	publish('f', 1010, `{"carrier":"north"}`)
	hear('w', "f2")
	publish('f', 1020, `{"eta":"tue"}`)
	publish('w', 1030, `{"state":"picked"}`)
	publish('p', 1040, `{"state":"paid","paid":true}`)
	hear('p', "f2", "w3", "f3")
	publish('p', 1060, `{"state":"picked and paid"}`)

	// The drawing has exactly these arrows.
	drawn := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w\d) --> (\w\d)$`).FindAllStringSubmatch(string(page), -1) {
		drawn[m[1]] = append(drawn[m[1]], m[2])
	}
	for _, d := range []map[string][]string{drawn, deps} {
		for _, ids := range d {
			slices.Sort(ids)
		}
	}
	require.Equal(t, deps, drawn)

	// The table is what a node shows that hears of them in this order.
	reader := newParty(t, "reader", "reader")
	rows := regexp.MustCompile("(?m)^\\| (\\w\\d) \\| `([^`]+)` \\| ([^|]+) \\|([^|]*)\\|$").FindAllStringSubmatch(string(page), -1)
	require.Len(t, rows, len(runs))
	for _, row := range rows {
		reader.accept(t, runs[row[1]], 2000)
		state, err := reader.archive.View(context.Background(), subject)
		require.NoError(t, err)
		require.Equal(t, row[2], state.Status().String(), "status after %s", row[1])
		var view struct {
			Heads     []chain.ID
			Conflicts []struct {
				Path   string
				Writes []struct{ Update chain.ID }
			}
		}
		require.NoError(t, json.Unmarshal(state.AppendView(nil), &view))
		var heads []string
		for _, id := range view.Heads {
			heads = append(heads, short(id))
		}
		slices.Sort(heads)
		require.Equal(t, row[3], strings.Join(heads, ", "), "heads after %s", row[1])
		conflict := ""
		for _, c := range view.Conflicts {
			var writes []string
			for _, w := range c.Writes {
				writes = append(writes, short(w.Update))
			}
			conflict += c.Path + ": " + strings.Join(writes, ", ")
		}
		require.Equal(t, strings.TrimSpace(row[4]), conflict, "conflict after %s", row[1])
	}

	var history []string
	for u, err := range reader.archive.History(subject) {
		require.NoError(t, err)
		history = append(history, short(u.ID))
	}
	require.Contains(t, string(page), "The stitched history is `"+strings.Join(history, ", ")+"`")
}
