package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// FreezeReason tells why a chain was stopped.
type FreezeReason uint8

const (
	// FreezeFork: its key signed two updates of one seq.
	FreezeFork FreezeReason = 1
	// FreezeInvalid: its key signed an update that breaks a rule.
	FreezeInvalid FreezeReason = 2
	// FreezeSeal: its key says that it ends there.
	FreezeSeal FreezeReason = 3
)

func (r FreezeReason) String() string {
	switch r {
	case FreezeFork:
		return "fork"
	case FreezeInvalid:
		return "invalid update"
	case FreezeSeal:
		return "sealed"
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Freeze stops a chain: nothing after a seq counts any more, and a dependency
// on what comes after counts as met. Of several freezes of one chain the lowest
// counts. A Freeze is not written to once it was verified.
type Freeze struct {
	Origin Origin
	After  Seq
	Reason FreezeReason
	Key    ed25519.PublicKey // of the chain
	Detail string            // what was found, for people; it is not sent
	// Proof is what shows it. For a fork, two encoded runs that begin right
	// after After with the same hash before them and with different updates,
	// the one whose first hash is lower first. For an invalid update, the run
	// that holds it. For a seal, the hash at After and the signature. A ledger
	// keeps it in its store only: see [Archive.Evidence].
	Proof [][]byte

	runs     []*Run // of Proof, once they were decoded
	verified bool
}

func (f *Freeze) String() string {
	return fmt.Sprintf("%s after seq %d: %s", f.Reason, f.After, f.Detail)
}

const (
	freezeVersion   = 2
	maxFreezeDetail = 1 << 10
	freezeOverhead  = 128

	// MaxFreeze bounds an encoded freeze, in bytes.
	MaxFreeze = 2*MaxRun + freezeOverhead

	freezeDomain = "tidings freeze seal 1\x00"
)

// SignSeal is the seal that ends a chain at a head, for good: its key says so.
func SignSeal(key ed25519.PrivateKey, h Head) *Freeze {
	signature := ed25519.Sign(key, freezeSealText(h))
	return &Freeze{
		Origin: h.Origin, After: h.Seq, Reason: FreezeSeal, Key: key.Public().(ed25519.PublicKey),
		Proof: [][]byte{h.Hash[:], signature},
	}
}

func freezeSealText(h Head) []byte {
	buf := append([]byte(freezeDomain), h.Origin[:]...)
	buf = appendUint64(buf, uint64(h.Seq))
	return append(buf, h.Hash[:]...)
}

// forkFreeze is the freeze that two branches show, which begin after one and
// the same update.
func forkFreeze(key ed25519.PublicKey, a, b *Run) *Freeze {
	if bytes.Compare(a.Entries[0].Hash[:], b.Entries[0].Hash[:]) > 0 {
		a, b = b, a
	}
	f := &Freeze{
		Origin: a.Origin, After: a.First - 1, Reason: FreezeFork, Key: key,
		Proof: [][]byte{a.Append(nil), b.Append(nil)}, runs: []*Run{a, b}, verified: true,
	}
	f.describe()
	return f
}

// describe says what the evidence shows, the same on every node.
func (f *Freeze) describe() {
	switch f.Reason {
	case FreezeFork:
		f.Detail = fmt.Sprintf("%s: seq %d was signed with hash %s and with %s", ErrFork, f.After+1,
			f.runs[0].Entries[0].Hash, f.runs[1].Entries[0].Hash)
	case FreezeSeal:
		f.Detail = "its own key ended it there"
	}
}

// kept is the freeze as it stays in memory.
func (f *Freeze) kept() *Freeze {
	return &Freeze{Origin: f.Origin, After: f.After, Reason: f.Reason, Key: slices.Clone(f.Key), Detail: f.Detail}
}

// Append appends the encoding of the freeze, which is what is sent.
func (f *Freeze) Append(dst []byte) []byte {
	dst = wire.AppendArray(dst, 5)
	dst = wire.AppendUint(dst, freezeVersion)
	dst = wire.AppendBin(dst, f.Key)
	dst = wire.AppendUint(dst, uint64(f.After))
	dst = wire.AppendUint(dst, uint64(f.Reason))
	dst = wire.AppendArray(dst, len(f.Proof))
	for _, b := range f.Proof {
		dst = wire.AppendBin(dst, b)
	}
	return dst
}

// DecodeFreeze reads one freeze that fills b, and keeps pointing into b. It
// checks the encoding and the bounds; Verify the rest.
func DecodeFreeze(b []byte) (*Freeze, error) {
	if len(b) > MaxFreeze {
		return nil, fmt.Errorf("freeze of %d bytes, at most %d: %w", len(b), MaxFreeze, ErrEncoding)
	}
	d := newDecoder(b)
	d.ArrayLen(5)
	if v := d.Uint(); d.Err() == nil && v != freezeVersion {
		d.Fail("freeze version %d", v)
	}
	f := &Freeze{Key: d.BinLen(ed25519.PublicKeySize)}
	f.Origin = OriginOf(f.Key)
	after, reason := d.Uint(), d.Uint()
	if after >= maxSeq || reason == 0 || reason > uint64(FreezeSeal) {
		d.Fail("freeze after seq %d for reason %d", after, reason)
	}
	f.After, f.Reason = Seq(after), FreezeReason(reason)
	f.decodeProof(&d)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("freeze: %w", err)
	}
	for _, b := range f.Proof {
		if f.Reason == FreezeSeal {
			break
		}
		r, err := DecodeRun(b)
		if err != nil {
			return nil, fmt.Errorf("evidence of freeze: %w", err)
		}
		f.runs = append(f.runs, r)
	}
	return f, nil
}

func (f *Freeze) decodeProof(d *decoder) {
	n := d.Array()
	var most []int
	switch {
	case d.Err() != nil:
	case f.Reason == FreezeFork && n == 2:
		most = []int{MaxRun, MaxRun}
	case f.Reason == FreezeInvalid && n == 1:
		most = []int{MaxRun}
	case f.Reason == FreezeSeal && n == 2:
		f.Proof = [][]byte{d.BinLen(len(Hash{})), d.BinLen(ed25519.SignatureSize)}
	default:
		d.Fail("%d items of evidence for reason %d", n, f.Reason)
	}
	for _, size := range most {
		f.Proof = append(f.Proof, d.Bin(size))
	}
}

// ErrEvidence is wrapped when the evidence of a freeze does not show it.
var ErrEvidence = errors.New("evidence does not show the freeze")

// Verify checks what the evidence shows by itself: for a fork and a seal,
// everything; of an invalid update the signature, for the rest takes its chain,
// and is looked at by AcceptFreeze. It reads nothing but the freeze.
func (f *Freeze) Verify() error {
	if len(f.Key) != ed25519.PublicKeySize || lowOrder(f.Key) || OriginOf(f.Key) != f.Origin {
		return fmt.Errorf("freeze of %s: %w", f.Origin, ErrKey)
	}
	if len(f.Proof) == 0 {
		return fmt.Errorf("freeze of %s: none: %w", f.Origin, ErrEvidence)
	}
	if f.Reason == FreezeSeal {
		h := Head{f.Origin, f.After, Hash(f.Proof[0])}
		if !ed25519.Verify(f.Key, freezeSealText(h), f.Proof[1]) {
			return fmt.Errorf("seal of %s after %d: %w", f.Origin, f.After, ErrSignature)
		}
	}
	for _, r := range f.runs {
		if r.Origin != f.Origin || r.First > f.After+1 || r.Last() <= f.After {
			return fmt.Errorf("freeze of %s after %d by a run of %s from %d to %d: %w", f.Origin, f.After, r.Origin, r.First, r.Last(), ErrEvidence)
		}
		if err := r.Verify(f.Key); err != nil {
			return fmt.Errorf("evidence of freeze: %w", err)
		}
	}
	if f.Reason == FreezeFork {
		a, b := f.runs[0], f.runs[1]
		if a.First != f.After+1 || b.First != a.First || a.Prev != b.Prev ||
			bytes.Compare(a.Entries[0].Hash[:], b.Entries[0].Hash[:]) >= 0 {
			return fmt.Errorf("fork of %s after %d: %w", f.Origin, f.After, ErrEvidence)
		}
	}
	f.describe()
	f.verified = true
	return nil
}

// before is the hash at After as the evidence tells it; false if it does not.
func (f *Freeze) before() (Hash, bool) {
	switch f.Reason {
	case FreezeFork:
		return f.runs[0].Prev, true
	case FreezeSeal:
		return Hash(f.Proof[0]), true
	}
	return Hash{}, false
}

// freezeTerm is what a freeze is in a root.
func freezeTerm(f *Freeze) [4]uint64 {
	buf := append([]byte("tidings freeze 1\x00"), f.Origin[:]...)
	return words(sha256.Sum256(appendUint64(buf, uint64(f.After))))
}

// appendFreeze writes a freeze as the store keeps it: with its detail.
func appendFreeze(dst []byte, f *Freeze) []byte {
	dst = wire.AppendArray(dst, 2)
	dst = wire.AppendBin(dst, []byte(f.Detail[:min(len(f.Detail), maxFreezeDetail)]))
	return wire.AppendBin(dst, f.Append(nil))
}

func decodeFreeze(o Origin, b []byte) (*Freeze, error) {
	d := newDecoder(b)
	d.ArrayLen(2)
	detail := string(d.Bin(maxFreezeDetail))
	sent := d.Bin(MaxFreeze)
	err := d.End()
	var f *Freeze
	if err == nil {
		f, err = DecodeFreeze(sent)
	}
	if err == nil && f.Origin != o {
		err = ErrKey
	}
	if err != nil {
		return nil, fmt.Errorf("freeze of %s: %w: %w", o, ErrCorrupt, err)
	}
	f.Detail = detail
	return f, nil
}
