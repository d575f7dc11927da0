package store

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// TestFatalf: Pebble's last word ends the goroutine that speaks it, kills the
// store, and ends nothing else.
func TestFatalf(t *testing.T) {
	g := newGuard(slog.New(slog.DiscardHandler))
	returned := make(chan bool, 1)
	go func() {
		back := false
		defer func() { returned <- back }()
		g.Fatalf("disk %d", 7)
		back = true
	}()
	if <-returned {
		t.Error("Fatalf returned")
	}
	if err := g.check(); !errors.Is(err, chain.ErrStoreFailed) {
		t.Errorf("the store lives: %v", err)
	}
	first := g.check()
	if again := g.fail("later", errors.New("other")); again != first {
		t.Errorf("a later failure replaces the first: %v", again)
	}
}

// TestSharedCaches: the stores of a process share their caches, and the last
// one takes them down.
func TestSharedCaches(t *testing.T) {
	disk := vfs.NewMem()
	a, err := OpenPebble("a", Options{FS: disk, CacheSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	blocks, files := pool.blocks, pool.files
	b, err := OpenPebble("b", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	if pool.blocks != blocks || pool.files != files || pool.users != 2 || blocks.MaxSize() != 1<<20 {
		t.Errorf("%d users, %d bytes", pool.users, blocks.MaxSize())
	}
	if _, err := OpenPebble("a", Options{FS: disk}); err == nil {
		t.Error("opened twice")
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil || pool.users != 1 {
		t.Errorf("%v, %d users", err, pool.users)
	}
	if err := b.Close(); err != nil || pool.users != 0 || pool.blocks != nil {
		t.Errorf("%v, %d users", err, pool.users)
	}
}

// FuzzIdentity: the same for the identity file.
func FuzzIdentity(f *testing.F) {
	id := Identity{Name: "wh-1", Authority: "warehouse", Created: whole(time.Unix(1, 0))}
	id.newKey()
	b, err := id.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeIdentity(b)
		if err != nil {
			if !errors.Is(err, chain.ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Errorf("error without a kind: %v", err)
			}
			return
		}
		if again, err := id.encode(); err != nil || string(again) != string(b) {
			t.Errorf("%s is written as %s: %v", b, again, err)
		}
	})
}

// Text is stored compressed, and what does not get smaller is not tried again and again.
func TestTablesAreCompressedWhereThatHelps(t *testing.T) {
	require.NotZero(t, compression.AdaptiveReductionCutoffPercent)
	require.NotEqual(t, compression.DataBlocks, compression.OtherBlocks, "or Pebble has nothing to choose from")

	d, err := OpenPebble(t.TempDir(), Options{})
	require.NoError(t, err)
	raw := 0
	for i := range 5000 {
		value := fmt.Appendf(nil, `{"status":"in transit","carrier":"fleet-%d","stop":{"name":"distribution centre","of":%d}}`, i%7, i%3)
		var b chain.Batch
		b.Set(fmt.Appendf(nil, "u%08d", i), value)
		raw += len(value)
		require.NoError(t, d.Commit(&b, false))
	}
	require.NoError(t, d.do("flush", d.db.Flush))
	levels, err := d.db.SSTables()
	require.NoError(t, err)
	size := 0
	for _, level := range levels {
		for _, table := range level {
			size += int(table.Size)
		}
	}
	require.Less(t, size, raw/2)
	require.NoError(t, d.Close())
}
