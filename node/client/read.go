package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
)

// What nodes answer.
type (
	Update      = reply.Update
	UpdateState = reply.UpdateState
	Batch       = reply.Batch
	History     = reply.History
	Page        = reply.Page
	Mesh        = reply.Mesh
	Receipt     = reply.Receipt
)

// View is what all updates of a subject add up to.
type View struct {
	reply.View
	// ETag names the set of updates, the same on every node. It is "" of a view
	// that was rolled up here and not compared with a node's yet.
	ETag string
	// Age is the time since the node that answered last heard from the least
	// recently heard of the subject's authorities. 0 of a view that was rolled up.
	Age time.Duration
}

// View asks for the view of a subject, ErrNotFound if nothing was ever said of it.
func (c *Client) View(ctx context.Context, subject string, options ...ViewOption) (*View, error) {
	o := viewOptions{}
	for _, option := range options {
		option.view(&o)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return c.view(ctx, subject, o)
}

// view asks for a view, unless it is still that of the tag: then it is nil.
func (c *Client) view(ctx context.Context, subject string, o viewOptions) (*View, error) {
	v := &View{}
	request := Request{Path: subjectPath("subjects", subject), Query: url.Values{}, Wait: o.wait}
	o.query(request.Query)
	if o.tag != "" {
		// A wait would be for another view, and this is a question of now.
		request.Header = http.Header{"If-None-Match": {`"` + o.tag + `"`}}
	}
	a, err := c.round(ctx, request, func(a *Answer) error {
		if a.Status == http.StatusNotModified {
			return nil
		}
		return a.Decode(&v.View)
	})
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusNotModified {
		return nil, nil
	}
	v.ETag = strings.Trim(strings.TrimPrefix(a.Header.Get("ETag"), "W/"), `"`)
	if ms, err := strconv.ParseInt(a.Header.Get("Tidings-Age-Ms"), 10, 64); err == nil {
		v.Age = time.Duration(ms) * time.Millisecond
	}
	return v, nil
}

// History asks for the updates of a subject in stitched order, which extends
// causal order and is the same on every node. ErrNotFound if there are none.
func (c *Client) History(ctx context.Context, subject string, options ...ReadOption) (*History, error) {
	r, err := readQuery(options)
	if err != nil {
		return nil, err
	}
	h, q := &History{}, url.Values{}
	r.query(q)
	if _, err := c.get(ctx, subjectPath("history", subject), q, r.wait, h); err != nil {
		return nil, err
	}
	return h, nil
}

func readQuery(options []ReadOption) (r readOptions, err error) {
	for _, o := range options {
		o.read(&r)
	}
	return r, r.check()
}

// Subjects yields the subjects that the options select, page by page in ascending
// order. Every page has the cursor that was taken before the first: Changes from
// there with the same filter misses nothing, which is how to begin without
// reading the whole feed, and how to go on after ErrGone. An error ends it, that
// of ctx too, for then not all were listed.
func (c *Client) Subjects(ctx context.Context, options ...ListOption) iter.Seq2[*Page, error] {
	l := listOptions{limit: maxPage}
	for _, o := range options {
		o.list(&l)
	}
	return func(yield func(*Page, error) bool) {
		err := l.readOptions.check()
		if err == nil {
			err = checkRange("Limit", l.limit, 1, maxPage)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		page, cursor, count := "", "", 0
		for {
			want := l.limit
			if l.atMost > 0 {
				want = min(want, l.atMost-count)
			}
			p := &Page{}
			if _, err := c.get(ctx, "/v1/subjects", l.query(page, want), l.wait, p); err != nil {
				yield(nil, err)
				return
			}
			if page == "" {
				cursor = p.Cursor
			}
			p.Cursor = cursor
			page, count = p.NextPage, count+len(p.Subjects)
			if !yield(p, nil) || page == "" || l.atMost > 0 && count >= l.atMost {
				return
			}
		}
	}
}

// Update asks for one update, received or applied; ErrNotFound if the node has
// neither.
func (c *Client) Update(ctx context.Context, id chain.ID) (*UpdateState, error) {
	u := &UpdateState{}
	if _, err := c.get(ctx, "/v1/updates/"+id.String(), nil, 0, u); err != nil {
		return nil, err
	}
	return u, nil
}

// Mesh asks for a node's picture of the mesh and of itself.
func (c *Client) Mesh(ctx context.Context) (*Mesh, error) {
	m := &Mesh{}
	if _, err := c.get(ctx, "/v1/mesh", nil, 0, m); err != nil {
		return nil, err
	}
	return m, nil
}
