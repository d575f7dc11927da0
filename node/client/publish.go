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
// goes to another endpoint only while nothing was sent: then it repeats itself at
// the same one, by the key, for as long as Config.Timeout. An error that is
// ErrInDoubt says that it may have happened; repeat it to the same endpoint with
// the same key.
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
// the next endpoint only while nothing was sent; after that it repeats at the same
// one, for as long as Config.Timeout. Keys belong to a node, so nothing else would
// keep it from happening twice.
func (c *Client) Deliver(ctx context.Context, r Request) (*Answer, error) {
	if c.err != nil {
		return nil, c.err
	}
	var lost []error
	for _, e := range c.pool.order() {
		a, sent, err := c.insist(ctx, e, r)
		if err == nil {
			c.answered(e)
			return a, a.Err()
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.failed(e, err, 0)
		lost = append(lost, err)
		if sent {
			return nil, &UnreachableError{Lost: lost, Sent: true}
		}
	}
	return nil, &UnreachableError{Lost: lost}
}

// insist repeats a request at one endpoint, once it was sent, until there is an
// answer that is not "later". sent tells whether something was, and its answer
// lost.
func (c *Client) insist(ctx context.Context, e *endpoint, r Request) (a *Answer, sent bool, err error) {
	end := time.Now().Add(forever)
	if c.cfg.Timeout > 0 {
		end = time.Now().Add(c.patience(r))
	}
	var lost error // of the last that was sent and not answered
	for pauses := newPause(againFirst, againLast); ; {
		got, reached, failed := c.try(ctx, e, r, max(time.Until(end), time.Millisecond))
		if err := ctx.Err(); err != nil {
			return nil, sent, err
		}
		pause := pauses.NextBackOff()
		switch {
		case failed == nil && !got.later():
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

// later reports whether a node asks to be asked again.
func (a *Answer) later() bool {
	p, ok := a.Err().(*Problem)
	return ok && p.Code.Later()
}
