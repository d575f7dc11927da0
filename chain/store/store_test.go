package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/chain/store/storetest"
)

// noLeaks has the test fail if goroutines that it started outlive it. Tests of
// stores that fail do without: what Pebble never gives back stays.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func TestMemory(t *testing.T) {
	noLeaks(t)
	storetest.Run(t, func(storetest.T, string) chain.Store { return store.Memory() })
}

func TestDisk(t *testing.T) {
	noLeaks(t)
	storetest.Run(t, func(t storetest.T, place string) chain.Store {
		s, err := store.OpenPebble(place, store.Options{})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	})
}

// TestDiskWithSmallTables has every test go through tables and compactions,
// not only through memory.
func TestDiskWithSmallTables(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewMem()
	storetest.Run(t, func(t storetest.T, place string) chain.Store {
		s, err := store.OpenPebble(place, store.Options{FS: disk, MemTableSize: 64 << 10})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	})
}
