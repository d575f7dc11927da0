package chain

import "crypto/ed25519"

// Seal is a signature over a chain's state up to a seq.
type Seal struct {
	Seq       Seq
	Signature [ed25519.SignatureSize]byte
}

// ChainUpdate is an update with the header that its hash covers, for whoever
// verifies a chain by hand: Hash = HashUpdate(Prev, Header, Delta).
type ChainUpdate struct {
	Update
	Header []byte
}
