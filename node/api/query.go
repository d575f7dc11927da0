package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// query is the parameters of a request, each of them known and well escaped.
type query []param

type param struct{ name, value string }

// parseQuery reads the parameters of a URL. Only those that are known may be
// there, and only "authority" more than once.
func parseQuery(raw string, known ...string) (query, error) {
	if raw == "" {
		return nil, nil
	}
	var q query
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		escaped, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil {
			return nil, badRequest("", "the query is not well escaped: "+err.Error())
		}
		if !slices.Contains(known, name) {
			return nil, badRequest(name, unknownParameter(name, known))
		}
		if value, err = url.QueryUnescape(value); err != nil || strings.Contains(pair, ";") {
			return nil, badRequest(name, "the value is not well escaped")
		}
		if _, twice := q.get(name); twice && name != "authority" {
			return nil, badRequest(name, "given more than once")
		}
		q = append(q, param{name, value})
	}
	return q, nil
}

func unknownParameter(name string, known []string) string {
	if len(known) == 0 {
		return fmt.Sprintf("unknown parameter %q; this takes none", clip(name))
	}
	return fmt.Sprintf("unknown parameter %q; this takes %s", clip(name), strings.Join(known, ", "))
}

// clip bounds what an answer repeats of its request.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (q query) get(name string) (string, bool) {
	for _, p := range q {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

func (q query) all(name string) []string {
	var values []string
	for _, p := range q {
		if p.name == name {
			values = append(values, p.value)
		}
	}
	return values
}

// number reads a decimal number from low to high.
func (q query) number(name string, otherwise, low, high uint64) (uint64, error) {
	text, ok := q.get(name)
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < low || n > high || (text[0] == '0' && text != "0") {
		return 0, badRequest(name, fmt.Sprintf("%q: want a whole number from %d to %d", clip(text), low, high))
	}
	return n, nil
}

func (q query) wait(otherwise time.Duration) (time.Duration, error) {
	text, ok := q.get("wait")
	if !ok {
		return otherwise, nil
	}
	return parseWait(text)
}

// parseWait reads a duration from 0 to maxWait.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, badRequest("wait", fmt.Sprintf("%q: want 0 to %s, such as 30s or 500ms", clip(text), maxWait))
	}
	return d, nil
}

func (q query) flag(name string) (bool, error) {
	switch text, _ := q.get(name); text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		if _, ok := q.get(name); !ok {
			return false, nil
		}
		return false, badRequest(name, fmt.Sprintf("%q: want true or false", clip(text)))
	}
}

// filter reads prefix and authority.
func (q query) filter() (chain.Filter, error) {
	prefix, _ := q.get("prefix")
	return newFilter(prefix, q.all("authority"))
}

func newFilter(prefix string, authorities []string) (chain.Filter, error) {
	if err := chain.CheckPrefix(prefix); err != nil {
		return chain.Filter{}, badRequest("prefix", err.Error())
	}
	if len(authorities) > maxNames {
		return chain.Filter{}, badRequest("authority", fmt.Sprintf("%d names, at most %d", len(authorities), maxNames))
	}
	for _, name := range authorities {
		if err := chain.CheckName(name); err != nil {
			return chain.Filter{}, badRequest("authority", err.Error())
		}
	}
	return chain.Filter{Prefix: chain.Prefix(prefix), Authorities: authorities}, nil
}

// atLeast is what a read is to contain.
type atLeast struct {
	param    string // that asks for it
	frontier chain.Frontier
	// place says that it is that of a cursor, which a freeze puts back. An update
	// that a freeze took back is contained nowhere any more.
	place bool
}

// atLeast reads at_least: a cursor, or IDs that commas separate. It is nil if
// there is none.
func (q query) atLeast() (*atLeast, error) {
	text, ok := q.get("at_least")
	if !ok {
		return nil, nil
	}
	return parseAtLeast(text)
}

func parseAtLeast(text string) (*atLeast, error) {
	if strings.HasPrefix(text, "c1.") {
		c, err := chain.ParseCursor(text)
		if err != nil {
			return nil, newProblem(CodeBadCursor, "at_least", err.Error())
		}
		return &atLeast{"at_least", c.Frontier, true}, nil
	}
	f := chain.Frontier{}
	for part := range strings.SplitSeq(text, ",") {
		id, err := chain.ParseID(part)
		if err != nil {
			return nil, badRequest("at_least", err.Error())
		}
		f[id.Origin] = max(f[id.Origin], id.Seq)
	}
	return &atLeast{"at_least", f, false}, nil
}
