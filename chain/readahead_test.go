package chain_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// crowdStore notes how many states are read at once, and for a while lets each read of
// one wait until so many are.
type crowdStore struct {
	chain.Store
	mu         sync.Mutex // protects what follows
	crowd      int        // how many reads wait for each other
	reads      int
	reading    int
	most       int
	here       chan struct{} // closed when the crowd is complete
	failAfter  int           // reads, if above 0
	failureErr error
}

func (s *crowdStore) await(crowd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowd, s.most, s.reads, s.here = crowd, 0, 0, make(chan struct{})
}

func (s *crowdStore) Get(key []byte) ([]byte, error) {
	if key[0] != 's' {
		return s.Store.Get(key)
	}
	s.mu.Lock()
	s.reads++
	s.reading++
	s.most = max(s.most, s.reading)
	fails := s.failAfter > 0 && s.reads > s.failAfter
	here, wait := s.here, s.crowd > 0
	if wait && s.reading == s.crowd {
		s.crowd = 0
		close(s.here)
	}
	s.mu.Unlock()
	if wait {
		select {
		case <-here:
		case <-time.After(10 * time.Second): // the test finds too few
		}
	}
	s.mu.Lock()
	s.reading--
	s.mu.Unlock()
	if fails {
		return nil, s.failureErr
	}
	return s.Store.Get(key)
}

const crowded = 64 // subjects

// crowdedParty is a party that keeps no state decoded, and another that has written to
// many subjects, all of which the first has heard.
func crowdedParty(t *testing.T) (p, writer *party, s *crowdStore) {
	p, writer = newParty(t, "reader", "reader"), newParty(t, "writer", "writer")
	s = &crowdStore{Store: p.store}
	p.store, p.config.CacheBytes = s, 1
	p.open(t)
	writeAll(t, writer, 1, 1000)
	p.accept(t, writer.runs[0], 1000)
	return p, writer, s
}

// writeAll publishes to each subject, in one batch.
func writeAll(t *testing.T, p *party, value int, now int64) {
	for _, d := range draftsForAll(t, value) {
		_, err := p.ledger.Append(d, now)
		require.NoError(t, err)
	}
	p.flush(t, now)
}

func draftsForAll(t *testing.T, value int) (drafts []*chain.Prepared) {
	for i := range crowded {
		d, err := chain.Prepare(chain.Draft{Subject: fmt.Sprintf("order/%d", i), Delta: fmt.Appendf(nil, `{"n":%d}`, value)})
		require.NoError(t, err)
		drafts = append(drafts, d)
	}
	return drafts
}

func crowdedSubjects() (subjects []string) {
	for i := range crowded {
		subjects = append(subjects, fmt.Sprintf("order/%d", i))
	}
	return subjects
}

// TestRunsReadAhead: the states of a run's subjects are read side by side, each once,
// and the outcome is that of updates that come one by one.
func TestRunsReadAhead(t *testing.T) {
	p, writer, s := crowdedParty(t)
	writeAll(t, writer, 2, 2000)
	s.await(8)
	p.accept(t, writer.runs[1], 2000)
	require.Equal(t, 8, s.most)
	require.Equal(t, crowded, s.reads)
	s.await(0)

	// The same in runs of one.
	single, again := newParty(t, "reader", "reader"), newParty(t, "writer", "writer")
	for value := range 2 {
		now := int64(1000 * (value + 1))
		for _, d := range draftsForAll(t, value+1) {
			_, err := again.ledger.Append(d, now)
			require.NoError(t, err)
			again.flush(t, now)
		}
	}
	for _, r := range again.runs {
		single.accept(t, r, 2000)
	}
	require.Equal(t, single.everything(t, crowdedSubjects()), p.everything(t, crowdedSubjects()))
}

// TestDraftsReadAhead: so are those of drafts.
func TestDraftsReadAhead(t *testing.T) {
	p, _, s := crowdedParty(t)
	drafts := draftsForAll(t, 3)
	s.await(8)
	require.NoError(t, p.ledger.ReadAhead(drafts))
	require.Equal(t, 8, s.most)
	s.await(0)
	for _, d := range drafts {
		_, err := p.ledger.Append(d, 3000)
		require.NoError(t, err)
	}
	require.Zero(t, s.reads, "what is read ahead is not read again")
	p.flush(t, 3000)
	state, err := p.archive.View(t.Context(), "order/7")
	require.NoError(t, err)
	require.Contains(t, string(state.AppendView(nil)), `"n":3`)
}

// TestReadAheadStopsAtTheBatch: no state is read that this batch does not take.
func TestReadAheadStopsAtTheBatch(t *testing.T) {
	p, writer, s := crowdedParty(t)
	writeAll(t, writer, 2, 2000)
	p.ledger.SetBatch(40 << 10) // of some 1 KiB for each update, and half of that to receive it
	s.await(0)
	p.accept(t, writer.runs[1], 2000)
	require.True(t, p.ledger.Pending())
	require.Less(t, s.reads, 32)
	for p.ledger.Pending() {
		require.NoError(t, p.ledger.Continue(2000))
		p.flush(t, 2000)
	}
	require.LessOrEqual(t, s.reads, crowded+8)
}

// TestReadAheadFails: an error of one read is the ledger's.
func TestReadAheadFails(t *testing.T) {
	p, writer, s := crowdedParty(t)
	writeAll(t, writer, 2, 2000)
	s.failAfter, s.failureErr = 40, errors.New("input/output error")
	s.await(0)
	_, err := p.ledger.Accept(wireCopy(t, writer.runs[1], testKey("writer").Public().(ed25519.PublicKey)), 2000)
	require.ErrorIs(t, err, s.failureErr)
	// What could not be read does not pass for empty, whoever goes on all the same.
	s.failAfter = 0
	late, err := chain.Prepare(chain.Draft{Subject: "order/63", Delta: []byte(`{"late":true}`)})
	require.NoError(t, err)
	_, err = p.ledger.Append(late, 3000)
	require.NoError(t, err)
	p.flush(t, 3000)
	p.open(t)
	state, err := p.archive.View(t.Context(), "order/63")
	require.NoError(t, err)
	require.Contains(t, string(state.AppendView(nil)), `"n":`)
	require.Contains(t, string(state.AppendView(nil)), `"late":true`)
}
