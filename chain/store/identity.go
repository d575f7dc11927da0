package store

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Identity is what a data directory says of its node, as the JSON of
// identity.json.
type Identity struct {
	Format    int          `json:"format"`
	Name      string       `json:"name"`
	Authority string       `json:"authority"`
	Origin    chain.Origin `json:"origin"` // of Key; a check of it
	Key       []byte       `json:"key"`    // Ed25519 seed, 32 bytes, base64
	Created   time.Time    `json:"created"`
	Store     bool         `json:"store"` // a store was made beside it

	Place // where it was last recorded

	Predecessor chain.Origin `json:"predecessor,omitzero"` // the origin before this one
	Previous    []FormerKey  `json:"previous,omitempty"`   // oldest first

	Sum string `json:"sum"` // of all above; hex of 8 bytes of SHA-256
}

// FormerKey is a key that the node signed with before.
type FormerKey struct {
	Origin  chain.Origin `json:"origin"`
	Key     []byte       `json:"key"`
	Created time.Time    `json:"created"`
	Until   time.Time    `json:"until"`
}

// Place is where a directory is, as far as a copy would differ.
type Place struct {
	Machine   string `json:"machine_id"` // a hash of the system's, empty where there is none
	DirInode  uint64 `json:"dir_inode"`
	FileInode uint64 `json:"file_inode"` // of identity.json

	// When these were made, in nanoseconds since 1970, and the same of the store:
	// of db/LOCK, which is as old as the store. 0 where it is not known.
	DirBorn    int64  `json:"dir_born,omitempty"`
	FileBorn   int64  `json:"file_born,omitempty"`
	StoreInode uint64 `json:"store_inode,omitempty"`
	StoreBorn  int64  `json:"store_born,omitempty"`
}

func (p Place) known() bool { return p.DirInode != 0 && p.FileInode != 0 }

// is reports whether what was recorded is here. What was not recorded, by an
// earlier build or before there was a store, says nothing.
func (p Place) is(here Place) bool {
	recorded := here
	if p.StoreInode == 0 {
		recorded.StoreInode, recorded.StoreBorn = 0, 0
	}
	if p.DirBorn == 0 {
		recorded.DirBorn, recorded.FileBorn = 0, 0
	}
	return here.known() && p == recorded
}

func (id *Identity) newKey() {
	id.Key = make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(id.Key) // never fails: it ends the process if the system has no randomness
	id.Origin = chain.OriginOf(id.private().Public().(ed25519.PublicKey))
}

func (id *Identity) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(id.Key) }

// formerKeys are the keys that the node signed with before, the oldest first.
func (id *Identity) formerKeys() (keys []ed25519.PrivateKey) {
	for _, k := range id.Previous {
		keys = append(keys, ed25519.NewKeyFromSeed(k.Key))
	}
	return keys
}

func (id *Identity) clone() Identity {
	c := *id
	c.Key = slices.Clone(id.Key)
	c.Previous = slices.Clone(id.Previous)
	return c
}

// encode sets Format and Sum.
func (id *Identity) encode() ([]byte, error) {
	id.Format, id.Sum = identityFormat, ""
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode identity: %w", err)
	}
	sum := sha256.Sum256(b)
	id.Sum = hex.EncodeToString(sum[:8])
	b, err = json.MarshalIndent(id, "", "  ")
	return append(b, '\n'), err
}

// decodeIdentity reads exactly what encode wrote.
func decodeIdentity(b []byte) (Identity, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	if version.Format != identityFormat {
		return Identity{}, fmt.Errorf("%w: it has version %d and this build reads version %d", ErrFormat, version.Format, identityFormat)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	again := id.clone()
	if canonical, err := again.encode(); err != nil || !bytes.Equal(canonical, b) {
		return Identity{}, fmt.Errorf("%w: it was damaged or edited: its sum is wrong", chain.ErrCorrupt)
	}
	return id, id.validate()
}

func (id *Identity) validate() error {
	if err := errors.Join(chain.CheckName(id.Name), chain.CheckName(id.Authority)); err != nil {
		return fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	if len(id.Key) != ed25519.SeedSize || chain.OriginOf(id.private().Public().(ed25519.PublicKey)) != id.Origin {
		return fmt.Errorf("%w: its key is not that of origin %s", chain.ErrCorrupt, id.Origin)
	}
	for _, k := range id.Previous {
		if len(k.Key) != ed25519.SeedSize {
			return fmt.Errorf("%w: the former key of origin %s has %d bytes", chain.ErrCorrupt, k.Origin, len(k.Key))
		}
	}
	return nil
}

// record writes the identity with the place where it then is.
func (d *Dir) record(id *Identity) error {
	return d.write(id, func(file string) (err error) {
		id.Place, err = d.whereabouts(file)
		return err
	})
}

// rewrite writes the identity. Only an unchanged one is recorded where it now
// is; of a copy the place is forgotten, so that it goes on to count as one.
func (d *Dir) rewrite(id *Identity) error {
	if d.unchanged {
		return d.record(id)
	}
	id.Place = Place{}
	return d.write(id, func(string) error { return nil })
}

// write replaces identity.json. place is told the temporary file, whose inode
// the rename keeps.
func (d *Dir) write(id *Identity, place func(file string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("data directory %s: write identity: %w", d.path, err)
		}
	}()
	return replaceFile(d.files, filepath.Join(d.path, identityFile), func(temp string) ([]byte, error) {
		if err := place(temp); err != nil {
			return nil, err
		}
		return id.encode()
	})
}

// whereabouts tells where the directory and a file in it are now.
func (d *Dir) whereabouts(file string) (p Place, err error) {
	p.Machine = machineID()
	if p.DirInode, err = inode(d.path); err != nil {
		return p, err
	}
	if p.FileInode, err = inode(file); err != nil {
		return p, err
	}
	p.DirBorn, p.FileBorn = born(d.path), born(file)
	lock := filepath.Join(d.path, dbDir, "LOCK")
	p.StoreInode, err = inode(lock)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil // there is no store, or a copy of one without its lock
	}
	p.StoreBorn = born(lock)
	return p, err
}

// machineID is a hash of the system's own, which is not to be handed around;
// see machine-id(5).
func machineID() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(file); err == nil && len(bytes.TrimSpace(b)) > 0 {
			mac := hmac.New(sha256.New, bytes.TrimSpace(b))
			mac.Write([]byte("tidings data directory"))
			return hex.EncodeToString(mac.Sum(nil)[:16])
		}
	}
	return ""
}

// whole is a time that JSON keeps as it is.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	return t.UTC().Truncate(time.Millisecond)
}
