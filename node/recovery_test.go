package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// puppet is a peer that a test moves by hand: it says of the node's chain what
// it is told to say, keeps what is pushed to it, and serves that only if it may.
type puppet struct {
	t    *testing.T
	of   *gossip.HubNode
	left sync.Once

	mu    sync.Mutex // protects what follows
	claim gossip.HeadHash
	serve bool
	runs  []gossip.Run
}

func newPuppet(t *testing.T, hub *gossip.Hub) *puppet {
	t.Helper()
	key := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), 7))
	p := &puppet{t: t, of: hub.Transport(key.Public().(ed25519.PublicKey), gossip.Tags{Name: "puppet", Authority: "puppet"})}
	require.NoError(t, p.of.Open(t.Context(), p.talk, func([]gossip.Member) {}))
	t.Cleanup(p.leave)
	return p
}

func (p *puppet) leave() {
	p.left.Do(func() { require.NoError(p.t, p.of.Close(context.Background())) })
}

func (p *puppet) talk(s gossip.FrameStream) {
	send := func(f gossip.Frame) {
		_ = s.WriteFrames([]*gossip.OutFrame{gossip.NewOutFrame(gossip.AppendFrame(nil, f), false)})
	}
	p.mu.Lock()
	hello := &gossip.Hello{Version: gossip.Version, Epoch: 1, Wall: uint64(time.Now().UnixMilli()), Root: chain.Hash{1}, Yours: p.claim}
	p.mu.Unlock()
	send(hello)
	for {
		b, err := s.ReadFrame(nil)
		if err != nil {
			return
		}
		f, err := gossip.DecodeFrame(b)
		if err != nil {
			p.t.Error(err)
			return
		}
		p.take(s, f, send)
	}
}

func (p *puppet) take(s gossip.FrameStream, f gossip.Frame, send func(gossip.Frame)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch f := f.(type) {
	case *gossip.Push:
		for _, r := range f.Runs {
			run, err := chain.DecodeRun(r.Encoded)
			if err == nil {
				err = run.Verify(s.PeerKey())
			}
			if err != nil {
				p.t.Error(err)
				return
			}
			p.runs = append(p.runs, r)
			p.claim = gossip.HeadHash{Seq: run.Last(), Hash: run.Head().Hash}
			send(&gossip.Heads{Heads: []chain.ID{{Origin: s.Peer(), Seq: run.Last()}}})
		}
	case *gossip.Pull:
		if p.serve {
			send(&gossip.Served{ID: f.ID, Done: true, Runs: p.runs})
		}
	}
}

func (p *puppet) claims() gossip.HeadHash {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.claim
}

func (p *puppet) mayServe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = true
}

func status(delta string) Draft { return Draft{Subject: "order/1", Delta: json.RawMessage(delta)} }

// A disk that was set back looks unchanged. As long as a peer says that it has
// more of the chain, nothing is appended, however long it takes to fetch that.
func TestNothingIsAppendedBelowWhatAPeerHas(t *testing.T) {
	hub := gossip.NewHub()
	peer := newPuppet(t, hub)
	dir, backup := filepath.Join(t.TempDir(), "data"), t.TempDir()
	cfg := Config{Name: "n", DataDir: dir, Hub: hub, RecoverWait: 300 * time.Millisecond}
	life := func(delta string) chain.ID {
		n, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		id, err := n.Publish(t.Context(), status(delta))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return peer.claims().Seq == id.Seq }, 10*time.Second, time.Millisecond)
		require.NoError(t, n.Close())
		return id
	}
	life(`{"a":1}`)
	require.NoError(t, os.CopyFS(backup, os.DirFS(dir)))
	last := life(`{"a":2}`)
	SetBack(t, dir, backup)

	n, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	require.Equal(t, last.Origin, n.Origin())
	ack, err := n.Enqueue(t.Context(), status(`{"a":3}`))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*cfg.RecoverWait)
	defer cancel()
	if r, err := ack.Wait(ctx); err == nil {
		t.Fatalf("%s was published below %s, which a peer has", r.ID, last)
	}
	require.Contains(t, n.Readiness().Reason, "recovering")

	peer.mayServe()
	r, err := ack.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, last.Seq+1, r.ID.Seq)
}

// A node whose only peer goes before the first catch-up has ended is ready some
// time later: there is nobody to catch up with.
func TestReadyAfterThePeersAreGone(t *testing.T) {
	hub := gossip.NewHub()
	peer := newPuppet(t, hub)
	n, err := Open(t.Context(), Config{Name: "n", Hub: hub, RecoverWait: 200 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	select {
	case <-n.Ready():
		t.Error("ready before the peer told what it has")
	case <-time.After(2 * n.cfg.RecoverWait):
	}
	peer.leave()
	select {
	case <-n.Ready():
	case <-time.After(10 * time.Second):
		t.Fatalf("not ready: %+v", n.Readiness())
	}
}

// What a node must not go on for outlives what only holds for a while.
func TestFailureIsForGood(t *testing.T) {
	n, err := Open(t.Context(), Config{Name: "n"})
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	n.fail(context.Canceled)
	n.state.setRefusal(ErrClockSkew)
	n.state.setRefusal(nil)
	_, err = n.Publish(t.Context(), status(`{"a":1}`))
	require.ErrorIs(t, err, ErrNotReady)
	require.ErrorIs(t, n.FailedBy(), context.Canceled)
	require.Contains(t, n.Readiness().Reason, context.Canceled.Error())
}

// What a peer claims of the own chain is believed when it has shown it. One that
// claims another update of a seq and has none delays a start, and no more.
func TestClaimWithoutProofEndsNothing(t *testing.T) {
	hub := gossip.NewHub()
	peer := newPuppet(t, hub)
	peer.mayServe()
	cfg := Config{Name: "n", DataDir: filepath.Join(t.TempDir(), "data"), Hub: hub, RecoverWait: 300 * time.Millisecond}
	n, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	first, err := n.Publish(t.Context(), status(`{"a":1}`))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return peer.claims().Seq == first.Seq }, 10*time.Second, time.Millisecond)
	require.NoError(t, n.Close())

	peer.mu.Lock()
	peer.claim.Hash = chain.Hash{0xbd}
	peer.mu.Unlock()
	n, err = Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	second, err := n.Publish(t.Context(), status(`{"a":2}`))
	require.NoError(t, err)
	require.Equal(t, chain.ID{Origin: first.Origin, Seq: first.Seq + 1}, second)
	require.NoError(t, n.FailedBy())
	require.Nil(t, n.archive.Frozen(n.Origin()))
	require.Greater(t, n.mesh.exchange.Stats().Pulls, uint64(0), "it asked for the proof")
}

// A peer that does show another update of a seq, under this key, has proved a
// fork: the chain is frozen, and the next start goes on under a new origin.
func TestClaimIsProvedByTheRun(t *testing.T) {
	hub := gossip.NewHub()
	peer := newPuppet(t, hub)
	peer.mayServe()
	dir, backup := filepath.Join(t.TempDir(), "data"), t.TempDir()
	cfg := Config{Name: "n", DataDir: dir, Hub: hub, RecoverWait: 300 * time.Millisecond}
	life := func(delta string, seen bool) chain.ID {
		n, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		id, err := n.Publish(t.Context(), status(delta))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return !seen || peer.claims().Seq == id.Seq }, 10*time.Second, time.Millisecond)
		require.NoError(t, n.Close())
		return id
	}
	life(`{"a":1}`, true)
	require.NoError(t, os.CopyFS(backup, os.DirFS(dir)))
	last := life(`{"a":2}`, true)
	SetBack(t, dir, backup)
	cfg.Hub = gossip.NewHub() // the only one who knows is not there
	require.Equal(t, last, life(`{"a":3}`, false))

	cfg.Hub = hub
	n, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.archive.Frozen(last.Origin) != nil }, 10*time.Second, time.Millisecond)
	require.Contains(t, n.Readiness().Reason, "restart")
	_, err = n.Publish(t.Context(), status(`{"a":4}`))
	require.ErrorIs(t, err, chain.ErrFrozen, "it is told, though the start did not come to its end")
	require.NoError(t, n.Close())

	n, err = Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	require.NotEqual(t, last.Origin, n.Origin())
	id, err := n.Publish(t.Context(), status(`{"a":5}`))
	require.NoError(t, err)
	require.Equal(t, n.Origin(), id.Origin)
}

// A start that has to ask its peers takes long. Meanwhile the node answers reads
// from what it has, and says that it is not ready, and why.
func TestReadsAreServedWhileTheOwnChainIsRecovered(t *testing.T) {
	dir, moved := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "moved")
	n, err := Open(t.Context(), Config{Name: "n", DataDir: dir})
	require.NoError(t, err)
	_, err = n.Publish(t.Context(), status(`{"a":1}`))
	require.NoError(t, err)
	require.NoError(t, n.Close())
	require.NoError(t, os.CopyFS(moved, os.DirFS(dir)))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handlers, opened := make(chan http.Handler, 1), make(chan error, 1)
	go func() {
		_, err := Open(ctx, Config{
			Name: "n", DataDir: moved, Hub: gossip.NewHub(), RecoverWait: time.Minute,
			OnHandler: func(h http.Handler) { handlers <- h },
		})
		opened <- err
	}()
	h := <-handlers
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	code, body := get("/v1/subjects/order/1")
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"status":{"a":1}`)
	code, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "recovering the own chain")
	require.Contains(t, body, `"progress":{"have":2,"want":2}`)
	code, body = get("/v1/mesh")
	require.Equal(t, http.StatusOK, code, body)
	cancel()
	require.ErrorIs(t, <-opened, context.Canceled)
}
