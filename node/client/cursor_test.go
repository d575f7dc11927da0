package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memory is a CursorStore that fails when told to.
type memory struct {
	cursor string
	saved  []string
	fails  error
}

func (m *memory) Load(context.Context) (string, error) { return m.cursor, m.fails }

func (m *memory) Save(ctx context.Context, cursor string) error {
	if err := errors.Join(ctx.Err(), m.fails); err != nil {
		return err
	}
	m.cursor = cursor
	m.saved = append(m.saved, cursor)
	return nil
}

// A cursor is kept once the consumer comes back for more, and not before.
func TestTheCursorIsKeptWhenABatchIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		s := w.script("a", batch("c1.A", false, updateText(2, 10, "s", `{}`)), batch("c1.B", false, updateText(3, 10, "s", `{}`)),
			batch("c1.B", true), after(time.Second, batch("c1.C", true)))
		m := &memory{}
		n := 0
		for b, err := range w.client(nil, "a").Changes(t.Context(), Keep(m), Since("now")) {
			require.NoError(t, err)
			want := []string{"", "c1.A", "c1.B", "c1.B"}[n]
			require.Equal(t, want, m.cursor, "while batch %s is dealt with", b.Cursor)
			if n++; n == 4 {
				break
			}
		}
		require.Equal(t, []string{"c1.A", "c1.B"}, m.saved, "the last batch was not said to be done with")
		require.Equal(t, "now", query(t, s.requests()[0]).Get("since"))

		// It goes on from there, also once the context has ended.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		again := w.script("b", batch("c1.D", false, updateText(4, 10, "s", `{}`)))
		for _, err := range w.client(nil, "b").Changes(ctx, Keep(m), Since("start")) {
			require.NoError(t, err)
			cancel()
		}
		require.Equal(t, "c1.B", query(t, again.requests()[0]).Get("since"))
		require.Equal(t, "c1.D", m.cursor)
	})
	for _, fails := range []bool{false, true} {
		inBubble(t, func(t *testing.T, w *web) { // Once ends after the first batch that is up to date, which is kept
			w.script("a", batch("c1.A", false), batch("c1.B", true, updateText(3, 10, "s", `{}`)), hangs)
			m := &memory{}
			for b, err := range w.client(nil, "a").Changes(t.Context(), Keep(m), Once()) {
				if m.fails != nil {
					require.ErrorIs(t, err, os.ErrPermission)
					require.ErrorContains(t, err, "save cursor")
					continue
				}
				require.NoError(t, err)
				if fails && b.Cursor == "c1.B" {
					m.fails = os.ErrPermission
				}
			}
			if fails {
				require.ErrorIs(t, failed(t.Context(), w.client(nil, "a"), Keep(m)), os.ErrPermission)
				return
			}
			require.Equal(t, "c1.B", m.cursor)
		})
	}
}

// A process that saves all the time is killed at any moment: the file holds one of
// its cursors whole, and none is older than one that was there before.
func TestCursorFileSurvivesKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place")
	f, last := CursorFile(path), 0
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHelperSaves$")
		cmd.Env = append(os.Environ(), "TIDINGS_TEST_SAVES="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(out, make([]byte, len(saving)))
		require.NoError(t, err)
		time.Sleep(rand.N(20 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		cursor, err := f.Load(t.Context())
		require.NoError(t, err)
		if cursor == "" {
			require.Zero(t, last)
			continue
		}
		var n int
		_, err = fmt.Sscanf(cursor, savedForm, &n)
		require.NoError(t, err, cursor)
		require.Equal(t, fmt.Sprintf(savedForm, n), cursor)
		require.GreaterOrEqual(t, n, last)
		last = n
	}
	require.Positive(t, last)
}

const savedForm = "c1.%d-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

// saving is what the process says before it begins.
const saving = "saving"

// TestHelperSaves is the process that TestCursorFileSurvivesKills kills.
func TestHelperSaves(t *testing.T) {
	path := os.Getenv("TIDINGS_TEST_SAVES")
	if path == "" {
		t.Skip("it is run by another test")
	}
	f, n := CursorFile(path), 0
	if cursor, err := f.Load(t.Context()); err == nil && cursor != "" {
		_, err = fmt.Sscanf(cursor, savedForm, &n)
		require.NoError(t, err)
	}
	fmt.Print(saving)
	for began := time.Now(); time.Since(began) < 10*time.Second; n++ {
		require.NoError(t, f.Save(t.Context(), fmt.Sprintf(savedForm, n)))
	}
}

func TestCursorFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "place")
	f, ctx := CursorFile(path), t.Context()
	load := func() string {
		cursor, err := f.Load(ctx)
		require.NoError(t, err)
		return cursor
	}
	require.Empty(t, load())
	require.NoError(t, f.Save(ctx, "c1.A"))
	require.Equal(t, "c1.A", load())
	require.NoError(t, f.Save(ctx, "c1.B"))
	require.Equal(t, "c1.B", load())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.Empty(t, load())

	// What would keep it from being saved is found before anything is delivered.
	absent := CursorFile(filepath.Join(dir, "absent", "place"))
	require.ErrorIs(t, absent.Save(ctx, "c1.A"), os.ErrNotExist)
	_, err = absent.Load(ctx)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = CursorFile("").Load(ctx)
	require.ErrorContains(t, err, "empty")
	for _, other := range []string{dir, os.DevNull} {
		_, err = CursorFile(other).Load(ctx)
		require.ErrorContains(t, err, "no regular file")
	}
	require.NoError(t, os.WriteFile(path, make([]byte, maxCursor+1), 0o600))
	_, err = f.Load(ctx)
	require.ErrorContains(t, err, "not a cursor")
}

// A cursor file that two consumers share would bring one of them past what it has not
// seen: who finds the other's place there does not write over it.
func TestACursorFileBelongsToOneConsumer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place")
	ctx := t.Context()
	one, other := CursorFile(path), CursorFile(path)
	load := func(s CursorStore) {
		t.Helper()
		_, err := s.Load(ctx)
		require.NoError(t, err)
	}
	load(one)
	load(other)
	require.NoError(t, one.Save(ctx, "c1.A"))
	require.ErrorContains(t, other.Save(ctx, "c1.B"), "changed by somebody else")
	require.NoError(t, one.Save(ctx, "c1.C"))
	load(other)
	require.NoError(t, other.Save(ctx, "c1.D"))
	require.ErrorContains(t, one.Save(ctx, "c1.E"), "changed by somebody else")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "c1.D\n", string(content))
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, other.Save(ctx, "c1.F"), "changed by somebody else")
	load(other)
	require.NoError(t, other.Save(ctx, "c1.G"))

	// What they write at the same time is still one of them, whole.
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s := CursorFile(path)
			for range 20 {
				_ = s.Save(ctx, fmt.Sprintf(savedForm, i)) // perhaps it finds another's
			}
		})
	}
	wg.Wait()
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, `^c1\.\d-x{80}\n$`, string(content))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// A saved cursor that a node refuses is told to be the saved one: nobody sees what a
// file holds.
func TestASavedCursorThatIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *web) {
		w.script("a", refuses(400, "bad_cursor"))
		err := failed(t.Context(), w.client(nil, "a"), Keep(&memory{cursor: "c1.half"}))
		require.ErrorIs(t, err, ErrBadCursor)
		require.ErrorContains(t, err, "saved cursor")
		err = failed(t.Context(), w.client(nil, "a"), Keep(&memory{}))
		require.ErrorIs(t, err, ErrBadCursor)
		require.NotContains(t, err.Error(), "saved cursor")
	})
}
