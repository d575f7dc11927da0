package node

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
)

// What peers bring waits once there are so many bytes of it, in the order in
// which it came, and no longer than until the writer ends.
func TestIntakeIsBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIntake()
		quit := make(chan struct{})
		require.True(t, i.enter(2*intakeBytes, quit), "one is let in, however large")
		entered := make(chan string, 8)
		enter := func(name string, size int) {
			go func() {
				if i.enter(size, quit) {
					entered <- name
				}
			}()
			synctest.Wait()
		}
		enter("large", intakeBytes-10)
		enter("small", 10)
		require.Empty(t, entered)
		i.leave(2 * intakeBytes)
		synctest.Wait()
		require.Len(t, entered, 2)
		require.Equal(t, "large", <-entered)
		require.Equal(t, "small", <-entered)
		enter("too much", 1)
		close(quit)
		synctest.Wait()
		require.Empty(t, entered)
	})
}

// What the writer has answered for is let go.
func TestIntakeIsLeftOnceAnswered(t *testing.T) {
	cfg := Config{Name: "n"}
	cfg.setDefaults()
	n := newNode(cfg)
	for _, step := range n.steps() {
		require.NoError(t, step(t.Context()))
	}
	a := newAuthor(t, 1)
	take(t, n, a.publish(chain.Draft{Subject: "s", Delta: []byte(`{"a":1}`)}))
	require.Zero(t, n.intake.bytes)
	require.NoError(t, n.Close())
	refused := make(chan error, 1)
	books{n}.Accept(chain.Origin{}, a.publish(chain.Draft{Subject: "s", Delta: []byte(`{"a":2}`)}), false, func(_ []chain.Outcome, err error) { refused <- err })
	require.ErrorIs(t, <-refused, chain.ErrClosed)
	require.Zero(t, n.intake.bytes)
}
