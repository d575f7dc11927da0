package gossip_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// memLedger is a ledger of contiguous chains with real signatures, whose writer
// loop is a lock.
type memLedger struct {
	key    ed25519.PrivateKey
	origin chain.Origin

	mu     sync.Mutex // protects what follows
	chains map[chain.Origin]*memChain
	root   chain.Root
	dups   int
	full   chan struct{} // Accept waits for it, if not nil
	busy   chan struct{} // Await waits for it, if not nil
	slow   time.Duration // Accept takes so long, and replies after it
	x      *gossip.Exchange
}

type memChain struct {
	key  ed25519.PublicKey
	head chain.Head
	runs []memRun
}

type memRun struct {
	first, last chain.Seq
	encoded     []byte
}

// acks is how many peers have acknowledged the own chain up to a seq.
func acks(x *gossip.Exchange, seq chain.Seq) int {
	n := 0
	for _, m := range x.Members() {
		if m.Acked >= seq {
			n++
		}
	}
	return n
}

func newMemLedger(n int) *memLedger {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(n + 1)}, ed25519.SeedSize))
	l := &memLedger{key: key, chains: map[chain.Origin]*memChain{}}
	l.origin = chain.OriginOf(l.public())
	return l
}

func (l *memLedger) public() ed25519.PublicKey { return l.key.Public().(ed25519.PublicKey) }

func (l *memLedger) Heads() (heads []chain.Head) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.chains {
		heads = append(heads, c.head)
	}
	slices.SortFunc(heads, func(a, b chain.Head) int { return a.Origin.Compare(b.Origin) })
	return heads
}

// Applied is all of it: nothing here depends on anything.
func (l *memLedger) Applied() []chain.Head { return l.Heads() }

// It freezes nothing: the network of ledgers in forknet_test.go does.
func (l *memLedger) Frozen() []chain.ID                    { return nil }
func (l *memLedger) Evidence(chain.Origin) ([]byte, error) { return nil, nil }
func (l *memLedger) SyncSoon()                             {}
func (l *memLedger) AcceptFreeze(_ chain.Origin, _ *chain.Freeze, reply func([]chain.Outcome, error)) {
	reply([]chain.Outcome{{Verdict: chain.Refused}}, nil)
}

func (l *memLedger) SyncRoot() chain.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.root.Hash()
}

func (l *memLedger) Key(o chain.Origin) (ed25519.PublicKey, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.chains[o]; c != nil {
		return c.key, true
	}
	return nil, false
}

func (l *memLedger) Serve(o chain.Origin, from chain.Seq, size int) (out [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.chains[o]
	if c == nil {
		return nil, nil
	}
	total := 0
	for _, r := range c.runs {
		if r.last < from {
			continue
		}
		if total += len(r.encoded); total > size && len(out) > 0 {
			break
		}
		out = append(out, r.encoded)
	}
	return out, nil
}

func (l *memLedger) Await(chain.Origin) {
	if l.busy != nil {
		<-l.busy
	}
}

func (l *memLedger) Accept(_ chain.Origin, runs []*chain.Run, _ bool, reply func([]chain.Outcome, error)) {
	l.mu.Lock()
	full := l.full
	l.mu.Unlock()
	if full != nil {
		<-full
	}
	time.Sleep(l.slow)
	l.mu.Lock()
	defer l.mu.Unlock()
	var outcomes []chain.Outcome
	var heads []chain.Head
	for _, r := range runs {
		c := l.chains[r.Origin]
		head := chain.Head{Origin: r.Origin}
		if c != nil {
			head = c.head
		}
		o := chain.Outcome{Verdict: chain.Accepted}
		switch {
		case r.First > head.Seq+1:
			o.Verdict = chain.Gap
		case r.Last() <= head.Seq:
			o.Verdict, o.Duplicates = chain.Duplicate, len(r.Entries)
			l.dups += len(r.Entries)
		default:
			l.add(r)
			heads = append(heads, r.Head())
		}
		outcomes = append(outcomes, o)
	}
	if l.x != nil {
		l.x.Committed(heads, l.root.Hash())
		l.x.Durable(heads)
	}
	reply(outcomes, nil)
}

func (l *memLedger) add(r *chain.Run) {
	c := l.chains[r.Origin]
	if c == nil {
		g, err := chain.DecodeGenesis(r.Entries[0].Body)
		if err != nil {
			panic(err)
		}
		c = &memChain{key: g.Key, head: chain.Head{Origin: r.Origin}}
		l.chains[r.Origin] = c
	}
	l.root.Replace(c.head, r.Head())
	c.head = r.Head()
	c.runs = append(c.runs, memRun{r.First, r.Last(), r.Append(nil)})
}

// sign makes the next run of the own chain.
func (l *memLedger) sign(updates int) *chain.Run {
	r := &chain.Run{Origin: l.origin, First: 1}
	if c := l.chains[l.origin]; c != nil {
		r.First, r.Prev = c.head.Seq+1, c.head.Hash
	} else {
		g := chain.Genesis{Key: l.public(), Node: "n", Authority: "a"}
		r.Entries = append(r.Entries, chain.Entry{Header: []byte{0x90}, Body: g.AppendBody(nil)})
	}
	for i := range updates {
		r.Entries = append(r.Entries, chain.Entry{Header: []byte{0x90}, Body: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	prev := r.Prev
	for i := range r.Entries {
		prev = chain.HashUpdate(prev, r.Entries[i].Header, r.Entries[i].Body)
		r.Entries[i].Hash = prev
	}
	r.Signature = chain.Sign(l.key, r.Head())
	return r
}

func (l *memLedger) publish(updates int, ackWanted bool) chain.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.sign(updates)
	l.add(r)
	l.x.Local([]*chain.Run{r}, ackWanted)
	l.x.Committed([]chain.Head{r.Head()}, l.root.Hash())
	return r.Last()
}

func (l *memLedger) has(o chain.Origin) chain.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.chains[o]; c != nil {
		return c.head.Seq
	}
	return 0
}

// start opens a node with this ledger on a transport.
func (l *memLedger) start(t testing.TB, transport gossip.Transport) *gossip.Exchange {
	t.Helper()
	x := gossip.NewExchange(gossip.Config{Self: l.origin, Epoch: 1, Durable: true, Transport: transport}, l)
	l.mu.Lock()
	l.x = x
	l.mu.Unlock()
	if err := x.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

func (l *memLedger) onHub(t testing.TB, hub *gossip.Hub) *gossip.Exchange {
	return l.start(t, hub.Transport(l.public(), gossip.Tags{Name: l.origin.String(), Authority: "a"}))
}

// A bubble ends only when every goroutine in it has, so these tests find leaks.
func TestExchangeOnAHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 6
		hub := gossip.NewHub()
		var nodes []*memLedger
		for i := range count - 1 {
			l := newMemLedger(i)
			l.onHub(t, hub)
			nodes = append(nodes, l)
		}
		time.Sleep(time.Second)
		for range 50 {
			for _, l := range nodes {
				l.publish(3, true)
			}
			time.Sleep(10 * time.Millisecond)
		}
		late := newMemLedger(count - 1)
		late.onHub(t, hub)
		nodes = append(nodes, late)
		time.Sleep(4 * time.Second)
		for i, at := range nodes {
			for _, of := range nodes[:count-1] {
				if got := at.has(of.origin); got != 151 {
					t.Errorf("node %d has %d of 151 updates of a chain", i, got)
				}
			}
			if at.SyncRoot() != nodes[0].SyncRoot() {
				t.Errorf("node %d has another root", i)
			}
			if !at.x.Converged(0, 0) || at.x.Converged(1, 0) || at.x.Converged(0, 2*count) {
				t.Errorf("node %d: converged is wrong", i)
			}
			if c := at.x.Clock(); c.Count != count || c.Offset != 0 {
				t.Errorf("node %d: clock %+v", i, c)
			}
			if at != late && at.dups != 0 {
				t.Errorf("node %d received %d updates twice", i, at.dups)
			}
			members := at.x.Members()
			if len(members) != count {
				t.Errorf("node %d knows %d members", i, len(members))
			}
			for _, m := range members {
				if m.Root != at.SyncRoot() || m.Behind != 0 || m.Heard > 2*time.Second || m.Connected == m.Self {
					t.Errorf("node %d: member %+v", i, m)
				}
			}
		}
		if got := acks(nodes[0].x, 151); got != count-1 {
			t.Errorf("%d acknowledged, want %d", got, count-1)
		}
		if own := nodes[0].x.OwnHeads(); len(own) != count-1 || !own[0].Answered() && own[0].Head.Seq > 0 {
			t.Errorf("own heads %+v", own)
		}
		// One that leaves is known to have left, and may be forgotten.
		name := nodes[1].origin.String()
		if err := nodes[0].x.Forget(name); !errors.Is(err, gossip.ErrMemberAlive) {
			t.Errorf("forget a live member: %v", err)
		}
		if err := errors.Join(nodes[1].x.Close(), nodes[1].x.Close()); err != nil {
			t.Error(err)
		}
		if err := nodes[0].x.Forget(name); err != nil {
			t.Error(err)
		}
		if got := len(nodes[0].x.Members()); got != count-1 {
			t.Errorf("%d members after one was forgotten", got)
		}
		for _, l := range nodes {
			l.x.Close()
		}
		nodes[0].x.Local(nil, false) // after Close: nothing happens
	})
}

// A ledger that takes nothing holds up its own node only.
func TestBackPressureIsThePeersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := gossip.NewHub()
		var nodes []*memLedger
		for i := range 4 {
			nodes = append(nodes, newMemLedger(i))
		}
		stuck := nodes[3]
		stuck.full = make(chan struct{})
		for _, l := range nodes {
			l.onHub(t, hub)
		}
		time.Sleep(time.Second)
		for range 300 {
			nodes[0].publish(100, false)
		}
		time.Sleep(time.Second)
		for _, l := range nodes[1:3] {
			if got := l.has(nodes[0].origin); got != 30001 {
				t.Errorf("another node has %d of 30001", got)
			}
		}
		if got := stuck.has(nodes[0].origin); got != 0 {
			t.Errorf("the stuck node has %d", got)
		}
		close(stuck.full)
		time.Sleep(10 * time.Second)
		if got := stuck.has(nodes[0].origin); got != 30001 {
			t.Errorf("the node that was stuck has %d of 30001", got)
		}
		for _, l := range nodes {
			l.x.Close()
		}
	})
}

// What a stream brings while the ledger has not come to what it brought before is
// verified once for all, under the last signature. What brings no runs waits only for
// those before it.
func TestWhatWaitsIsVerifiedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemLedger(0)
		l.busy = make(chan struct{})
		s := &scripted{peer: newMemLedger(7)}
		x := l.start(t, scriptedTransport{s})
		s.in <- gossip.AppendFrame(nil, &gossip.Hello{Version: gossip.Version, Epoch: 1})
		for range 40 {
			r := s.peer.sign(1)
			s.peer.add(r)
			s.in <- gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: r.Append(nil)}}})
		}
		synctest.Wait()
		if got := l.has(s.peer.origin); got != 0 {
			t.Errorf("%d updates accepted before the ledger was ready for them", got)
		}
		close(l.busy)
		synctest.Wait()
		l.mu.Lock()
		if c := l.chains[s.peer.origin]; c == nil || c.head.Seq != 41 || len(c.runs) != 1 {
			t.Errorf("chain %+v, want 41 updates in one run", c)
		}
		l.mu.Unlock()
		x.Close()
	})
}

// A stranger's turn lasts until the ledger has taken in what it brought, and the
// rest after it is as long in proportion.
func TestStrangersTurnsLastUntilTheLedgerReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemLedger(0)
		l.slow = time.Millisecond
		s := &scripted{peer: newMemLedger(7)}
		x := l.start(t, scriptedTransport{s})
		s.in <- gossip.AppendFrame(nil, &gossip.Hello{Version: gossip.Version, Epoch: 1})
		began := time.Now()
		for range 10 {
			r := s.peer.sign(1)
			s.peer.add(r)
			s.in <- gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: r.Append(nil)}}})
			for deadline := time.Now().Add(time.Second); l.has(s.peer.origin) < r.Last(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("update %d did not come within a second", r.Last())
				}
			}
		}
		if took := time.Since(began); took < 9*64*time.Millisecond || took > 10*66*time.Millisecond {
			t.Errorf("10 frames that take 1 ms each took %s", took)
		}
		x.Close()
	})
}

// scripted is a transport with one peer, which the test plays.
type scripted struct {
	peer    *memLedger
	in, out chan []byte
	done    chan struct{}
	once    sync.Once
	ended   sync.WaitGroup
}

func (s *scripted) Forget(string) error { return nil }

func (s *scripted) Peer() chain.Origin         { return s.peer.origin }
func (s *scripted) PeerKey() ed25519.PublicKey { return s.peer.public() }

func (s *scripted) ReadFrame([]byte) ([]byte, error) {
	select {
	case b := <-s.in:
		return b, nil
	case <-s.done:
		return nil, errors.New("closed")
	}
}

func (s *scripted) WriteFrames(frames []*gossip.OutFrame) error {
	for _, f := range frames {
		s.out <- f.Payload()
	}
	return nil
}

func (s *scripted) closeStream() { s.once.Do(func() { close(s.done) }) }

// A stream's Close and a transport's have one name, so the transport is a
// wrapper.
type scriptedStream struct{ *scripted }

func (s scriptedStream) Close() error { s.closeStream(); return nil }

type scriptedTransport struct{ *scripted }

func (s scriptedTransport) Open(ctx context.Context, serve func(gossip.FrameStream), changed func([]gossip.Member)) error {
	changed(nil)
	s.in, s.out, s.done = make(chan []byte), make(chan []byte, 1000), make(chan struct{})
	s.ended.Go(func() { serve(scriptedStream(s)) })
	return nil
}

func (s scriptedTransport) Close(context.Context) error {
	s.closeStream()
	s.ended.Wait()
	return nil
}

// Whatever a peer sends, the worst is the end of its stream and a count.
func TestBadPeers(t *testing.T) {
	hello := gossip.AppendFrame(nil, &gossip.Hello{Version: gossip.Version, Epoch: 1})
	good := newMemLedger(7).sign(2)
	forged := *good
	forged.Signature[0]++
	stranger := newMemLedger(8)
	keyless := stranger.sign(2)
	stranger.chains[stranger.origin] = &memChain{head: keyless.Head()}
	keyless = stranger.sign(1)
	push := func(r *chain.Run) []byte {
		return gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: r.Append(nil)}}})
	}
	for name, test := range map[string]struct {
		frames [][]byte
		reason string // "" for a stream that stays
	}{
		"garbage":         {[][]byte{{0xc1, 2, 3}}, "frame"},
		"five bytes":      {[][]byte{{0xdd, 0xff, 0xff, 0xff, 0xff}}, "frame"},
		"no hello":        {[][]byte{push(good)}, "no hello"},
		"version":         {[][]byte{gossip.AppendFrame(nil, &gossip.Hello{Version: 99})}, "protocol version"},
		"unknown frame":   {[][]byte{hello, {0x92, 0x70, 0xc0}}, ""},
		"good run":        {[][]byte{hello, push(good)}, ""},
		"bad run":         {[][]byte{hello, gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: make([]byte, 200)}}})}, "run_encoding"},
		"bad signature":   {[][]byte{hello, push(&forged)}, "run_signature"},
		"without genesis": {[][]byte{hello, push(keyless)}, ""},
		"unwanted served": {[][]byte{hello, gossip.AppendFrame(nil, &gossip.Served{ID: 99, Done: true})}, ""},
		"ack, no disk":    {[][]byte{hello, gossip.AppendFrame(nil, &gossip.Ack{Seq: 3})}, "ack without a data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{peer: newMemLedger(7)}
				l := newMemLedger(0)
				x := l.start(t, scriptedTransport{s})
				for _, f := range test.frames {
					select {
					case s.in <- f:
					case <-s.done:
						t.Fatal("the stream ended too early")
					}
				}
				synctest.Wait()
				closed := false
				select {
				case <-s.done:
					closed = true
				default:
				}
				if closed != (test.reason != "") {
					t.Errorf("stream closed: %v, want reason %q", closed, test.reason)
				}
				if got := refusals(t, x); test.reason != "" && got[test.reason] != 1 || test.reason == "" && len(got) > 0 {
					t.Errorf("refusals %v, want %q", got, test.reason)
				}
				if name == "good run" && l.has(good.Origin) != good.Last() {
					t.Error("the good run was not taken")
				}
				x.Close()
			})
		})
	}
}

// refusals reads the counters of refusals by reason.
func refusals(t *testing.T, x *gossip.Exchange) map[string]int {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(x)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, f := range families {
		if f.GetName() == "tidings_gossip_refused_total" {
			for _, m := range f.GetMetric() {
				found[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return found
}
