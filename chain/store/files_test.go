package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// shakyFiles run on a disk in memory. Before each call, and half way through a
// write, they hand out what a power loss would leave; at one call they fail.
type shakyFiles struct {
	disk  *vfs.MemFS
	calls int
	fail  int // the call that fails, -1 for none
	look  func(at string)
}

var errShaky = errors.New("input/output error")

func (s *shakyFiles) step(what, path string) error {
	if s.look != nil {
		s.look(fmt.Sprintf("before %s %s", what, path))
	}
	s.calls++
	if s.calls-1 == s.fail {
		return errShaky
	}
	return nil
}

func (s *shakyFiles) create(path string) (syncWriter, error) {
	if err := s.step("create", path); err != nil {
		return nil, err
	}
	if _, err := s.disk.Stat(path); err == nil {
		return nil, fs.ErrExist
	}
	f, err := s.disk.Create(path, vfs.WriteCategoryUnspecified)
	return shakyFile{f, s, path}, err
}

func (s *shakyFiles) rename(from, to string) error {
	return errors.Join(s.step("rename", to), s.disk.Rename(from, to)) // done all the same
}

func (s *shakyFiles) remove(path string) error {
	if err := s.step("remove", path); err != nil {
		return err
	}
	if err := s.disk.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *shakyFiles) removeAll(path string) error {
	return errors.Join(s.step("remove all", path), s.disk.RemoveAll(path))
}

func (s *shakyFiles) mkdir(path string) error {
	if err := s.step("mkdir", path); err != nil {
		return err
	}
	if _, err := s.disk.Stat(path); err == nil {
		return fs.ErrExist
	}
	return s.disk.MkdirAll(path, 0o700)
}

func (s *shakyFiles) exists(path string) (bool, error) {
	if err := s.step("stat", path); err != nil {
		return false, err
	}
	_, err := s.disk.Stat(path)
	return err == nil, nil
}

func (s *shakyFiles) syncDir(path string) error {
	if err := s.step("sync", path); err != nil {
		return err
	}
	return syncDir(s.disk, path)
}

type shakyFile struct {
	vfs.File
	s    *shakyFiles
	path string
}

func (f shakyFile) Write(p []byte) (int, error) {
	if err := f.s.step("write", f.path); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	n, err := f.File.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	f.s.look("half way through " + f.path)
	rest, err := f.File.Write(p[n:])
	return n + rest, err
}

func (f shakyFile) Sync() error {
	if err := f.s.step("sync", f.path); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f shakyFile) Close() error {
	return errors.Join(f.s.step("close", f.path), f.File.Close())
}

// TestIdentityUnderPowerLoss makes a directory three levels deep, writes an
// identity and rewrites it as a new key does, and loses power, or fails, at
// each call: what a start then finds is the identity before or the one after,
// whole, and the one after once the call has returned.
func TestIdentityUnderPowerLoss(t *testing.T) {
	const file = "/a/b/node/identity.json"
	ids := make([]Identity, 3)
	for i := range ids {
		ids[i] = Identity{Name: "wh-1", Authority: "warehouse", Created: whole(time.Unix(int64(i), 0))}
		ids[i].newKey()
		if i > 0 {
			ids[i].Predecessor = ids[i-1].Origin
		}
	}
	points := 0
	// live writes what comes, and failed says whether a call did.
	live := func(fail int) (calls int, failed bool) {
		disk := vfs.NewCrashableMem()
		rng := rand.New(rand.NewPCG(1, uint64(fail+1)))
		least, most := -1, -1 // of the identities, as acknowledged and as begun
		s := &shakyFiles{disk: disk, fail: fail}
		s.look = func(at string) {
			for _, kept := range []int{0, 50, 100} {
				points++
				after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
				found := -1
				if b, err := readBytes(after, file); err == nil {
					id, err := decodeIdentity(b)
					if err != nil {
						t.Errorf("fails at %d, power lost %s, %d %% kept: %v", fail, at, kept, err)
						continue
					}
					for i := range ids {
						if ids[i].Origin == id.Origin {
							found = i
						}
					}
				} else if !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if found < least || found > most {
					t.Errorf("fails at %d, power lost %s, %d %% kept: identity %d, and %d was acknowledged and %d begun", fail, at, kept, found, least, most)
				}
			}
		}
		try := func(err error) bool {
			if err != nil && !errors.Is(err, errShaky) {
				t.Errorf("fails at %d: %v", fail, err)
			}
			failed = failed || err != nil
			return err == nil
		}
		for !try(makeDir(s, "/a/b/node")) {
		}
		for i := range ids {
			most = i
			if try(replaceFile(s, file, func(string) ([]byte, error) { return ids[i].encode() })) {
				least = i
			}
			s.look(fmt.Sprintf("after identity %d", i))
		}
		return s.calls, failed
	}
	calls, _ := live(-1)
	for k := range calls {
		if _, failed := live(k); !failed {
			t.Errorf("call %d failed, and nothing said so", k)
		}
	}
	t.Logf("%d calls, each failed once; %d power losses", calls, points)
}

func readBytes(disk vfs.FS, path string) ([]byte, error) {
	f, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, err
	}
	return b, nil
}

// TestDirIsMadeWhole makes what is missing above a data directory, and says
// what it could not make.
func TestDirIsMadeWhole(t *testing.T) {
	base := t.TempDir()
	if err := errors.Join(makeDir(osFiles{}, base+"/a/b/c"), makeDir(osFiles{}, base+"/a/b/c")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(base + "/a/b/c"); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(base+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeDir(osFiles{}, base+"/file/b"); err == nil {
		t.Error("made a directory inside a file")
	}
}
