package node

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// slowStore takes a while for each sync, and counts them.
type slowStore struct {
	chain.Store
	takes time.Duration
	syncs int
}

func (s *slowStore) Commit(b *chain.Batch, sync bool) error {
	if sync {
		s.syncs++
		time.Sleep(s.takes)
	}
	return s.Store.Commit(b, sync)
}

func (s *slowStore) Sync() error { time.Sleep(s.takes); return nil }

// publishing has callers publish, each one update after the other, and returns
// how long it took and how many syncs.
func publishing(t *testing.T, callers, each int) (took time.Duration, syncs int) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{Store: store.Memory(), takes: 8 * time.Millisecond}
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		ledger, err := chain.NewLedger(s, chain.Config{Key: key, Node: "n", Authority: "a"}, time.Now().UnixMilli())
		require.NoError(t, err)
		w := &writer{
			archive: chain.NewArchive(ledger), outbox: make(chan *Ack, 4*callers), open: true, inbox: newInbox(),
			settles: make(chan *settling), calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{}),
		}
		w.core = core.NewWriter(core.WriterConfig{
			Ledger: ledger, Archive: w.archive, Store: s,
			Now: time.Now, Wall: func() int64 { return time.Now().UnixMilli() },
			MayPublish: func() error { return nil }, TimeLimit: func(int64) int64 { return 0 }, Stage: func() error { return nil },
			Heard: func(*core.Committed) {}, Measured: func(*chain.Batch, bool, time.Duration) {}, Failed: func(err error) { t.Error(err) },
		})
		go w.run()
		began := time.Now()
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for i := range each {
					p := newAck(chain.Draft{Subject: fmt.Sprint("s/", c), Delta: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))})
					w.outbox <- p
					<-p.Done()
					if _, err := p.Result(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		took, syncs = time.Since(began), s.syncs
		w.stop()
	})
	return took, syncs
}

// Callers that come back after each answer share every sync, instead of waiting
// in groups for each other's; and who publishes alone waits for its sync and for
// nothing else.
func TestCallersShareSyncs(t *testing.T) {
	took, syncs := publishing(t, 12, 50)
	t.Logf("12 callers: %d syncs, %s", syncs, took)
	require.LessOrEqual(t, syncs, 50+5)
	took, syncs = publishing(t, 1, 50)
	require.Equal(t, 50, syncs)
	require.Equal(t, 50*8*time.Millisecond, took)
}
