package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain/ed25519table"
	"github.com/tidings-mesh/tidings/chain/wire"
)

// Entry is one update as it travels and is kept: a header, whose times and
// deps are relative to its chain, and a body. FORMAT.md has the bytes.
type Entry struct {
	Header []byte
	Body   []byte
	// Hash is the update's hash. DecodeRun leaves it zero, Verify sets it.
	Hash Hash

	checked bool // Verify found the body of this status change to be in order
}

// Run is one to many consecutive updates of one chain under one signature. A
// signature over the last hash covers all that links to it, so a batch costs
// one. The encoding is canonical. A Run is not written to once it is made, but
// for the hashes that Verify sets, and the signature that [Effects.Seal] does.
type Run struct {
	Origin    Origin
	First     Seq
	Prev      Hash // of the update before First, zero before the genesis
	Entries   []Entry
	Signature [ed25519.SignatureSize]byte
}

// Last is the seq of the run's last update.
func (r *Run) Last() Seq { return r.First + Seq(len(r.Entries)) - 1 }

// Head is the end of the run. It is known once the run is verified.
func (r *Run) Head() Head {
	return Head{r.Origin, r.Last(), r.Entries[len(r.Entries)-1].Hash}
}

// Reasons for which a run is refused for what it is, whatever else is here.
var (
	ErrEncoding  = wire.ErrEncoding
	ErrSignature = errors.New("bad signature")
	ErrKey       = errors.New("bad key")
)

// The domains keep hashes and signatures of one purpose from serving another.
const (
	hashDomain = "tidings update 1\x00"
	sealDomain = "tidings seal 1\x00"
)

// HashUpdate is the hash of an update: of the hash before it, its header and
// the hash of its body, so that proofs need no bodies.
func HashUpdate(prev Hash, header, body []byte) Hash {
	return hashLink(prev, header, sha256.Sum256(body))
}

func hashLink(prev Hash, header []byte, bodyHash Hash) Hash {
	h := sha256.New()
	buf := make([]byte, 0, 256)
	buf = append(buf, hashDomain...)
	buf = append(buf, prev[:]...)
	buf = append(buf, header...)
	buf = append(buf, bodyHash[:]...)
	h.Write(buf)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// sealText is what a seal signs: one chain's state up to one update.
func sealText(h Head) []byte {
	buf := make([]byte, 0, len(sealDomain)+16+8+32)
	buf = append(buf, sealDomain...)
	buf = append(buf, h.Origin[:]...)
	buf = appendUint64(buf, uint64(h.Seq))
	return append(buf, h.Hash[:]...)
}

// Sign seals a head with its chain's key.
func Sign(key ed25519.PrivateKey, h Head) [ed25519.SignatureSize]byte {
	return [ed25519.SignatureSize]byte(ed25519.Sign(key, sealText(h)))
}

// VerifySeal checks the seal of a head, faster under keys that verify often: see
// ed25519table.
func VerifySeal(key ed25519.PublicKey, h Head, signature [ed25519.SignatureSize]byte) error {
	if !ed25519table.Verify(key, sealText(h), signature[:]) {
		return fmt.Errorf("seal of %s.%d: %w", h.Origin, h.Seq, ErrSignature)
	}
	return nil
}

// Verify links the run's updates, sets their hashes, and checks the signature
// over the last. The key is the chain's; for a run that begins with the
// genesis it may be nil, and is taken from there. It reads nothing but the
// run, so runs are verified side by side.
func (r *Run) Verify(key ed25519.PublicKey) error {
	if r.First == 1 {
		g, err := DecodeGenesis(r.Entries[0].Body)
		if err != nil {
			return fmt.Errorf("genesis of %s: %w", r.Origin, err)
		}
		key = g.Key
	}
	if len(key) != ed25519.PublicKeySize || OriginOf(key) != r.Origin {
		return fmt.Errorf("chain %s: %w", r.Origin, ErrKey)
	}
	prev := r.Prev
	for i := range r.Entries {
		e := &r.Entries[i]
		e.Hash = HashUpdate(prev, e.Header, e.Body)
		prev = e.Hash
	}
	if err := VerifySeal(key, r.Head(), r.Signature); err != nil {
		return err
	}
	// What is wrong inside a sealed run is for the ledger to say, which freezes
	// the chain for it. Only the work is done here, beside the writer.
	for i := range r.Entries {
		e := &r.Entries[i]
		e.checked = headerKind(e.Header) == KindStatus && CheckDelta(e.Body) == nil
	}
	return nil
}

// Join makes one run of runs of one chain that follow each other, under the last
// one's signature, which covers all of them. It leaves the links between them
// to Verify. It takes as many, of one at least, as fit into a run, and returns
// the rest.
func Join(runs []*Run) (joined *Run, rest []*Run) {
	first := runs[0]
	n, entries, size := 1, len(first.Entries), first.size()
	for n < len(runs) {
		r := runs[n]
		if r.Origin != first.Origin || r.First != runs[n-1].Last()+1 || size+r.size() > MaxRun {
			break
		}
		n, entries, size = n+1, entries+len(r.Entries), size+r.size()
	}
	if n == 1 {
		return first, runs[1:]
	}
	joined = &Run{Origin: first.Origin, First: first.First, Prev: first.Prev, Entries: make([]Entry, 0, entries), Signature: runs[n-1].Signature}
	for _, r := range runs[:n] {
		joined.Entries = append(joined.Entries, r.Entries...)
	}
	return joined, runs[n:]
}

// size bounds the run's encoding, in bytes.
func (r *Run) size() int {
	n := runOverhead
	for i := range r.Entries {
		n += entrySize(r.Entries[i])
	}
	return n
}

// headerKind is the kind that a header tells, if it tells one.
func headerKind(header []byte) Kind {
	d := newDecoder(header)
	d.Array()
	return Kind(d.Uint() >> formKind)
}

// Append appends the run's encoding.
func (r *Run) Append(dst []byte) []byte {
	dst = wire.AppendArray(dst, 5)
	dst = wire.AppendBin(dst, r.Origin[:])
	dst = wire.AppendUint(dst, uint64(r.First))
	dst = wire.AppendBin(dst, r.Prev[:])
	dst = wire.AppendBin(dst, r.Signature[:])
	dst = wire.AppendArray(dst, 2*len(r.Entries))
	for i := range r.Entries {
		dst = wire.AppendBin(dst, r.Entries[i].Header)
		dst = wire.AppendBin(dst, r.Entries[i].Body)
	}
	return dst
}

// DecodeRun reads one run that fills b. Its entries keep pointing into b. It
// checks the encoding and the bounds of the whole; Verify the rest.
func DecodeRun(b []byte) (*Run, error) {
	if len(b) > MaxRun {
		return nil, fmt.Errorf("run of %d bytes, at most %d: %w", len(b), MaxRun, ErrEncoding)
	}
	d := newDecoder(b)
	d.ArrayLen(5)
	r := &Run{}
	copy(r.Origin[:], d.BinLen(len(r.Origin)))
	r.First = Seq(d.Uint())
	copy(r.Prev[:], d.BinLen(len(r.Prev)))
	copy(r.Signature[:], d.BinLen(len(r.Signature)))
	n := d.Array()
	switch {
	case d.Err() != nil:
	case r.First == 0 || (r.First == 1) != r.Prev.IsZero():
		d.Fail("first seq %d with previous hash %s", r.First, r.Prev)
	case n == 0 || n%2 != 0 || n > d.Remaining()/2: // each takes two bytes at least
		d.Fail("%d items for entries", n)
	case uint64(r.First) > maxSeq-uint64(n/2):
		d.Fail("first seq %d", r.First)
	}
	if d.Err() == nil {
		r.Entries = make([]Entry, n/2)
		for i := range r.Entries {
			r.Entries[i] = Entry{Header: d.Bin(maxHeader), Body: d.Bin(MaxDelta)}
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	return r, nil
}

// maxSeq bounds seqs so that the next one, and a run's end, can be computed.
const maxSeq = 1<<63 - 1
