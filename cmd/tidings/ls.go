package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
)

type lsCmd struct {
	clientFlags
	Prefix string `arg:"" optional:"" help:"Subjects to list: order is order and all below it, order/ only what is below."`

	Empty bool `help:"List subjects too whose status is empty."`
	Limit int  `placeholder:"N" help:"List at most N subjects; 0 lists all."`
}

const subjectsPage = 1_000

// Run lists subjects, page by page, in ascending order.
func (c *lsCmd) Run(s *session) error {
	caller, err := newCaller(&c.clientFlags)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usagef("--limit: want 0 or more, got %d", c.Limit)
	}
	out := bufio.NewWriter(s.out)
	l := &listing{out: out, json: s.json()}
	if err := c.pages(s, caller, l); err != nil {
		// What was listed is right; the exit status says that it is not all.
		return errors.Join(err, l.flush())
	}
	return l.end()
}

func (c *lsCmd) pages(s *session, caller *caller, l *listing) error {
	for page := ""; ; {
		want := subjectsPage
		if c.Limit > 0 {
			want = min(want, c.Limit-l.count)
		}
		q := url.Values{"limit": {strconv.Itoa(want)}}
		if c.Prefix != "" {
			q.Set("prefix", c.Prefix)
		}
		if c.Empty {
			q.Set("empty", "true")
		}
		if page != "" {
			q.Set("page", page)
		}
		var got struct {
			Subjects []json.RawMessage `json:"subjects"`
			NextPage *string           `json:"next_page"`
			Cursor   string            `json:"cursor"`
		}
		if _, err := caller.get(s.ctx, "/v1/subjects", q, &got); err != nil {
			return err
		}
		if page == "" {
			// The first page's cursor is before all that follows.
			l.cursor = got.Cursor
		}
		for _, view := range got.Subjects {
			if err := l.add(view); err != nil {
				return err
			}
		}
		if got.NextPage == nil || *got.NextPage == "" {
			return nil
		}
		page = *got.NextPage
		if c.Limit > 0 && l.count >= c.Limit {
			l.next = got.NextPage
			return nil
		}
	}
}

// listing prints views as they come: as rows, or as the items of one document
// of the shape that a node answers with.
type listing struct {
	out    *bufio.Writer
	json   bool
	rows   *table
	count  int
	cursor string
	next   *string
}

func (l *listing) add(view json.RawMessage) error {
	l.count++
	if l.json {
		separator := ","
		if l.count == 1 {
			separator = `{"subjects":[`
		}
		l.out.WriteString(separator)
		_, err := l.out.Write(view)
		return err
	}
	var v viewJSON
	if err := json.Unmarshal(view, &v); err != nil {
		return fmt.Errorf("answer is not what a node gives: %w", err)
	}
	if l.rows == nil {
		l.rows = newTable(l.out, "SUBJECT", "STATE", "TIME", "UPDATES", "STATUS")
	}
	l.rows.row(v.Subject, stateOf(v.Status), v.Time, strconv.FormatUint(v.Updates, 10), string(v.Status))
	return nil
}

func (l *listing) end() error {
	if l.json {
		if l.count == 0 {
			l.out.WriteString(`{"subjects":[`)
		}
		next, err := json.Marshal(l.next)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.out, `],"next_page":%s,"cursor":%s}`+"\n", next, quoteJSON(l.cursor))
	}
	return l.flush()
}

func (l *listing) flush() error {
	if l.rows != nil {
		if err := l.rows.flush(); err != nil {
			return err
		}
	}
	return l.out.Flush()
}
