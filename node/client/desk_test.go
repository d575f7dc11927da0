package client

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/api"
)

// desk is a ledger behind the real HTTP handler. It hears of others' runs when the
// test says so, and is a client's transport.
type desk struct {
	api.Backend // what no test asks for

	t      require.TestingT
	config chain.Config

	mu      sync.Mutex // protects what follows; archive is safe by itself
	store   chain.Store
	ledger  *chain.Ledger
	archive *chain.Archive
	handler *api.Handler
	now     int64 // milliseconds
	runs    []*chain.Run
	fault   func(w http.ResponseWriter, r *http.Request) bool // answers instead, if it reports true
	asked   []string
}

func newDesk(t require.TestingT, key, authority string) *desk {
	seed := sha256.Sum256([]byte(key))
	d := &desk{t: t, store: store.Memory(), now: 1000}
	d.config = chain.Config{Key: ed25519.NewKeyFromSeed(seed[:]), Node: authority, Authority: authority}
	var err error
	d.ledger, err = chain.NewLedger(d.store, d.config, 1)
	require.NoError(t, err)
	d.archive = chain.NewArchive(d.ledger)
	d.handler = api.New(api.Config{Backend: d})
	return d
}

func (d *desk) flush() {
	batch, effects, err := d.ledger.Flush(d.now)
	require.NoError(d.t, err)
	require.NoError(d.t, d.store.Commit(batch, true))
	d.archive.Publish(d.ledger, effects)
	d.runs = append(d.runs, effects.Own...)
}

// publish appends at a time, in milliseconds.
func (d *desk) publish(now int64, subject, delta string) chain.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := chain.Prepare(chain.Draft{Subject: subject, Delta: []byte(delta)})
	require.NoError(d.t, err)
	d.now = now
	r, err := d.ledger.Append(p, now)
	require.NoError(d.t, err)
	d.flush()
	return r.ID
}

// hear takes the runs of another desk from one on, and returns how many there are.
func (d *desk) hear(from *desk, first, limit int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, r := range from.runs[first:] {
		if i == limit {
			return first + limit
		}
		_, err := d.ledger.Accept(r, d.now)
		require.NoError(d.t, err)
		d.flush()
	}
	return len(from.runs)
}

func (d *desk) Info() api.Info { return api.Info{Node: d.config.Node, Authority: d.config.Authority} }

func (d *desk) Converged() bool                                  { return true }
func (d *desk) Heard([]string) time.Duration                     { return 0 }
func (d *desk) Authority(o chain.Origin) string                  { return d.archive.Authority(o) }
func (d *desk) Clamp(f chain.Frontier) chain.Frontier            { return d.archive.Clamp(f) }
func (d *desk) Now(f chain.Filter) chain.Cursor                  { return d.archive.Now(f) }
func (d *desk) History(s string) iter.Seq2[*chain.Update, error] { return d.archive.History(s) }

func (d *desk) SubjectVersion(s string) uint64      { return d.archive.SubjectVersion(s) }
func (d *desk) View(s string) (*chain.State, error) { return d.archive.View(context.Background(), s) }
func (d *desk) Watch(s string) api.Watch            { return d.archive.WatchSubject(s) }
func (d *desk) Version() uint64                     { return d.archive.Version() }
func (d *desk) Follow(since chain.Cursor, f chain.Filter) api.FeedWatch {
	return d.archive.WatchFeed(since, f)
}

func (d *desk) Applied(ctx context.Context, f chain.Frontier) error {
	if err := d.archive.Wait(ctx, f); err != nil {
		return fmt.Errorf("%w: %w", api.ErrBehind, err)
	}
	return nil
}

func (d *desk) Changes(since chain.Cursor, filter chain.Filter, limit int, visit func(*chain.Update)) (*api.Changes, error) {
	p, err := d.archive.EachOfFeed(since, filter, limit, nil, visit)
	if err != nil {
		return nil, err
	}
	return &api.Changes{Cursor: p.Cursor, UpToDate: p.UpToDate, Behind: p.Behind, Retracted: p.Retracted}, nil
}

// RoundTrip lets the desk answer without a network.
func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.asked = append(d.asked, r.URL.Path)
	fault := d.fault
	d.mu.Unlock()
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.RequestURI = r.URL.RequestURI()
	if fault == nil || !fault(w, r) {
		d.handler.ServeHTTP(w, r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// count is how often paths of a call were asked for.
func (d *desk) count(call string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, path := range d.asked {
		if len(path) >= len(call) && path[:len(call)] == call {
			n++
		}
	}
	return n
}

// view is the node's own view, nil if there is none.
func (d *desk) view(subject string) (raw []byte, tag string) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/subjects/"+url.PathEscape(subject), nil))
	if w.Code == http.StatusNotFound {
		return nil, ""
	}
	require.Equal(d.t, http.StatusOK, w.Code)
	return w.Body.Bytes(), w.Header().Get("ETag")
}

// desks is a transport to several desks, by host.
type desks map[string]*desk

func (d desks) RoundTrip(r *http.Request) (*http.Response, error) {
	if to := d[r.URL.Hostname()]; to != nil {
		return to.RoundTrip(r)
	}
	return nil, errors.New("connection refused")
}

// desksThatGo are desks that may be lost.
type desksThatGo struct {
	mu    sync.Mutex // protects desks
	desks desks
}

func (d *desksThatGo) lose(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.desks, name)
}

func (d *desksThatGo) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	some := desks{r.URL.Hostname(): d.desks[r.URL.Hostname()]}
	d.mu.Unlock()
	return some.RoundTrip(r)
}

// recorded keeps what a handler answers instead of sending it.
type recorded struct {
	http.ResponseWriter
	body []byte
}

func (r *recorded) WriteHeader(int) {}

func (r *recorded) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

// batch is the answer as a batch of the feed.
func (r *recorded) batch() (b Batch) {
	if json.Unmarshal(r.body, &b) != nil {
		return Batch{}
	}
	return b
}
