package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-mesh/tidings/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(conforming{m}) }

// fake is a node that keeps updates and states in memory. Its clock moves by a
// millisecond with each update, so that what it answers is the same each time.
type fake struct {
	mu        sync.Mutex
	info      Info
	names     map[chain.Origin]string
	heads     map[chain.Origin]chain.Update
	updates   []*chain.Update // in stitched order
	states    map[string]*chain.State
	held      map[chain.ID]UpdateState
	keys      map[string]chain.Draft
	receipts  map[string]chain.Receipt
	clock     chain.HLC
	changed   chan struct{}
	enqueued  int // drafts
	room      int // drafts that the outbox takes yet, below 0 for any number
	enqueue   error
	result    error
	feed      error
	gate      chan struct{} // nothing is committed before it is closed, if there is one
	acks      int
	diverged  bool
	readiness Readiness
	retracted []chain.Retraction
	ended     *chain.Freeze
	cover     *chain.Cover
	attend    func(*chain.State) (Attendance, error) // nil: nobody is expected
	pages     int                                    // updates that one call of Changes looks at, 0 for all
	version   uint64
	groups    map[string]uint64
	scans     int // calls of Changes
	reads     int // calls of View

	watched, stopped atomic.Int64 // watches
}

var (
	ownKey    = ed25519.NewKeyFromSeed([]byte("warehouse warehouse warehouse 32"))
	fleetKey  = ed25519.NewKeyFromSeed([]byte("fleet fleet fleet fleet fleet 32"))
	ownOrigin = chain.OriginOf(ownKey.Public().(ed25519.PublicKey))
	fleet     = chain.OriginOf(fleetKey.Public().(ed25519.PublicKey))
	nobody    = chain.Origin{0xff, 1}
)

func newFake() *fake {
	f := &fake{
		info:  Info{Node: "wh-1", Authority: "warehouse", Origin: ownOrigin, Version: "test", Durable: true},
		names: map[chain.Origin]string{ownOrigin: "warehouse", fleet: "fleet"},
		heads: map[chain.Origin]chain.Update{}, states: map[string]*chain.State{},
		held: map[chain.ID]UpdateState{}, keys: map[string]chain.Draft{}, receipts: map[string]chain.Receipt{},
		clock:   chain.HLCOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli()),
		changed: make(chan struct{}), groups: map[string]uint64{}, room: -1, acks: 1,
		readiness: Readiness{Ready: true, Have: 7, Want: 7},
	}
	return f
}

// put applies an update of a chain, as if it had come from there.
func (f *fake) put(o chain.Origin, subject, delta string, deps ...chain.ID) chain.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.apply(o, chain.Draft{Subject: subject, Delta: []byte(delta), Deps: deps}).ID
}

func (f *fake) apply(o chain.Origin, d chain.Draft) *chain.Update {
	last, ok := f.heads[o]
	if !ok {
		key := ownKey
		if o == fleet {
			key = fleetKey
		}
		g := chain.Genesis{Key: key.Public().(ed25519.PublicKey), Node: "node of " + f.names[o], Authority: f.names[o]}
		last = chain.Update{ID: chain.ID{Origin: o, Seq: 1}, Kind: chain.KindGenesis, HLC: f.clock, Delta: g.AppendBody(nil)}
		last.Hash = sha256.Sum256(last.Delta)
		genesis := last
		f.updates = append(f.updates, &genesis)
	}
	f.clock, _ = f.clock.Next(f.clock.Millis() + 1)
	deps := slices.DeleteFunc(slices.Clone(d.Deps), func(id chain.ID) bool { return id.Origin == o })
	u := &chain.Update{
		ID: chain.ID{Origin: o, Seq: last.ID.Seq + 1}, Kind: chain.KindStatus, HLC: f.clock, Deps: deps,
		Subject: d.Subject, Delta: d.Delta, Cause: d.Cause, Hook: d.Hook, Prev: last.Hash,
	}
	u.Hash = chain.HashUpdate(u.Prev, []byte(u.ID.String()), u.Delta)
	f.heads[o] = *u
	f.updates = append(f.updates, u)
	state := f.states[u.Subject]
	if state == nil {
		state = chain.NewState(u.Subject)
		f.states[u.Subject] = state
	}
	ctx, _, err := state.Context(u, func(chain.ID) (chain.Context, bool, error) { return nil, false, nil })
	if err == nil {
		_, err = state.Add(u, f.names[o], ctx)
	}
	if err != nil {
		panic(err)
	}
	f.version++
	close(f.changed)
	f.changed = make(chan struct{})
	return u
}

func (f *fake) applied() chain.Frontier {
	out := chain.Frontier{}
	for o, u := range f.heads {
		out[o] = u.ID.Seq
	}
	return out
}

func (f *fake) Info() Info { return f.info }

func (f *fake) Converged() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.diverged
}

type fakePending struct {
	done    chan struct{}
	receipt chain.Receipt
	err     error
}

func (p *fakePending) Done() <-chan struct{}          { return p.done }
func (p *fakePending) Result() (chain.Receipt, error) { return p.receipt, p.err }

func (f *fake) Enqueue(ctx context.Context, drafts []chain.Draft) ([]Pending, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.enqueue != nil {
		return nil, f.enqueue
	}
	var out []Pending
	for _, d := range drafts {
		if f.room == 0 {
			f.mu.Unlock()
			<-ctx.Done()
			f.mu.Lock()
			return out, ctx.Err()
		}
		f.room--
		f.enqueued++
		p := &fakePending{done: make(chan struct{})}
		out = append(out, p)
		if gate := f.gate; gate != nil {
			go func() {
				<-gate
				f.mu.Lock()
				defer f.mu.Unlock()
				f.commit(p, d)
			}()
			continue
		}
		f.commit(p, d)
	}
	return out, nil
}

func (f *fake) commit(p *fakePending, d chain.Draft) {
	defer close(p.done)
	if p.err = f.result; p.err != nil {
		return
	}
	if _, p.err = chain.Prepare(d); p.err != nil {
		return
	}
	if before, ok := f.keys[d.Key]; ok && d.Key != "" {
		if before.Subject != d.Subject || string(before.Delta) != string(d.Delta) {
			p.err = &chain.DraftError{Field: "key", Err: chain.ErrKeyReused}
			return
		}
		p.receipt = f.receipts[d.Key]
		p.receipt.Repeated = true
		return
	}
	compact, _ := chain.CompactDelta(d.Delta)
	value, _ := chain.ParseValue(compact)
	p.receipt.Subject = d.Subject
	if state := f.states[d.Subject]; state != nil && state.Unchanged(f.info.Authority, value) || state == nil && value.IsEmpty() {
		p.receipt.Unchanged = true
		if state != nil {
			at, _ := state.Newest(f.info.Authority)
			p.receipt.ID, p.receipt.HLC = at.ID, at.HLC
		}
		return
	}
	d.Delta = compact
	u := f.apply(ownOrigin, d)
	p.receipt = chain.Receipt{ID: u.ID, Subject: u.Subject, HLC: u.HLC, Deps: u.Deps}
	f.keys[d.Key], f.receipts[d.Key] = d, p.receipt
}

func (f *fake) Acks(ctx context.Context, _ chain.ID, n int) int {
	if f.acks < n {
		<-ctx.Done()
	}
	return f.acks
}

// Clamp knows the freezes that are announced.
func (f *fake) Clamp(of chain.Frontier) chain.Frontier {
	out := of.Clone()
	for _, r := range f.retracted {
		if out[r.Origin] > r.After {
			out[r.Origin] = r.After
		}
	}
	return out
}

func (f *fake) Applied(ctx context.Context, want chain.Frontier) error {
	for {
		f.mu.Lock()
		ok, changed := f.applied().Covers(want), f.changed
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBehind, ctx.Err())
		}
	}
}

func (f *fake) Update(id chain.ID) (*chain.Update, UpdateState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state, ok := f.held[id]; ok {
		return &chain.Update{ID: id, Kind: chain.KindStatus, HLC: f.clock, Subject: "order/9", Delta: []byte(`{}`)}, state, nil
	}
	for _, u := range f.updates {
		if u.ID == id {
			return u, UpdateState{Applied: true, Authority: f.names[id.Origin]}, nil
		}
	}
	return nil, UpdateState{}, ErrNotFound
}

func (f *fake) View(subject string) (*chain.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if state := f.states[subject]; state != nil {
		return state.Clone(), nil
	}
	return nil, fmt.Errorf("%w: %w", ErrNotFound, chain.ErrNotFound)
}

// fakeWatch is rung by everything.
type fakeWatch struct {
	fake    *fake
	changed chan struct{}
	group   uint64
	since   chain.Cursor
}

func (w *fakeWatch) Wait(ctx context.Context) error {
	select {
	case <-w.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *fakeWatch) Stop()                { w.fake.stopped.Add(1) }
func (w *fakeWatch) Group() uint64        { return w.group }
func (w *fakeWatch) Cursor() chain.Cursor { return w.since }

func (f *fake) SubjectVersion(string) uint64 { return f.Version() }

func (f *fake) Watch(string) Watch { return f.Follow(chain.Cursor{}, chain.Filter{}) }

// Follow groups those that are at one place at one time.
func (f *fake) Follow(since chain.Cursor, filter chain.Filter) FeedWatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprint(f.version, since.String(), filter)
	if f.groups[key] == 0 {
		f.groups[key] = uint64(len(f.groups) + 1)
	}
	f.watched.Add(1)
	return &fakeWatch{f, f.changed, f.groups[key], since}
}

func (f *fake) Version() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version
}

func (f *fake) ViewAt(_ context.Context, subject string, at chain.Frontier) (*chain.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at = f.Clamp(at)
	s, err := chain.Rebuild(subject, nil, func(yield func(*chain.Update, string, error) bool) {
		for _, u := range f.updates {
			if u.Subject == subject && at.Has(u.ID) && !yield(u, f.names[u.ID.Origin], nil) {
				return
			}
		}
	}, nil, nil)
	if err == nil && s.Updates() == 0 {
		err = fmt.Errorf("at a cut: %w", chain.ErrNotFound)
	}
	return s, err
}

func (f *fake) Attendance(s *chain.State) (Attendance, error) {
	if f.attend == nil {
		return Attendance{}, nil
	}
	return f.attend(s)
}

func (f *fake) Subjects(p chain.Prefix, from string) iter.Seq2[*chain.State, error] {
	f.mu.Lock()
	var states []*chain.State
	for _, subject := range slices.Sorted(maps.Keys(f.states)) {
		if p.Contains(subject) && subject >= from {
			states = append(states, f.states[subject].Clone())
		}
	}
	f.mu.Unlock()
	return func(yield func(*chain.State, error) bool) {
		for _, s := range states {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (f *fake) History(subject string) iter.Seq2[*chain.Update, error] {
	f.mu.Lock()
	updates := slices.Clone(f.updates)
	f.mu.Unlock()
	return func(yield func(*chain.Update, error) bool) {
		for _, u := range updates {
			if u.Subject == "broken" && string(u.Delta) == `{"bad":true}` {
				yield(nil, chain.ErrCorrupt)
				return
			}
			if u.Subject == subject && !yield(u, nil) {
				return
			}
		}
	}
}

func (f *fake) Chain(o chain.Origin, from chain.Seq, limit int) (*ChainPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	head, ok := f.heads[o]
	if !ok {
		return nil, ErrNotFound
	}
	page := &ChainPage{Origin: o, Authority: f.names[o], Node: "wh-1", PublicKey: []byte{1, 2, 3}, Head: head.ID.Seq, Frozen: f.ended, Cover: f.cover}
	for _, u := range f.updates {
		if u.ID.Origin == o && u.ID.Seq >= from && len(page.Updates) < limit {
			page.Updates = append(page.Updates, chain.ChainUpdate{Update: *u, Header: []byte(u.ID.String())})
			if u.ID.Seq%2 == 0 {
				page.Seals = append(page.Seals, chain.Seal{Seq: u.ID.Seq})
			}
		}
	}
	return page, nil
}

func (f *fake) Authority(o chain.Origin) string { return f.names[o] }

func (f *fake) Changes(since chain.Cursor, filter chain.Filter, limit int, visit func(*chain.Update)) (*Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scans++
	if f.feed != nil {
		return nil, f.feed
	}
	c := &Changes{Cursor: chain.Cursor{Frontier: since.Frontier.Clone(), Filter: since.Filter}, UpToDate: true, Retracted: f.retracted}
	if c.Cursor.Frontier == nil {
		c.Cursor.Frontier = chain.Frontier{}
	}
	applied, looked := f.applied(), 0
	for o, seq := range since.Frontier {
		if seq > applied[o] {
			c.Behind = append(c.Behind, o)
		}
	}
	n := 0
	for _, u := range f.updates {
		if since.Frontier.Has(u.ID) {
			continue
		}
		if looked++; n == limit || (f.pages > 0 && looked > f.pages) {
			c.UpToDate = false
			break
		}
		if u.Kind == chain.KindStatus && filter.Admits(u.Subject, f.names[u.ID.Origin]) {
			n++
			visit(u)
		}
		c.Cursor.Frontier[u.ID.Origin] = u.ID.Seq
	}
	return c, nil
}

func (f *fake) Now(filter chain.Filter) chain.Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return chain.Cursor{Frontier: f.applied(), Filter: filter.Hash()}
}

func (f *fake) Mesh() *Mesh {
	return &Mesh{
		Node: "wh-1", Authority: "warehouse", Origin: ownOrigin, Version: "test", Converged: true,
		Members: []Member{{Name: "wh-1", Authority: "warehouse", Origin: ownOrigin, Status: "alive", Zone: "<b>"}},
		Held:    []Held{{ID: chain.ID{Origin: fleet, Seq: 3}, Reason: "clock"}},
		Store:   StoreStats{Bytes: 10, Updates: 2, Subjects: 1},
	}
}

func (f *fake) Readiness() Readiness {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readiness
}

func (f *fake) Heard(names []string) time.Duration {
	return time.Duration(len(names)) * 1500 * time.Microsecond
}

func (f *fake) Forget(_ context.Context, name string) error {
	switch name {
	case "gone":
		return nil
	case "alive":
		return ErrAlive
	}
	return ErrNotFound
}

// answer is what came of a request.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the code of the answer's problem, and its field.
func (a answer) problem(t *testing.T) *Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("Content-Type %q of status %d, want a problem; body %s", got, a.status, a.body)
	}
	p := decode[Problem](t, a.body)
	if p.Status != a.status {
		t.Errorf("problem's status %d in an answer with status %d", p.Status, a.status)
	}
	return &p
}

// call makes a request without a socket. Headers are "Name: value".
func call(h http.Handler, method, target, body string, headers ...string) answer {
	return callContext(context.Background(), h, method, target, body, headers...)
}

func callContext(ctx context.Context, h http.Handler, method, target, body string, headers ...string) answer {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(ctx, method, target, reader)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	observed(h).ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body %s", a.status, status, a.body)
	}
}

func wantBody(t *testing.T, a answer, status int, body string) {
	t.Helper()
	wantStatus(t, a, status)
	if a.body != body {
		t.Fatalf("body\n%s\nwant\n%s", a.body, body)
	}
}

// newHandler returns a handler that is closed with the test.
func newHandler(t testing.TB, f *fake) *Handler {
	h := New(Config{Backend: f})
	t.Cleanup(h.Close)
	return h
}

var errPlanted = errors.New("planted failure with a secret")
