package api

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidings-mesh/tidings/chain"
)

// changesQuery is what is asked of the feed.
type changesQuery struct {
	since   string
	filter  chain.Filter
	limit   int
	wait    time.Duration
	atLeast *atLeast
}

// changes answers GET /v1/changes.
func (h *Handler) changes(x *exchange) error {
	q, err := parseQuery(x.r.URL.RawQuery, "since", "wait", "limit", "prefix", "authority", "at_least")
	if err != nil {
		return err
	}
	c := changesQuery{since: sinceStart}
	if text, ok := q.get("since"); ok {
		c.since = text
	}
	limit, err := q.number("limit", defaultChanges, 1, maxChanges)
	if err != nil {
		return err
	}
	c.limit = int(limit)
	if c.wait, err = q.wait(0); err != nil {
		return err
	}
	if c.filter, err = q.filter(); err != nil {
		return err
	}
	if c.atLeast, err = q.atLeast(); err != nil {
		return err
	}
	return h.feed(x, &c)
}

const (
	defaultChanges = 1_000
	maxChanges     = 10_000
)

// changesByPost answers POST /v1/changes: the same, for cursors that are too
// long for a URL.
func (h *Handler) changesByPost(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	if _, err := contentType(x.r, typeJSON); err != nil {
		return err
	}
	body, err := x.readBody(nil, func(byte) int { return maxQueryBody })
	if err != nil {
		return err
	}
	c, err := parseChangesBody(body)
	if err != nil {
		return err
	}
	return h.feed(x, c)
}

var changesFields = [...]string{"since", "wait", "limit", "prefix", "authority", "at_least"}

func parseChangesBody(body []byte) (*changesQuery, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("", "not UTF-8")
	}
	c := &changesQuery{since: sinceStart, limit: defaultChanges}
	s := scanner{b: body}
	var (
		seen   [len(changesFields)]bool
		prefix string
		names  []string
	)
	err := s.fields(func(name string, value []byte) (err error) {
		i := fieldIndex(changesFields[:], name)
		switch {
		case i < 0:
			return badRequest(clip(name), "unknown field")
		case seen[i]:
			return badRequest(name, "given more than once")
		}
		seen[i] = true
		if string(value) == "null" {
			return nil
		}
		switch name {
		case "prefix":
			prefix, err = fieldText(name, value)
		case "authority":
			names, err = fieldTexts(name, value)
		default:
			err = c.set(name, value)
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, jsonProblem(err)
	}
	c.filter, err = newFilter(prefix, names)
	return c, err
}

func (c *changesQuery) set(name string, value []byte) error {
	if name == "limit" {
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 1 || n > maxChanges {
			return badRequest(name, fmt.Sprintf("want a whole number from 1 to %d", maxChanges))
		}
		c.limit = n
		return nil
	}
	if name == "wait" && string(value) == "0" {
		return nil
	}
	text, err := fieldText(name, value)
	if err != nil {
		return err
	}
	switch name {
	case "since":
		c.since = text
	case "wait":
		c.wait, err = parseWait(text)
	case "at_least":
		c.atLeast, err = parseAtLeast(text)
	}
	return err
}

// fieldTexts reads one string, or an array of strings.
func fieldTexts(name string, value []byte) ([]string, error) {
	if value[0] != '[' {
		text, err := fieldText(name, value)
		return []string{text}, err
	}
	var texts []string
	s := scanner{b: value}
	err := s.list(func(item []byte) error {
		if len(texts) == maxNames {
			return badRequest(name, fmt.Sprintf("more than %d", maxNames))
		}
		text, err := fieldText(name, item)
		texts = append(texts, text)
		return err
	})
	return texts, err
}

// feed answers a query of the feed, in whichever way is asked for.
func (h *Handler) feed(x *exchange, c *changesQuery) error {
	x.w.Header()["Vary"] = acceptHeader
	media, err := negotiate(x.r, typeJSON, typeEvents)
	if err != nil {
		return err
	}
	if media == typeEvents {
		return h.events(x, c)
	}
	f, err := h.follow(c, "since")
	if err != nil {
		return err
	}
	w, err := x.wait(c.wait)
	if err != nil {
		return err
	}
	defer w.end()
	if c.atLeast != nil {
		if err := h.applied(w, c.atLeast); err != nil {
			return err
		}
	}
	var b *batch
	if c.since == sinceNow {
		b = f.now()
	} else if b, err = f.next(w); err != nil {
		return err
	}
	if !b.found {
		if err := w.over(); err != nil {
			return err
		}
	}
	w.end()
	text, _ := b.text(h)
	x.json(text)
	return nil
}

// Places in the feed that are no cursors.
const (
	sinceStart = "start"
	sinceNow   = "now"
)
