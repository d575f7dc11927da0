package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func meshkeyLine(fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, meshKeySize))
}

func TestParseMeshKeys(t *testing.T) {
	a, b := meshkeyLine(1), meshkeyLine(2)
	many := ""
	for i := range maxMeshKeys + 1 {
		many += meshkeyLine(byte(i)) + "\n"
	}
	for _, tc := range []struct {
		name, text string
		keys       []byte // fill of each
		wrong      string
	}{
		{"one", a + "\n", []byte{1}, ""},
		{"without a last line break", a, []byte{1}, ""},
		{"two, comments, blanks, CRLF", "# old last\r\n\r\n  " + b + "  \r\n#" + a + "\n\t" + a + "\r\n", []byte{2, 1}, ""},
		{"empty", "", nil, "k: no key in it"},
		{"comments only", "# nothing\n", nil, "k: no key in it"},
		{"not base64", a + "\nhello\n", nil, "k, line 2: want base64 of 32 bytes"},
		{"31 bytes", base64.StdEncoding.EncodeToString(make([]byte, 31)), nil, "k, line 1: want base64 of 32 bytes"},
		{"33 bytes", base64.StdEncoding.EncodeToString(make([]byte, 33)), nil, "k, line 1: want base64 of 32 bytes"},
		{"unpadded", strings.TrimRight(a, "="), nil, "k, line 1: want base64"},
		{"line break inside", a[:10] + "\r" + a[10:], nil, "k, line 1: want base64"},
		{"last bits set", a[:len(a)-2] + "F=", nil, "k, line 1: want base64"},
		{"the same twice", a + "\n" + b + "\n" + a, nil, "k, line 3: the key of line 1 again"},
		{"too many", many, nil, fmt.Sprintf("k, line %d: over %d keys", maxMeshKeys+1, maxMeshKeys)},
		{"too long", strings.Repeat("#\n", maxMeshKeyFile), nil, "k: over"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseMeshKeys([]byte(tc.text), "k")
			if tc.wrong != "" {
				require.ErrorIs(t, err, ErrMeshKey)
				require.ErrorContains(t, err, tc.wrong)
				require.True(t, got.IsZero())
				return
			}
			require.NoError(t, err)
			require.Len(t, got.keys, len(tc.keys))
			for i, fill := range tc.keys {
				require.Equal(t, bytes.Repeat([]byte{fill}, meshKeySize), got.keys[i][:])
			}
		})
	}
}

func TestMeshKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh.key")
	ring := NewMeshKey()
	require.NoError(t, WriteMeshKeys(path, ring))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	got, err := LoadMeshKeys(path)
	require.NoError(t, err)
	require.Equal(t, ring, got)

	require.ErrorIs(t, WriteMeshKeys(path, NewMeshKey()), fs.ErrExist)
	got, err = LoadMeshKeys(path)
	require.NoError(t, err)
	require.Equal(t, ring, got, "a file that exists is left alone")

	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = LoadMeshKeys(path)
		require.ErrorIs(t, err, ErrMeshKey)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "chmod 600")
	}
	_, err = LoadMeshKeys(filepath.Dir(path))
	require.ErrorContains(t, err, "not a regular file")
	_, err = LoadMeshKeys(path + ".none")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A ring that is logged or printed by mistake must not tell its keys.
func TestMeshKeysDoNotPrint(t *testing.T) {
	ring := NewMeshKey()
	secret := strings.TrimSpace(string(ring.Text()))
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "ring", ring)
	fmt.Fprintf(&out, "%v %+v %#v %s", ring, ring, ring, ring)
	require.NotContains(t, out.String(), secret)
	require.NotContains(t, out.String(), fmt.Sprint(ring.keys[0][0], ring.keys[0][1], ring.keys[0][2]))
	require.Contains(t, out.String(), "1 mesh key")
}

func TestMeshProof(t *testing.T) {
	prover := func(text string) *meshProver {
		ring := MeshKeys{}
		if text != "" {
			var err error
			ring, err = ParseMeshKeys([]byte(text), "k")
			require.NoError(t, err)
		}
		p, err := newMeshProver(ring)
		require.NoError(t, err)
		return p
	}
	a, b := meshkeyLine(1), meshkeyLine(2)
	for _, tc := range []struct {
		name, proves, checks, wrong string
	}{
		{"the same", a, a, ""},
		{"none on both", "", "", ""},
		{"another", a, b, "the peer has another mesh key"},
		{"rotation, told of the new one", a, b + "\n" + a, ""},
		{"rotation, first with the new one", b + "\n" + a, a + "\n" + b, ""},
		{"second of the ring is not proved", a + "\n" + b, b, "the peer has another mesh key"},
		{"only one has", a, "", "the peer has a mesh key, this node has none"},
		{"only the other has", "", a, "the peer has no mesh key, this node has one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			proves, checks := prover(tc.proves), prover(tc.checks)
			session := bytes.Repeat([]byte{7}, exporterSize)
			proof := proves.prove(roleDialer, session)
			require.Equal(t, tc.wrong, checks.check(roleDialer, session, proof))
			require.NotEmpty(t, checks.check(roleAcceptor, session, proof), "sent back")
			other := bytes.Repeat([]byte{8}, exporterSize)
			require.NotEmpty(t, checks.check(roleDialer, other, proof), "in another session")
		})
	}
}

func FuzzParseMeshKeys(f *testing.F) {
	f.Add([]byte(meshkeyLine(1)))
	f.Add([]byte("# x\n" + meshkeyLine(1) + "\r\n" + meshkeyLine(2)))
	f.Add([]byte("\n\n\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := ParseMeshKeys(text, "k")
		if err != nil {
			if !errors.Is(err, ErrMeshKey) || !ring.IsZero() {
				t.Fatalf("ring %v with error %v", ring, err)
			}
			return
		}
		again, err := ParseMeshKeys(ring.Text(), "k")
		require.NoError(t, err)
		require.Equal(t, ring, again)
	})
}

func FuzzMeshProof(f *testing.F) {
	prover, err := newMeshProver(MeshKeys{keys: [][meshKeySize]byte{{1}, {2}}})
	require.NoError(f, err)
	good := prover.prove(roleDialer, []byte("session"))
	f.Add(good[:], []byte("session"))
	f.Add(make([]byte, proofSize), []byte{})
	f.Fuzz(func(t *testing.T, proof, session []byte) {
		if len(proof) != proofSize {
			return
		}
		accepted := prover.check(roleDialer, session, [proofSize]byte(proof)) == ""
		if honest := bytes.Equal(proof, good[:]) && string(session) == "session"; accepted != honest {
			t.Fatalf("proof %x of session %x: accepted %v", proof, session, accepted)
		}
	})
}
