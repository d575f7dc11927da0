package ed25519table

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// Verify reports whether sig is a good signature of a message under a key: what
// crypto/ed25519.Verify reports, and like it, it panics for a key of a wrong
// length. It is safe for concurrent use.
//
// In FIPS 140-3 mode all goes to crypto/ed25519, which is in the validated
// module.
func Verify(key ed25519.PublicKey, message, sig []byte) bool {
	if fips140.Enabled() {
		return ed25519.Verify(key, message, sig)
	}
	return shared.verify(key, message, sig)
}

// verify is ed25519.Verify of the key whose table it is.
func (t *table) verify(key, message, sig []byte) bool {
	if len(sig) != ed25519.SignatureSize {
		return false
	}
	r, s := sig[:32], sig[32:]
	if _, err := new(edwards25519.Scalar).SetCanonicalBytes(s); err != nil {
		return false
	}
	h := sha512.New()
	h.Write(r)
	h.Write(key)
	h.Write(message)
	var sum [sha512.Size]byte
	// It fails for another length only.
	k, _ := new(edwards25519.Scalar).SetUniformBytes(h.Sum(sum[:0]))

	// [S]B = R + [k]A, so R = [k](-A) + [S]B.
	p := identity()
	t.addMultiple(&p, k.Bytes())
	base().addMultiple(&p, s)
	encoded := p.encode()
	return bytes.Equal(encoded[:], r)
}
