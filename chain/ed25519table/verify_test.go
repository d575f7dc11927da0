package ed25519table

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// same holds a signature against crypto/ed25519, and returns what that says.
func same(t require.TestingT, key, message, sig []byte) bool {
	return sameBy(t, expandKey(key), key, message, sig)
}

// sameBy is same with the key's table, nil for what is no key.
func sameBy(t require.TestingT, table *table, key, message, sig []byte) bool {
	want := ed25519.Verify(key, message, sig)
	if table != nil {
		require.Equal(t, want, table.verify(key, message, sig), "key %x message %x sig %x", key, message, sig)
	} else {
		require.False(t, want, "key %x", key)
	}
	require.Equal(t, want, Verify(key, message, sig))
	return want
}

func unhex(t require.TestingT, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// testKey is a private key of its own for each name.
func testKey(name string) ed25519.PrivateKey {
	sum := sha512.Sum512([]byte(name))
	return ed25519.NewKeyFromSeed(sum[:ed25519.SeedSize])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// RFC 8032, section 7.1.
func TestVectorsOfTheRFC(t *testing.T) {
	for _, v := range []struct{ name, key, message, sig string }{
		{
			"1", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"2", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		},
		{
			"3", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
		{
			"SHA(abc)", "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
			"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
			"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
		},
	} {
		require.True(t, same(t, unhex(t, v.key), unhex(t, v.message), unhex(t, v.sig)), v.name)
	}
}

// What honest keys sign is good, and no longer with any one bit of it changed.
func TestAnyFlippedBit(t *testing.T) {
	key, message := testKey("bits"), bytes.Repeat([]byte{7}, 71)
	sig := ed25519.Sign(key, message)
	table := expandKey(public(key))
	require.True(t, table.verify(public(key), message, sig))
	for i := range 8 * (len(message) + len(sig)) {
		both := append(bytes.Clone(message), sig...)
		both[i/8] ^= 1 << (i % 8)
		m, s := both[:len(message)], both[len(message):]
		require.False(t, table.verify(public(key), m, s), i)
	}
	for i := range 8 * ed25519.PublicKeySize {
		other := bytes.Clone(public(key))
		other[i/8] ^= 1 << (i % 8)
		require.False(t, same(t, other, message, sig), i)
	}
}

func TestMessagesOfAnyLength(t *testing.T) {
	key := testKey("lengths")
	table := expandKey(public(key))
	for n := range 300 {
		message := bytes.Repeat([]byte{byte(n)}, n)
		require.True(t, sameBy(t, table, public(key), message, ed25519.Sign(key, message)), n)
	}
}

func TestSignaturesOfWrongLength(t *testing.T) {
	key, message := testKey("length"), []byte("m")
	sig := ed25519.Sign(key, message)
	require.True(t, same(t, public(key), message, sig))
	for _, wrong := range [][]byte{nil, {}, sig[:1], sig[:32], sig[:63], append(bytes.Clone(sig), 0), append(bytes.Clone(sig), sig...)} {
		require.False(t, same(t, public(key), message, wrong), len(wrong))
	}
}

func TestKeysOfWrongLengthPanicAsThere(t *testing.T) {
	key, message := public(testKey("length")), []byte("m")
	sig := ed25519.Sign(testKey("length"), message)
	told := func(verify func(ed25519.PublicKey, []byte, []byte) bool, key []byte) (said any) {
		defer func() { said = recover() }()
		verify(key, message, sig)
		return nil
	}
	for _, wrong := range [][]byte{nil, key[:31], append(bytes.Clone(key), 0)} {
		want := told(ed25519.Verify, wrong)
		require.NotNil(t, want)
		require.Equal(t, want, told(Verify, wrong))
	}
}

// little is an integer of 32 bytes, the least first: its lowest byte, those
// between, and its highest.
func little(low, between, high byte) []byte {
	b := bytes.Repeat([]byte{between}, 32)
	b[0], b[31] = low, high
	return b
}

// order is that of the group, 2^252 + 27742317777372353535851937790883648493.
var order = [32]byte{
	0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
	31: 0x10,
}

// plusOrder is s + by * order, as far as it fits.
func plusOrder(s []byte, by int) []byte {
	out, carry := make([]byte, 32), 0
	for i := range out {
		carry += int(s[i]) + by*int(order[i])
		out[i] = byte(carry)
		carry >>= 8
	}
	return out
}

// S is below the order of the group, or the signature is bad, although the
// equation holds.
func TestSAboveTheOrder(t *testing.T) {
	key, message := testKey("s"), []byte("m")
	sig := ed25519.Sign(key, message)
	require.True(t, same(t, public(key), message, sig))
	for by := 1; by <= 15; by++ {
		more := append(bytes.Clone(sig[:32]), plusOrder(sig[32:], by)...)
		require.False(t, same(t, public(key), message, more), by)
	}
	for _, s := range [][]byte{order[:], plusOrder(little(1, 0, 0), 1), little(0xff, 0xff, 0xff), little(0xff, 0xff, 0x1f), little(0, 0, 0x20)} {
		require.False(t, same(t, public(key), message, append(bytes.Clone(sig[:32]), s...)), "%x", s)
	}
}

// smallOrder are the eight points whose order divides 8.
func smallOrder(t require.TestingT) []*edwards25519.Point {
	first, err := new(edwards25519.Point).SetBytes(unhex(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
	require.NoError(t, err)
	points := []*edwards25519.Point{edwards25519.NewIdentityPoint()}
	for len(points) < 8 {
		points = append(points, new(edwards25519.Point).Add(points[len(points)-1], first))
	}
	require.Zero(t, points[4].Equal(points[0]), "it has order 8")
	require.Equal(t, 1, new(edwards25519.Point).Add(points[7], first).Equal(points[0]))
	return points
}

// strange are encodings of points of small order, and all that decode to a
// point and are not canonical: y is not below p, or x is 0 and called negative.
func strange(t require.TestingT) [][]byte {
	var all [][]byte
	for _, p := range smallOrder(t) {
		all = append(all, p.Bytes())
	}
	for low := 0xed; low <= 0xff; low++ { // p = 2^255 - 19
		for _, high := range []byte{0x7f, 0xff} {
			b := little(byte(low), 0xff, high)
			if p, err := new(edwards25519.Point).SetBytes(b); err == nil {
				require.NotEqual(t, b, p.Bytes())
				all = append(all, b)
			}
		}
	}
	all = append(all, little(1, 0, 0x80), little(0xec, 0xff, 0xff))
	require.Len(t, all, 8+26, "of \"It's 255:19AM. Do you know what your validation criteria are?\"")
	return all
}

// Keys of small order and keys in other than their canonical encoding, with
// every R of that kind: what ZIP 215 accepts all of. Here some are accepted,
// since nothing is multiplied by the cofactor.
func TestStrangeEncodings(t *testing.T) {
	accepted := 0
	for _, key := range strange(t) {
		table := expandKey(key)
		require.NotNil(t, table)
		for _, r := range strange(t) {
			for _, s := range [][]byte{little(0, 0, 0), little(1, 0, 0)} {
				for _, message := range []string{"Zcash", "a"} {
					if sameBy(t, table, key, []byte(message), append(bytes.Clone(r), s...)) {
						accepted++
					}
				}
			}
		}
	}
	require.NotZero(t, accepted)
	for _, undecodable := range [][]byte{little(2, 0, 0), little(2, 0, 0x80), little(0xef, 0xff, 0x7f)} {
		_, err := new(edwards25519.Point).SetBytes(undecodable)
		require.Error(t, err)
		require.False(t, same(t, undecodable, []byte("a"), make([]byte, 64)))
	}
}

func scalar(t require.TestingT, seed ...any) *edwards25519.Scalar {
	sum := sha512.Sum512(fmt.Append(nil, seed...))
	s, err := edwards25519.NewScalar().SetUniformBytes(sum[:])
	require.NoError(t, err)
	return s
}

// forged is a signature for whoever knows the scalar a and chooses what else
// the key, aB + keyTorsion, and R, rB + rTorsion, are made of, with a message.
// The cofactored equation holds for all of them.
func forged(t require.TestingT, a, r *edwards25519.Scalar, keyTorsion, rTorsion *edwards25519.Point, message []byte) (key, sig []byte) {
	sum := func(s *edwards25519.Scalar, p *edwards25519.Point) []byte {
		q := new(edwards25519.Point).ScalarBaseMult(s)
		return q.Add(q, p).Bytes()
	}
	key, sig = sum(a, keyTorsion), sum(r, rTorsion)
	h := sha512.Sum512(append(append(bytes.Clone(sig), key...), message...))
	k, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	require.NoError(t, err)
	return key, append(sig, edwards25519.NewScalar().MultiplyAdd(k, a, r).Bytes()...)
}

// Keys and R of mixed order: whether a signature is good turns on k modulo 8,
// for which k has to be taken below the order of the group, as everywhere.
func TestMixedOrder(t *testing.T) {
	zero := edwards25519.NewScalar()
	accepted, refused := map[string]int{}, map[string]int{}
	for i, keyTorsion := range smallOrder(t) {
		for j, rTorsion := range smallOrder(t) {
			for n := range 3 {
				a, r := scalar(t, "a", i, j, n), scalar(t, "r", i, j, n)
				for kind, scalars := range map[string][2]*edwards25519.Scalar{
					"a and r": {a, r}, "small key": {zero, r}, "small R": {a, zero}, "S = 0": {zero, zero},
				} {
					key, sig := forged(t, scalars[0], scalars[1], keyTorsion, rTorsion, []byte{byte(n)})
					if same(t, key, []byte{byte(n)}, sig) {
						accepted[kind]++
					} else {
						refused[kind]++
					}
				}
			}
		}
	}
	for _, kind := range []string{"a and r", "small key", "small R", "S = 0"} {
		require.NotZero(t, accepted[kind], kind)
		require.NotZero(t, refused[kind], kind)
	}
}

func TestSameAsStandard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		message := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "message")
		sig := ed25519.Sign(key, message)
		table := expandKey(public(key))
		require.True(t, sameBy(t, table, public(key), message, sig))
		sig[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.False(t, sameBy(t, table, public(key), message, sig))
	})
}

// FuzzVerify takes a key, a message and a signature as they come.
func FuzzVerify(f *testing.F) {
	key := testKey("fuzz")
	f.Add([]byte(public(key)), []byte("message"), ed25519.Sign(key, []byte("message")))
	for i, b := range strange(f) {
		f.Add(b, []byte{byte(i)}, append(bytes.Clone(b), make([]byte, 32)...))
	}
	f.Add(bytes.Repeat([]byte{0xff}, 32), []byte{}, bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, key, message, sig []byte) {
		if len(key) == ed25519.PublicKeySize {
			same(t, key, message, sig)
		}
	})
}

// FuzzForged takes what a signature that almost holds is made of: points of
// small order in the key and in R, how often the order is added to S, and which
// bit is flipped at the end, if any.
func FuzzForged(f *testing.F) {
	for i := range 16 {
		f.Add([]byte{byte(i)}, []byte("message"), uint8(i), uint8(i/2), uint8(i/8), uint16(900*i))
	}
	f.Fuzz(func(t *testing.T, seed, message []byte, keyTorsion, rTorsion, orders uint8, flip uint16) {
		points := smallOrder(t)
		a, r := scalar(t, "a", seed), scalar(t, "r", seed)
		if keyTorsion&8 != 0 {
			a = edwards25519.NewScalar()
		}
		if rTorsion&8 != 0 {
			r = edwards25519.NewScalar()
		}
		key, sig := forged(t, a, r, points[keyTorsion%8], points[rTorsion%8], message)
		copy(sig[32:], plusOrder(sig[32:], int(orders%4)))
		all := append(bytes.Clone(key), sig...)
		if i := int(flip); i < 8*len(all) {
			all[i/8] ^= 1 << (i % 8)
		}
		good := same(t, all[:32], message, all[32:])
		if keyTorsion%8 == 0 && rTorsion%8 == 0 && orders%4 == 0 && int(flip) >= 8*len(all) {
			require.True(t, good)
		}
	})
}

// In FIPS mode nothing is verified here. The mode is set when a process starts,
// so the test runs itself in one.
func TestFIPSModeHasNoTables(t *testing.T) {
	const child = "TIDINGS_TEST_FIPS"
	if os.Getenv(child) != "" {
		key := testKey("fips")
		sig := ed25519.Sign(key, nil)
		for range 2 * earnedBy {
			require.True(t, Verify(public(key), nil, sig))
		}
		fmt.Println("tables:", len(*shared.byKey.Load()))
		return
	}
	for mode, want := range map[string]string{"off": "tables: 1\n", "on": "tables: 0\n"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFIPSModeHasNoTables$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), want, mode)
	}
}

func TestVerifyAllocatesNothing(t *testing.T) {
	key, message := testKey("allocations"), make([]byte, 71)
	sig := ed25519.Sign(key, message)
	tables := newTables(1)
	verify := func() { require.True(t, tables.verify(public(key), message, sig)) }
	for range earnedBy {
		verify()
	}
	require.NotNil(t, (*tables.byKey.Load())[publicKey(public(key))])
	pub := public(key)
	good := true
	require.Zero(t, testing.AllocsPerRun(100, func() { good = tables.verify(pub, message, sig) && good }))
	require.True(t, good)
	wrong := bytes.Clone(sig)
	wrong[0]++
	require.Zero(t, testing.AllocsPerRun(100, func() { good = tables.verify(pub, message, wrong) }))
	require.False(t, good)
	long := make([]byte, 1<<16)
	sig = ed25519.Sign(key, long)
	require.Zero(t, testing.AllocsPerRun(100, func() { good = tables.verify(pub, long, sig) }))
	require.True(t, good)
}
