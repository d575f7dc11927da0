package gossip

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// membersFile is what a node with a data directory remembers of its mesh, so
// that a restart finds it again though the nodes that it was told to join are
// gone. Serf's own snapshot does not do: it forgets whom it saw fail, so the
// last node of a mesh to die remembers nobody, and it tries each only once.
//
// The file is a hint. Lost or damaged, it costs the memory and nothing else.
type membersFile struct {
	Version int             `json:"version"`
	Epoch   uint64          `json:"epoch"` // of the last start
	Members []rememberedOne `json:"members"`
}

type rememberedOne struct {
	Origin chain.Origin   `json:"origin"`
	Name   string         `json:"name"`
	Addr   netip.AddrPort `json:"addr"`
	Seen   time.Time      `json:"seen"` // last alive
}

const (
	membersFileName    = "members.json"
	membersFileVersion = 1
	membersFileMost    = 4 << 20 // bytes
	// rememberedMost bounds the file; those seen last are kept.
	rememberedMost = 1024
	// rememberedFor is how long a node that was not seen alive is still asked.
	rememberedFor = 30 * 24 * time.Hour
)

// readMembersFile gives an empty memory where there is no file.
func readMembersFile(dir string) (membersFile, error) {
	path := filepath.Join(dir, membersFileName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return membersFile{}, nil
	}
	if err != nil {
		return membersFile{}, fmt.Errorf("read %s: %w", membersFileName, err)
	}
	if info.Size() > membersFileMost {
		return membersFile{}, fmt.Errorf("read %s: %d bytes, at most %d", membersFileName, info.Size(), membersFileMost)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return membersFile{}, fmt.Errorf("read %s: %w", membersFileName, err)
	}
	return decodeMembersFile(b)
}

func decodeMembersFile(b []byte) (membersFile, error) {
	var f membersFile
	if err := json.Unmarshal(b, &f); err != nil {
		return membersFile{}, fmt.Errorf("read %s: %w", membersFileName, err)
	}
	if f.Version != membersFileVersion {
		return membersFile{}, fmt.Errorf("read %s: version %d, want %d", membersFileName, f.Version, membersFileVersion)
	}
	f.Members = slices.DeleteFunc(f.Members, func(r rememberedOne) bool {
		return !r.Addr.IsValid() || r.Addr.Port() == 0 || r.Addr.Addr().IsUnspecified()
	})
	return f, nil
}

// write replaces the file, whole or not at all.
func (f membersFile) write(dir string) (err error) {
	b, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return fmt.Errorf("write %s: %w", membersFileName, err)
	}
	// The directory is one process's, and one name leaves no heap of files behind
	// where that is killed.
	tmp, err := os.OpenFile(filepath.Join(dir, membersFileName+".tmp"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", membersFileName, err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, membersFileName))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", membersFileName, errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// sweepMembersFile removes what writes that were cut short have left: earlier
// versions gave each temporary file a name of its own.
func sweepMembersFile(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), membersFileName+".") && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove what is left of %s: %w", membersFileName, err)
	}
	return nil
}

// nextEpoch is above every earlier one of this directory, whatever the clock.
func (f *membersFile) nextEpoch(now time.Time) uint64 {
	f.Version = membersFileVersion
	f.Epoch = max(f.Epoch+1, uint64(max(now.UnixMilli(), 1)))
	return f.Epoch
}

// update takes in what is known now: it remembers who runs, keeps who has
// failed or was not met yet, and drops who left, was superseded or grew old.
// It reports whether who is remembered, or where, has changed.
func (f *membersFile) update(self chain.Origin, members []Member, now time.Time) bool {
	byOrigin := make(map[chain.Origin]Member, len(members))
	nameTaken := make(map[string]bool, len(members))
	for _, m := range members {
		byOrigin[m.Origin] = m
		nameTaken[m.Name] = true
	}
	type place struct {
		origin chain.Origin
		addr   netip.AddrPort
	}
	before := make(map[place]bool, len(f.Members))
	kept := f.Members[:0:0]
	for _, r := range f.Members {
		before[place{r.Origin, r.Addr}] = true
		m, known := byOrigin[r.Origin]
		switch {
		case r.Origin == self || now.Sub(r.Seen) > rememberedFor:
		case known && (m.Status != StatusFailed):
			// Left: gone. Alive: below.
		case !known && nameTaken[r.Name]:
			// Superseded.
		default:
			kept = append(kept, r)
		}
	}
	for _, m := range members {
		if m.Status == StatusAlive && m.Origin != self {
			kept = append(kept, rememberedOne{Origin: m.Origin, Name: m.Name, Addr: m.Addr, Seen: now.UTC().Truncate(time.Second)})
		}
	}
	slices.SortFunc(kept, func(a, b rememberedOne) int {
		return cmp.Or(b.Seen.Compare(a.Seen), a.Origin.Compare(b.Origin))
	})
	f.Members = kept[:min(len(kept), rememberedMost)]
	changed := len(before) != len(f.Members)
	for _, r := range f.Members {
		changed = changed || !before[place{r.Origin, r.Addr}]
	}
	return changed
}

// drop forgets members by name.
func (f *membersFile) drop(name string) {
	f.Members = slices.DeleteFunc(f.Members, func(r rememberedOne) bool {
		return r.Name == name || r.Origin.String() == name
	})
}
