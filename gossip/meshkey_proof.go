package gossip

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
)

// A proof shows that one end of a TLS session holds a mesh key:
//
//	HMAC-SHA256(HKDF-SHA256(key, salt "", info proofInfo), role ‖ exporter)
//
// The exporter is what both ends of this one session, and nobody else, compute
// from it (RFC 5705, RFC 8446 section 7.5), so a proof cannot be replayed or
// relayed; the role keeps it from being sent back to where it came from. The
// key says that a node may join. Who it is, only its certificate says.
const (
	proofSize     = sha256.Size
	proofInfo     = "tidings stream proof v1"
	exporterLabel = "EXPORTER-tidings-stream"
	exporterSize  = 32
)

// The role of the end that proves.
const (
	roleDialer   = "dialer"
	roleAcceptor = "acceptor"
)

// keylessRing proves that a node has no mesh key. It is public: its only use is
// that a node with a key and one without refuse each other with a clear reason.
var keylessRing = [meshKeySize]byte([]byte("tidings: a mesh without a key v1"))

// meshProver computes and checks proofs for one ring.
type meshProver struct {
	keyless bool
	keys    [][]byte // derived, the primary one first
	public  []byte   // derived from keylessRing
}

func newMeshProver(ring MeshKeys) (*meshProver, error) {
	derive := func(key [meshKeySize]byte) ([]byte, error) {
		return hkdf.Key(sha256.New, key[:], nil, proofInfo, sha256.Size)
	}
	public, err := derive(keylessRing)
	if err != nil {
		return nil, err
	}
	p := &meshProver{keyless: ring.IsZero(), public: public}
	if p.keyless {
		p.keys = [][]byte{public}
	}
	for _, key := range ring.keys {
		k, err := derive(key)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, k)
	}
	return p, nil
}

// prove gives the proof of the primary key.
func (p *meshProver) prove(role string, exporter []byte) [proofSize]byte {
	return meshMAC(p.keys[0], role, exporter)
}

// check says what is wrong with a peer's proof, or "" where nothing is.
func (p *meshProver) check(role string, exporter []byte, proof [proofSize]byte) string {
	for _, key := range p.keys {
		if mac := meshMAC(key, role, exporter); hmac.Equal(mac[:], proof[:]) {
			return ""
		}
	}
	if p.keyless {
		return "the peer has a mesh key, this node has none"
	}
	if mac := meshMAC(p.public, role, exporter); hmac.Equal(mac[:], proof[:]) {
		return "the peer has no mesh key, this node has one"
	}
	return "the peer has another mesh key"
}

func meshMAC(key []byte, role string, exporter []byte) [proofSize]byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(role))
	h.Write(exporter)
	return [proofSize]byte(h.Sum(nil))
}
