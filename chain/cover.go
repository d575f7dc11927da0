package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
)

// Link is what the hash of an update is made of beside the hash before it,
// without the update's body.
type Link struct {
	Header []byte
	Body   Hash // SHA-256 of the body
}

// Hash is the hash of the update that follows prev.
func (k Link) Hash(prev Hash) Hash { return hashLink(prev, k.Header, k.Body) }

// Cover is the seal of a chain that was stopped within a run. What is good of
// that run has no seal of its own, since the run was signed at its end only.
type Cover struct {
	Links []Link // of the updates after the freeze, up to the seal; they count no more
	Seal  Seal
}

// Verify checks the seal for all of the chain up to a head, which is the last
// update before the links.
func (c *Cover) Verify(key ed25519.PublicKey, h Head) error {
	for _, k := range c.Links {
		h.Seq, h.Hash = h.Seq+1, k.Hash(h.Hash)
	}
	return VerifySeal(key, h, c.Seal.Signature)
}

// Cover returns the seal that covers the last received update of a chain that was
// stopped, nil where that has one of its own.
func (a *Archive) Cover(info ChainInfo) (*Cover, error) {
	end := info.Received
	if info.Frozen == nil || end.Seq < info.Frozen.After || end.Seq == 0 {
		return nil, nil
	}
	c := &Cover{}
	log := a.log(end.Origin, end.Seq, maxSeq)
	for id, r, ok := log.next(); ok; id, r, ok = log.next() {
		if id.Seq > end.Seq {
			c.Links = append(c.Links, Link{Header: r.header, Body: sha256.Sum256(r.body)})
		}
		if len(r.seal) > 0 {
			c.Seal = Seal{id.Seq, [ed25519.SignatureSize]byte(r.seal)}
			break
		}
	}
	if err := log.close(); err != nil || len(c.Links) == 0 || c.Seal.Seq == 0 {
		return nil, err
	}
	return c, nil
}
