package chain

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/tidings-mesh/tidings/chain/wire"
)

// Genesis is the content of seq 1 of every chain: who writes it. It is
// published together with the first status change.
type Genesis struct {
	Key         ed25519.PublicKey
	Node        string
	Authority   string
	Zone        string // empty for none
	Predecessor Origin // the chain that this node wrote before, zero for none
	Grant       []byte // what the authority was granted, empty for none; not interpreted here
}

const (
	genesisVersion = 1
	maxGrant       = 4 << 10
)

// Validate says what is wrong with a genesis.
func (g *Genesis) Validate() error {
	if len(g.Key) != ed25519.PublicKeySize || lowOrder(g.Key) {
		return ErrKey
	}
	for _, name := range []string{g.Node, g.Authority} {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	if g.Zone != "" {
		if err := CheckName(g.Zone); err != nil {
			return err
		}
	}
	if len(g.Grant) > maxGrant {
		return fmt.Errorf("grant of %d bytes, at most %d: %w", len(g.Grant), maxGrant, ErrEncoding)
	}
	return nil
}

// AppendBody appends the body of the genesis.
func (g *Genesis) AppendBody(dst []byte) []byte {
	dst = wire.AppendArray(dst, 7)
	dst = wire.AppendUint(dst, genesisVersion)
	dst = wire.AppendBin(dst, g.Key)
	dst = wire.AppendBin(dst, []byte(g.Node))
	dst = wire.AppendBin(dst, []byte(g.Authority))
	dst = wire.AppendBin(dst, []byte(g.Zone))
	if g.Predecessor.IsZero() {
		dst = wire.AppendBin(dst, nil)
	} else {
		dst = wire.AppendBin(dst, g.Predecessor[:])
	}
	return wire.AppendBin(dst, g.Grant)
}

// DecodeGenesis reads the body of a genesis.
func DecodeGenesis(body []byte) (*Genesis, error) {
	d := newDecoder(body)
	d.ArrayLen(7)
	if v := d.Uint(); d.Err() == nil && v != genesisVersion {
		d.Fail("genesis version %d, this build reads %d", v, genesisVersion)
	}
	g := &Genesis{Key: slices.Clone(d.BinLen(ed25519.PublicKeySize))}
	g.Node = string(d.Bin(MaxName))
	g.Authority = string(d.Bin(MaxName))
	g.Zone = string(d.Bin(MaxName))
	if p := d.Bin(len(g.Predecessor)); len(p) != 0 && (copy(g.Predecessor[:], p) != len(g.Predecessor) || g.Predecessor.IsZero()) {
		d.Fail("predecessor %x", p)
	}
	g.Grant = slices.Clone(d.Bin(maxGrant))
	if err := d.End(); err != nil {
		return nil, err
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	return g, nil
}

// lowOrder reports whether a public key is one of the points of small order,
// under which a signature can be good for any message. The y coordinates are
// those of RFC 7748's and libsodium's lists, in both signs.
func lowOrder(key ed25519.PublicKey) bool {
	k := [32]byte(key)
	k[31] &= 0x7f
	return slices.Contains(lowOrderPoints[:], k)
}

var lowOrderPoints = [...][32]byte{
	{}, // order 4
	{1},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	fieldPrime(-1), // p-1
	fieldPrime(0),  // p
	fieldPrime(1),  // p+1
}

// fieldPrime is 2^255 - 19 + by, little-endian.
func fieldPrime(by int) [32]byte {
	var k [32]byte
	for i := range k {
		k[i] = 0xff
	}
	k[31] = 0x7f
	k[0] = byte(0xed + by)
	return k
}
