package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// intruder holds a mesh key and a chain key of its own, and opens streams as
// STREAM.md has it, without the product's code: so it can break every rule.
type intruder struct {
	key    ed25519.PrivateKey
	origin chain.Origin
	secret []byte // that proves the mesh key
	tls    *tls.Config
	epoch  uint64
}

// meshSecret is what proves the mesh key of a file.
func meshSecret(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			key, err := base64.StdEncoding.DecodeString(line)
			require.NoError(t, err)
			secret, err := hkdf.Key(sha256.New, key, nil, "tidings stream proof v1", sha256.Size)
			require.NoError(t, err)
			return secret
		}
	}
	t.Fatalf("no key in %s", file)
	return nil
}

func newIntruder(secret []byte) *intruder {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		panic(err) // of constants and a good key
	}
	return &intruder{
		key: key, origin: chain.OriginOf(public), secret: secret, epoch: uint64(time.Now().UnixNano()),
		tls: &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{"tidings/1"}, InsecureSkipVerify: true, //nolint:gosec // the mesh key admits, not a certificate
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		},
	}
}

// errRefused says that a node does not want a stream now.
var errRefused = errors.New("refused")

// dial opens a stream and proves the mesh key.
func (h *intruder) dial(addr string) (*wire, error) {
	tcp, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(tcp, h.tls)
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if err := h.prove(conn); err != nil {
		tcp.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	peer, _ := conn.ConnectionState().PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	return &wire{conn: conn, peer: peer}, nil
}

func (h *intruder) prove(conn *tls.Conn) error {
	if err := conn.Handshake(); err != nil {
		return err
	}
	state := conn.ConnectionState()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-tidings-stream", nil, 32)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, h.secret)
	mac.Write(append([]byte("dialer"), exporter...))
	hello := bigendian.BigEndian.AppendUint64([]byte{1, 1}, h.epoch)
	if _, err := conn.Write(mac.Sum(hello)); err != nil {
		return err
	}
	var answer [43]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return fmt.Errorf("%w: verdict %d", errRefused, answer[1])
	}
	return nil
}

// wire is a stream whose every byte can be chosen.
type wire struct {
	conn *tls.Conn
	peer ed25519.PublicKey

	mu   sync.Mutex // protects seen
	seen [][]byte   // frames that came, as far as they are kept to be sent again
}

func (w *wire) close() { _ = w.conn.NetConn().Close() }

// raw writes bytes as they are.
func (w *wire) raw(b []byte) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := w.conn.Write(b)
	return err
}

// frames writes well-framed payloads in one go.
func (w *wire) frames(payloads ...[]byte) error {
	var b []byte
	for _, p := range payloads {
		b = append(bigendian.BigEndian.AppendUint32(b, uint32(len(p))), 0)
		b = append(b, p...)
	}
	return w.raw(b)
}

// send writes frames of the protocol.
func (w *wire) send(frames ...gossip.Frame) error {
	payloads := make([][]byte, len(frames))
	for i, f := range frames {
		payloads[i] = gossip.AppendFrame(nil, f)
	}
	return w.frames(payloads...)
}

// listen reads what comes, and keeps some of it, until the stream ends.
func (w *wire) listen() {
	for {
		var head [5]byte
		if _, err := io.ReadFull(w.conn, head[:]); err != nil {
			return
		}
		b := make([]byte, bigendian.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(w.conn, b); err != nil {
			return
		}
		w.mu.Lock()
		if head[4] == 0 && len(w.seen) < 64 {
			w.seen = append(w.seen, b)
		}
		w.mu.Unlock()
	}
}

func (w *wire) heard() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([][]byte(nil), w.seen...)
}

// forgery is a chain whose seals are good, whatever is in it.
type forgery struct {
	key  ed25519.PrivateKey
	tail *chain.Tail
}

func newForgery(key ed25519.PrivateKey) *forgery {
	return &forgery{key, &chain.Tail{Head: chain.Head{Origin: chain.OriginOf(key.Public().(ed25519.PublicKey))}}}
}

func (f *forgery) copy() *forgery { return &forgery{f.key, f.tail.Clone()} }

// genesis is the update that begins the chain.
func (f *forgery) genesis() *chain.Update {
	g := chain.Genesis{Key: f.key.Public().(ed25519.PublicKey), Node: "intruder", Authority: "intruder"}
	return &chain.Update{Kind: chain.KindGenesis, Delta: g.AppendBody(nil)}
}

// run seals updates, which follow on what was sealed before.
func (f *forgery) run(updates ...*chain.Update) *chain.Run {
	r := &chain.Run{Origin: f.tail.Origin, First: f.tail.Seq + 1, Prev: f.tail.Hash}
	for _, u := range updates {
		u.HLC, _ = f.tail.HLC.Next(time.Now().UnixMilli())
		r.Entries = append(r.Entries, f.tail.Extend(u))
	}
	r.Signature = chain.Sign(f.key, f.tail.Head)
	return r
}

func status(subject, delta string, deps ...chain.ID) *chain.Update {
	return &chain.Update{Kind: chain.KindStatus, Subject: subject, Delta: []byte(delta), Deps: deps}
}

func push(runs ...*chain.Run) *gossip.Push {
	f := &gossip.Push{AckWanted: true}
	for _, r := range runs {
		f.Runs = append(f.Runs, gossip.Run{Encoded: r.Append(nil)})
	}
	return f
}
