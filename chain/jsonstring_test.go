package chain

import (
	"math/rand/v2"
	"testing"
)

// Each byte at each place of strings of all short lengths, alone and among others that are
// not plain either.
func TestPlainLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for length := range 26 {
		for range 40 {
			b := make([]byte, length)
			for i := range b {
				b[i] = 'a' + byte(i%26)
				if rng.IntN(16) == 0 {
					b[i] = byte(rng.Uint32())
				}
			}
			for at := range b {
				was := b[at]
				for c := range 256 {
					b[at] = byte(c)
					want := 0
					for want < len(b) && jsonPlain[b[want]] {
						want++
					}
					if got := jsonPlainLength(b); got != want {
						t.Fatalf("%d plain bytes in %q, not %d", got, b, want)
					}
					if got := jsonPlainLength(string(b)); got != want {
						t.Fatalf("%d plain bytes in the string %q, not %d", got, b, want)
					}
				}
				b[at] = was
			}
		}
	}
}
