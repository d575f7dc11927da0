package gossip

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	meshKeySize = 32
	// maxMeshKeys is far above what a rotation needs (two), and bounds the
	// HMACs that one handshake of a stranger can cost.
	maxMeshKeys = 16
	// maxMeshKeyFile leaves room for comments.
	maxMeshKeyFile = 64 << 10
)

// MeshKeys is the ring of secrets that admits a node to a mesh. The first key
// is primary: it is the one that is proved and encrypted with; all of them are
// accepted. To rotate, add the new key below the old one on every node, then
// move it to the top on every node, then remove the old one.
//
// The zero value is the ring of a mesh without a key. A MeshKeys is immutable,
// may be copied, and never prints its keys.
type MeshKeys struct {
	keys [][meshKeySize]byte
}

// ErrMeshKey is wrapped by every failure to read mesh keys.
var ErrMeshKey = errors.New("bad mesh key file")

// IsZero reports whether the ring is empty: the mesh has no key.
func (k MeshKeys) IsZero() bool { return len(k.keys) == 0 }

func (k MeshKeys) String() string {
	switch len(k.keys) {
	case 0:
		return "no mesh key"
	case 1:
		return "1 mesh key"
	}
	return fmt.Sprintf("%d mesh keys", len(k.keys))
}

// GoString keeps %#v from printing the keys.
func (k MeshKeys) GoString() string { return "gossip.MeshKeys{" + k.String() + "}" }

// LogValue keeps a logger from printing the keys.
func (k MeshKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// NewMeshKey makes a ring of one random key.
func NewMeshKey() MeshKeys {
	var key [meshKeySize]byte
	rand.Read(key[:])
	return MeshKeys{keys: [][meshKeySize]byte{key}}
}

// Text is the content of a key file: a line of base64 for each key, the
// primary one first. It is the secret itself.
func (k MeshKeys) Text() []byte {
	var b bytes.Buffer
	for _, key := range k.keys {
		b.WriteString(base64.StdEncoding.EncodeToString(key[:]))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// WriteMeshKeys writes the ring to a new file that only its owner may read. A
// file that exists is left alone; the error then wraps fs.ErrExist.
func WriteMeshKeys(path string, k MeshKeys) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write mesh key file: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(fmt.Errorf("write mesh key file: %w", err), os.Remove(path))
		}
	}()
	if _, err := f.Write(k.Text()); err != nil {
		return err
	}
	return f.Sync()
}

// LoadMeshKeys reads a key file: base64 of 32 bytes a line, the first key is
// primary, blank lines and lines that begin with # are passed over. It refuses
// a file that group or others can read or write. Errors wrap ErrMeshKey and name
// the file and, where there is one, the line; they never repeat a key.
func LoadMeshKeys(path string) (MeshKeys, error) {
	// Looked at before it is opened, for to open a pipe waits for its writer,
	// and again once it is open, for the name may change its file meanwhile.
	info, err := os.Stat(path)
	if err != nil {
		return MeshKeys{}, fmt.Errorf("%w: %w", ErrMeshKey, err)
	}
	if !info.Mode().IsRegular() {
		return MeshKeys{}, fmt.Errorf("%w %s: not a regular file", ErrMeshKey, path)
	}
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return MeshKeys{}, fmt.Errorf("%w: %w", ErrMeshKey, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return MeshKeys{}, fmt.Errorf("%w: %w", ErrMeshKey, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return MeshKeys{}, fmt.Errorf("%w %s: mode %04o lets group or others at the secret; run: chmod 600 %s", ErrMeshKey, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMeshKeyFile+1))
	if err != nil {
		return MeshKeys{}, fmt.Errorf("%w %s: %w", ErrMeshKey, path, err)
	}
	return ParseMeshKeys(text, path)
}

// ParseMeshKeys reads the text of a key file; name is what errors call it.
func ParseMeshKeys(text []byte, name string) (MeshKeys, error) {
	if len(text) > maxMeshKeyFile {
		return MeshKeys{}, fmt.Errorf("%w %s: over %d bytes", ErrMeshKey, name, maxMeshKeyFile)
	}
	var k MeshKeys
	seen := make(map[[meshKeySize]byte]int)
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		// Strict: one text for one key, so that a typo in the last character's
		// unused bits is not passed over.
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != meshKeySize || strings.Contains(line, "\r") {
			return MeshKeys{}, fmt.Errorf("%w %s, line %d: want base64 of %d bytes", ErrMeshKey, name, i+1, meshKeySize)
		}
		key := [meshKeySize]byte(raw)
		if first, ok := seen[key]; ok {
			return MeshKeys{}, fmt.Errorf("%w %s, line %d: the key of line %d again", ErrMeshKey, name, i+1, first)
		}
		seen[key] = i + 1
		if len(k.keys) == maxMeshKeys {
			return MeshKeys{}, fmt.Errorf("%w %s, line %d: over %d keys", ErrMeshKey, name, i+1, maxMeshKeys)
		}
		k.keys = append(k.keys, key)
	}
	if k.IsZero() {
		return MeshKeys{}, fmt.Errorf("%w %s: no key in it", ErrMeshKey, name)
	}
	return k, nil
}
