package store_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// book is a ledger on a store, with its archive.
type book struct {
	t       *testing.T
	s       chain.Store
	config  chain.Config
	ledger  *chain.Ledger
	archive *chain.Archive
	own     []*chain.Run // that were published since it was opened
}

func openBook(t *testing.T, s chain.Store, key ed25519.PrivateKey) (*book, error) {
	b := &book{t: t, s: s, config: bookConfig(key)}
	var err error
	if b.ledger, err = chain.NewLedger(s, b.config, 1); err != nil {
		return nil, err
	}
	b.archive = chain.NewArchive(b.ledger)
	return b, b.flush()
}

func bookConfig(key ed25519.PrivateKey) chain.Config {
	return chain.Config{Key: key, Node: "a", Authority: "a"}
}

func (b *book) flush() error {
	batch, effects, err := b.ledger.Flush(1000)
	if err == nil && batch.Len() > 0 {
		err = b.s.Commit(batch, true)
	}
	if err == nil {
		b.archive.Publish(b.ledger, effects)
		b.own = append(b.own, effects.Own...)
	}
	return err
}

func (b *book) publish(subject, delta, key string) {
	b.t.Helper()
	p, err := chain.Prepare(chain.Draft{Subject: subject, Delta: []byte(delta), Key: key})
	if err == nil {
		_, err = b.ledger.Append(p, 1000)
	}
	if err = errors.Join(err, b.flush()); err != nil {
		b.t.Fatal(err)
	}
}

// take accepts what another book has of a chain, up to the last seal before a seq. Of
// its own chain there may be one for each update.
func (b *book) take(from *book, o chain.Origin, last chain.Seq) {
	b.t.Helper()
	for _, r := range from.runs(o) {
		if r.First <= last && r.Last() > last && o == b.ledger.Origin() {
			n := last - r.First + 1
			r = &chain.Run{Origin: o, First: r.First, Prev: r.Prev, Entries: r.Entries[:n:n]}
			r.Signature = chain.Sign(b.config.Key, r.Head())
		}
		if r.Last() > last {
			break
		}
		if _, err := b.ledger.Accept(r, 1000); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.flush(); err != nil {
		b.t.Fatal(err)
	}
}

// runs are those that the book published, or would serve, one for each seal.
func (b *book) runs(o chain.Origin) (runs []*chain.Run) {
	if o == b.ledger.Origin() && len(b.own) > 0 {
		return b.own
	}
	info, _ := b.archive.Info(o)
	for from := chain.Seq(1); from <= info.Received.Seq; {
		encoded, err := b.archive.Runs(o, from, 1)
		if err != nil || len(encoded) != 1 {
			b.t.Fatal(err)
		}
		r, err := chain.DecodeRun(encoded[0])
		if err == nil {
			err = r.Verify(info.Genesis.Key)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		runs, from = append(runs, r), r.Last()+1
	}
	return runs
}

var flipSubjects = []string{"order/1", "order/2", "order/3"}

// everything is all that readers can see, or why they cannot.
func (b *book) everything() (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "root %s\n", b.ledger.Root())
	for _, subject := range flipSubjects {
		state, err := b.archive.View(context.Background(), subject)
		if errors.Is(err, chain.ErrNotFound) {
			continue
		} else if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s %s %s\n", subject, state.ETag(), state.Status())
		for u, err := range b.archive.History(subject) {
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&out, "%s %s %s %v\n", u.ID, u.Hash, u.Delta, u.Deps)
		}
	}
	return out.String(), nil
}

// flipDir makes a data directory with three chains, as a Close leaves it or a
// crash, and the truth about them.
func flipDir(t *testing.T, path string, closed bool) (truth *book, note []byte) {
	t.Helper()
	d := openDir(t, path, store.DirOptions{Name: "a"})
	s, err := d.OpenStore(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := openBook(t, s, d.Key())
	if err != nil {
		t.Fatal(err)
	}
	var others []*book
	for i := range byte(2) {
		b, err := openBook(t, store.Memory(), ed25519.NewKeyFromSeed(append(make([]byte, 31), i+1)))
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, b)
	}
	for i := range 12 {
		for j, b := range append(others, own) {
			b.publish(flipSubjects[(i+j)%3], fmt.Sprintf(`{"n%d":%d,"text":"%x"}`, j, i, i*j*7919), fmt.Sprint("key", i))
			if b != own {
				own.take(b, b.ledger.Origin(), 1<<40)
			}
		}
	}
	own.ledger.PutPrivate("members", []byte("those that are known"))
	if err := own.flush(); err != nil {
		t.Fatal(err)
	}
	note = own.archive.HeadsNote()
	if err := s.Mark(note); err != nil {
		t.Fatal(err)
	}
	truth, err = openBook(t, store.Memory(), d.Key())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range own.archive.Chains() {
		truth.take(own, c.Received.Origin, 1<<40)
	}
	if closed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		closeDir(t, d)
		return truth, note
	}
	killed := path + ".killed"
	copyDir(t, path, killed)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closeDir(t, d)
	if err := errors.Join(os.RemoveAll(path), os.Rename(killed, path)); err != nil {
		t.Fatal(err)
	}
	return truth, note
}

// mend opens a damaged directory as a node does: salvages once if it must. The
// error is that of a directory that is refused.
func mend(t *testing.T, path string, note []byte) (d *store.Dir, b *book, how string, err error) {
	t.Helper()
	d, err = store.OpenDir(path, store.DirOptions{})
	if err != nil {
		return nil, nil, "refused", err
	}
	how = "whole"
	key := d.Key()
	for {
		s, err := d.OpenStore(store.Options{Kept: chain.KeepsKey})
		if err == nil {
			if b, err = openBook(t, s, key); err == nil {
				if _, err = b.everything(); err == nil {
					_, err = b.archive.CheckNote(s.Note())
				}
			}
			if err == nil {
				return d, b, how, nil
			}
			_ = s.Close()
			if !errors.Is(err, chain.ErrCorrupt) {
				return d, nil, how, err
			}
			err = errors.Join(store.ErrDamaged, err)
		}
		if how == "salvaged" || !errors.Is(err, store.ErrDamaged) {
			return d, nil, "refused", err
		}
		how = "salvaged"
		if _, err := d.Salvage(err, store.Options{}, func(from chain.Reader, note []byte, to chain.Store) error {
			_, err := chain.Salvage(from, to, bookConfig(key), chain.SalvageOptions{Note: note, Now: 1000})
			return err
		}); err != nil {
			return d, nil, how, err
		}
	}
}

// TestAnyFlippedBit inverts a bit of each byte of each file of a small data
// directory, left by a Close or by a crash. Whatever comes of it: the directory
// is refused and the file named, or what it shows is the truth up to some seal
// of each chain, and some update of the own, and what is missing of that is named by the note, or the note
// is known to be lost. A bit in some bytes of each file is tried, with
// TIDINGS_SOAK=1 in all.
func TestAnyFlippedBit(t *testing.T) {
	for _, closed := range []bool{true, false} {
		base := t.TempDir()
		whole := filepath.Join(base, "whole")
		truth, note := flipDir(t, whole, closed)
		count := map[string]map[string]int{}
		var files []string
		total := 0
		err := filepath.WalkDir(whole, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				info, err := e.Info()
				files, total = append(files, path), total+int(info.Size())
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			rel, _ := filepath.Rel(whole, file)
			kind := strings.Trim(strings.TrimLeft(filepath.Base(rel), "0123456789"), "0123456789-.")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range flipsOf(rel, len(b)) {
				path := filepath.Join(base, "flipped")
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				copyDir(t, whole, path)
				b[at] ^= 1 << (at % 8)
				if err := os.WriteFile(filepath.Join(path, rel), b, 0o600); err != nil {
					t.Fatal(err)
				}
				b[at] ^= 1 << (at % 8)
				got, err := afterFlip(t, path, rel, truth, note)
				if err != nil {
					t.Errorf("closed %v, %s, bit %d of byte %d: %s: %v", closed, rel, at%8, at, got, err)
				}
				if count[kind] == nil {
					count[kind] = map[string]int{}
				}
				count[kind][got]++
			}
		}
		t.Logf("closed %v, %d bytes: %v", closed, total, count)
	}
}

// flipsOf are the bytes of a file to try.
func flipsOf(file string, size int) (at []int) {
	stride := max(1, size/8)
	if everything() {
		stride = 1
	}
	for i := stride / 2; i < size; i += stride {
		at = append(at, i)
	}
	if file == "heads" && !everything() { // which holds nothing there, but in the first sector of each half
		for i := 3; i < sectorSize; i += sectorSize / 4 {
			at = append(at, i, size/2+i)
		}
	}
	return at
}

// afterFlip judges what became of a damaged directory.
func afterFlip(t *testing.T, path, file string, truth *book, note []byte) (string, error) {
	t.Helper()
	d, b, how, err := mend(t, path, note)
	if d != nil {
		defer d.Close()
	}
	if err != nil {
		if how != "refused" || !strings.Contains(err.Error(), filepath.Base(file)) {
			return how, fmt.Errorf("%w, which does not name %s", err, file)
		}
		return how, nil
	}
	defer b.s.Close()
	lost := false
	ref, err := openBook(t, store.Memory(), b.config.Key)
	if err != nil {
		return how, err
	}
	for _, c := range truth.archive.Chains() {
		have, had := b.ledger.Head(c.Received.Origin), c.Received
		lost = lost || have.Seq < had.Seq
		ref.take(truth, had.Origin, have.Seq)
		if at := ref.ledger.Head(had.Origin); at != have {
			return how, fmt.Errorf("chain %s ends at %v, which was no seal of it", had.Origin, have)
		}
	}
	want, err := ref.everything()
	if err != nil {
		return how, err
	}
	if is, err := b.everything(); err != nil || is != want {
		return how, fmt.Errorf("it shows something else than the truth: %w\n%s\nwant\n%s", err, is, want)
	}
	if !lost {
		return how, nil
	}
	missing, err := b.archive.CheckNote(b.s.Note())
	if err != nil || len(missing) == 0 && d.Unchanged() {
		return how, fmt.Errorf("updates are missing, and nothing says so: %w", err)
	}
	return how + ", and some is missing", nil
}
