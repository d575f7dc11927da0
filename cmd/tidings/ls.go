package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type lsCmd struct {
	clientFlags
	Prefix string `arg:"" optional:"" help:"Subjects to list: order is order and all below it, order/ only what is below."`

	Empty bool `help:"List subjects too whose status is empty."`
	Limit int  `placeholder:"N" help:"List at most N subjects; 0 lists all."`
}

// Run lists subjects, page by page, in ascending order.
func (c *lsCmd) Run(s *session) error {
	if c.Limit < 0 {
		return usagef("--limit: want 0 or more, got %d", c.Limit)
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(s.out)
	l := &listing{out: out, json: s.json(), color: s.color}
	if err := c.pages(s, asks, l); err != nil {
		// What was listed is right; the exit status says that it is not all.
		return errors.Join(err, l.flush())
	}
	return l.end()
}

func (c *lsCmd) pages(s *session, asks *client.Client, l *listing) error {
	options := []client.ListOption{client.Prefix(c.Prefix), client.AtMost(c.Limit)}
	if c.Empty {
		options = append(options, client.Ended())
	}
	for page, err := range asks.Subjects(s.ctx, options...) {
		if err != nil {
			return err
		}
		l.cursor, l.next = page.Cursor, page.NextPage
		for i := range page.Subjects {
			if err := l.add(&page.Subjects[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// listing prints views as they come: as rows, or as the items of one document
// of the shape that a node answers with.
type listing struct {
	out    *bufio.Writer
	json   bool
	color  bool
	rows   *table
	count  int
	cursor string
	next   string
}

func (l *listing) add(v *reply.View) error {
	l.count++
	if l.json {
		separator := ","
		if l.count == 1 {
			separator = `{"subjects":[`
		}
		l.out.WriteString(separator)
		_, err := l.out.Write(v.Raw)
		return err
	}
	if l.rows == nil {
		l.rows = newTable(l.out, l.color, "SUBJECT", "STATE", "TIME", "UPDATES", "STATUS")
	}
	l.rows.row(v.Subject, stateOf(v.Status), v.Time.Format(chain.TimeLayout), strconv.FormatUint(v.Updates, 10), string(v.Status))
	return nil
}

func (l *listing) end() error {
	if l.json {
		if l.count == 0 {
			l.out.WriteString(`{"subjects":[`)
		}
		next := []byte("null")
		if l.next != "" {
			next = quoteJSON(l.next)
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
