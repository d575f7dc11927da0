package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// A table's file has what was written to it, in order, at each sync and once it is
// closed, whatever the sizes of the writes.
func TestTableFile(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		disk := vfs.NewMem()
		file, err := disk.Create("t.sst", vfs.WriteCategoryUnspecified)
		if err != nil {
			r.Fatal(err)
		}
		f := store.NewTableFile(file)
		var want []byte
		check := func(when string) {
			if got := readAll(t, disk, "t.sst"); !bytes.Equal(got, want) {
				r.Fatalf("after %s the file has %d bytes, want %d, or others", when, len(got), len(want))
			}
		}
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(r, "seed")))
		for range rapid.IntRange(0, 60).Draw(r, "steps") {
			switch step := rapid.SampledFrom([]string{"block", "block", "block", "large", "sync", "sync data", "sync to"}).Draw(r, "step"); step {
			case "block", "large":
				most := 8 << 10
				if step == "large" {
					most = 2*store.GatherBytes + 1
				}
				p := make([]byte, random.IntN(most))
				for i := range p {
					p[i] = byte(random.Uint32())
				}
				want = append(want, p...)
				n, err := f.Write(p)
				if n != len(p) || err != nil {
					r.Fatal(n, err)
				}
				clear(p) // it is the writer's again
			case "sync":
				err = f.Sync()
				check(step)
			case "sync data":
				err = f.SyncData()
				check(step)
			case "sync to":
				_, err = f.SyncTo(int64(len(want)))
				check(step)
			}
			if err != nil {
				r.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			r.Fatal(err)
		}
		check("close")
	})
}

// Each way to the file reports a write that fails, and a close closes it all the same.
func TestTableFileThatCannotBeWritten(t *testing.T) {
	broken := errors.New("no space")
	for name, ask := range map[string]func(f vfs.File) error{
		"write": func(f vfs.File) error {
			_, err := f.Write(make([]byte, store.GatherBytes))
			return err
		},
		"large write": func(f vfs.File) error {
			_, err := f.Write(make([]byte, store.GatherBytes+1))
			return err
		},
		"sync":      func(f vfs.File) error { return f.Sync() },
		"sync data": func(f vfs.File) error { return f.SyncData() },
		"sync to": func(f vfs.File) error {
			_, err := f.SyncTo(1)
			return err
		},
		"close": func(f vfs.File) error { return f.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			file := &fullFile{err: broken}
			f := store.NewTableFile(file)
			if n, err := f.Write([]byte("block")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			if err := ask(f); !errors.Is(err, broken) {
				t.Errorf("%v, want %v", err, broken)
			}
			if name != "close" {
				// The bytes that failed are missing, also where others could be written.
				file.err = nil
				_, _ = f.Write([]byte("more"))
				if err := f.SyncData(); !errors.Is(err, broken) {
					t.Errorf("a sync afterwards: %v, want %v", err, broken)
				}
				if err := f.Close(); !errors.Is(err, broken) {
					t.Errorf("a close afterwards: %v, want %v", err, broken)
				}
			}
			if !file.closed {
				t.Error("the file is still open")
			}
			if got := tableOf(t, vfs.NewMem(), "block"); got != "block" {
				t.Errorf("the next table has %q", got)
			}
		})
	}
}

// tableOf writes a table in one piece, and returns what its file has.
func tableOf(t *testing.T, disk vfs.FS, text string) string {
	file, err := disk.Create("next.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	f := store.NewTableFile(file)
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return string(readAll(t, disk, "next.sst"))
}

// fullFile is a file that takes no more bytes.
type fullFile struct {
	vfs.File
	err    error
	closed bool
}

func (f *fullFile) Write([]byte) (int, error)  { return 0, f.err }
func (f *fullFile) Sync() error                { return nil }
func (f *fullFile) SyncData() error            { return nil }
func (f *fullFile) SyncTo(int64) (bool, error) { return false, nil }

func (f *fullFile) Close() error {
	f.closed = true
	return nil
}

// Tables go to the file system in few large pieces: block by block they cost sixteen
// nodes a fourteenth of their processor time under load.
func TestTablesAreWrittenInLargePieces(t *testing.T) {
	var tables, pieces atomic.Int64
	disk := vfs.NewMem()
	s, err := store.OpenPebble("node", store.Options{FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if onFile(op, ".sst") {
			switch op.Kind {
			case errorfs.OpCreate:
				tables.Add(1)
			case errorfs.OpFileWrite:
				pieces.Add(1)
			}
		}
		return nil
	}))})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	value := make([]byte, 16<<10)
	for i := range 600 {
		_, _ = random.Read(value)
		var b chain.Batch
		b.Set(fmt.Appendf(nil, "log/%04d", i), bytes.Clone(value))
		if err := s.Commit(&b, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, path := range files(t, disk, "node") {
		if path[len(path)-4:] == ".sst" {
			size += len(readAll(t, disk, path))
		}
	}
	if size < 6<<20 {
		t.Fatalf("the tables have %d bytes, want most of what was written", size)
	}
	if most := int64(size)/(store.GatherBytes/2) + 4*tables.Load(); pieces.Load() > most {
		t.Errorf("%d bytes in %d tables were written in %d pieces, want at most %d", size, tables.Load(), pieces.Load(), most)
	}
}
