package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidings-mesh/tidings/chain"
)

// Draft is an update to be published.
type Draft struct {
	Subject string
	Delta   json.RawMessage // a JSON object, which goes out as it is written
	// Deps are updates that it builds on, at most 64. The node adds the newest that
	// it has of the subject by itself.
	Deps []chain.ID
	// Key makes a repetition safe: the same key at the same node publishes once.
	// Empty makes a fresh one.
	Key string
	// Authority, if given, has to be the node's.
	Authority string
	// Ack waits until the update is durable on so many nodes, up to 64. 0 waits for
	// the node's own commit alone.
	Ack int
	// Wait bounds the time for Ack and for Deps to be applied there. 0 is the
	// node's 5 s.
	Wait time.Duration
}

// Publish publishes a draft through one node, under the authority of that node. It
// goes to another endpoint only while nothing was sent, or where the node refused it
// because it shuts down: otherwise it repeats itself at the same one, by the key, for
// as long as Config.Timeout. An error that is ErrInDoubt says that it may have
// happened; repeat it to that endpoint alone with the same key.
func (c *Client) Publish(ctx context.Context, d Draft) (*Receipt, error) {
	if d.Key == "" {
		d.Key = rand.Text()
	}
	body, err := d.body()
	if err != nil {
		return nil, fmt.Errorf("%w: draft: %w", ErrConfig, err)
	}
	q := url.Values{}
	if d.Ack != 0 {
		q.Set("ack", strconv.Itoa(d.Ack))
	}
	if d.Wait > 0 {
		q.Set("wait", d.Wait.String())
	}
	a, err := c.Deliver(ctx, Request{
		Method: http.MethodPost, Path: "/v1/updates", Query: q, Wait: d.Wait,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body,
	})
	if err != nil {
		return nil, err
	}
	r := &Receipt{}
	if err := a.Decode(r); err != nil {
		return nil, err
	}
	r.Status = a.Status
	return r, nil
}

// body writes the draft. encoding/json would rewrite the delta, and what is not
// UTF-8: into another subject, or another key.
func (d *Draft) body() ([]byte, error) {
	if !json.Valid(d.Delta) {
		return nil, errors.New("delta is not JSON")
	}
	for name, text := range map[string]string{"subject": d.Subject, "key": d.Key, "authority": d.Authority} {
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("%s %q is not UTF-8", name, text)
		}
	}
	b := []byte{'{'}
	for _, f := range []struct {
		name string
		ok   bool
		v    any
	}{
		{"subject", true, d.Subject},
		{"key", true, d.Key},
		{"deps", len(d.Deps) > 0, d.Deps},
		{"authority", d.Authority != "", d.Authority},
	} {
		if !f.ok {
			continue
		}
		value, err := json.Marshal(f.v)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, `%q:%s,`, f.name, value)
	}
	return fmt.Appendf(b, `"delta":%s}`, d.Delta), nil
}

const (
	// A request that was sent is repeated after the first to the last of these,
	// doubling, give or take a half.
	againFirst = 50 * time.Millisecond
	againLast  = time.Second
	// forever is as long as anybody waits.
	forever = 365 * 24 * time.Hour
)

// Deliver sends something that must happen once, and that carries a key by which
// a node tells a repetition: Publish for requests of another form. It goes on to
// the next endpoint only while nothing was sent, or once a node has refused it
// because it shuts down; otherwise it repeats at the same one, for as long as
// Config.Timeout. Keys belong to a node, so nothing else would keep it from happening
// twice. Where a node shuts down and no other takes it, all are asked again for as
// long: one may come back.
func (c *Client) Deliver(ctx context.Context, r Request) (*Answer, error) {
	if c.err != nil {
		return nil, c.err
	}
	var leaving *Answer // the last refusal of a node that shuts down
	var end time.Time   // of asking again because of that
	for pauses := newPause(againFirst, againLast); ; {
		a, err := c.offer(ctx, r, leaving, end)
		if err != nil {
			return nil, err
		}
		if !a.leaves() {
			return a, a.Err()
		}
		isNew := leaving == nil
		if isNew {
			end = c.until(r)
		}
		leaving = a
		pause := max(pauses.NextBackOff(), a.retryAfter())
		if time.Until(end) <= pause {
			return a, a.Err()
		}
		c.tell(Event{Kind: PublishDeferred, Endpoint: a.Endpoint, Err: a.Err(), Retry: pause}, isNew)
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// offer asks each endpoint once, until one does not leave it to another: for it shuts
// down, or is of another authority than the draft names. Nobody took anything where the
// answer is that a node leaves: the last that did, or the one of the round before, which
// bounds this one.
func (c *Client) offer(ctx context.Context, r Request, before *Answer, end time.Time) (*Answer, error) {
	var lost []error
	var wrong *Answer // of a node of another authority than the draft names: the one that is meant may be another endpoint
	leaving := before
	for _, e := range c.pool.order() {
		until := end
		if before == nil {
			until = c.until(r)
		} else if time.Until(end) <= 0 {
			break
		}
		a, sent, err := c.insist(ctx, e, r, until)
		switch {
		case err == nil && a.leaves():
			c.failed(e, a.Err(), a.retryAfter())
			leaving = a
			continue
		case err == nil && errors.Is(a.Err(), ErrWrongAuthority):
			wrong = a
			continue
		case err == nil:
			c.answered(e)
			return a, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		c.failed(e, err, 0)
		lost = append(lost, err)
		if sent {
			return nil, &UnreachableError{Lost: lost, Sent: true}
		}
	}
	switch {
	case leaving != nil:
		return leaving, nil
	case wrong != nil:
		return wrong, nil
	}
	return nil, &UnreachableError{Lost: lost}
}

// until is when a request is given up that may be repeated.
func (c *Client) until(r Request) time.Time {
	if c.cfg.Timeout <= 0 {
		return time.Now().Add(forever)
	}
	return time.Now().Add(c.patience(r))
}

// insist repeats a request at one endpoint, once it was sent, until there is an
// answer that is not "later", or that leaves it to another node. sent tells whether
// something was, and its answer lost.
func (c *Client) insist(ctx context.Context, e *endpoint, r Request, end time.Time) (a *Answer, sent bool, err error) {
	var lost error // of the last that was sent and not answered
	for pauses := newPause(againFirst, againLast); ; {
		got, reached, failed := c.try(ctx, e, r, max(time.Until(end), time.Millisecond))
		if err := ctx.Err(); err != nil {
			return nil, sent, err
		}
		pause := pauses.NextBackOff()
		switch {
		case failed == nil && (!got.later() || got.leaves() && !sent):
			return got, false, nil
		case failed == nil:
			pause = max(pause, got.retryAfter())
			c.tell(Event{Kind: PublishDeferred, Endpoint: e.url, Err: got.Err(), Retry: pause}, a == nil)
			a = got
		case reached:
			a, sent, lost = nil, true, failed
		case a == nil && !sent:
			return nil, false, failed
		}
		// A refusal to connect leaves the answer before it standing.
		if time.Until(end) > pause {
			if err := sleep(ctx, pause); err != nil {
				return nil, sent, err
			}
			continue
		}
		if sent {
			if a != nil {
				// "Later" now says nothing of what became of it before.
				lost = fmt.Errorf("%w; then %w", lost, a.Err())
			}
			return nil, true, lost
		}
		return a, false, nil
	}
}

// leaves reports whether a node refuses because it shuts down: it took nothing.
func (a *Answer) leaves() bool { return errors.Is(a.Err(), ErrClosing) }

// later reports whether a node asks to be asked again.
func (a *Answer) later() bool {
	p, ok := a.Err().(*Problem)
	return ok && p.Code.Later()
}
