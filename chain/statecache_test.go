package chain

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the cache takes a state to be is about what it is.
func TestStateMemory(t *testing.T) {
	const subjects = 600
	for _, c := range []struct {
		name    string
		delta   string
		length  int
		origins int
		updates int
		decoded bool
	}{
		{"one short path", `{"p":"%s"}`, 10, 1, 1, true},
		{"one path", `{"p":"%s"}`, 232, 1, 1, true},
		{"one long path", `{"p":"%s"}`, 1000, 1, 1, true},
		{"some paths", `{"a":1,"b":{"c":2,"d":"x"},"p":"%s"}`, 232, 1, 1, true},
		{"some paths, just written", `{"a":1,"b":{"c":2,"d":"x"},"p":"%s"}`, 232, 1, 5, false},
		{"points", `{"a":1,"b":{"c":2,"d":"x"},"p":"%s"}`, 232, 1, 200, false},
		{"origins", `{"p":"%s"}`, 232, 8, 24, true},
		{"origins, just written", `{"p":"%s"}`, 232, 8, 24, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := heapInUse()
			cache := newStateCache(1 << 30)
			for i := range subjects {
				s := NewState(fmt.Sprintf("order/%06d", i))
				for n := range c.updates {
					o := Origin{byte(n % c.origins)}
					u := &Update{
						ID: ID{o, Seq(n + 1)}, Kind: KindStatus, Subject: s.Subject(), HLC: HLC(n + 1),
						Delta: fmt.Appendf(nil, c.delta, fmt.Sprintf("%06d", n)+strings.Repeat("7", c.length-6)),
					}
					ctx, _, err := s.context(u, nil)
					require.NoError(t, err)
					_, err = s.Add(u, fmt.Sprint("authority-", n%c.origins), ctx)
					require.NoError(t, err)
				}
				encoded := s.Append(nil)
				if c.decoded {
					decoded, err := DecodeState(s.Subject(), encoded)
					require.NoError(t, err)
					s = decoded
				}
				cache.put(s, storedState{size: len(encoded)})
			}
			real := heapInUse() - before
			t.Logf("%d bytes, taken for %d", real/subjects, cache.size/subjects)
			require.InDelta(t, 1, float64(cache.size)/float64(real), 0.3)
			runtime.KeepAlive(cache)
		})
	}
}

func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Of subjects that are written in turn, and that are more than fit, some are found.
func TestStateCacheInTurns(t *testing.T) {
	const subjects = 1000
	states := make([]*State, subjects)
	for i := range states {
		states[i] = NewState(fmt.Sprintf("order/%d", i))
	}
	for _, c := range []struct {
		fit         int
		least, most float64 // of the subjects that are found
	}{
		{1000, 1, 1},
		{800, 0.55, 0.75},
		{500, 0.15, 0.3},
	} {
		cache := newStateCache(c.fit * states[0].memory(100))
		found := 0
		for i := range 20 * subjects {
			s := states[i%subjects]
			if kept, stored := cache.get(s.Subject()); kept != nil && i >= 10*subjects {
				require.Same(t, s, kept)
				require.Equal(t, 100, stored.size)
				found++
			}
			cache.put(s, storedState{size: 100})
			require.LessOrEqual(t, cache.size, cache.most)
			require.Equal(t, len(cache.entries), len(cache.places))
		}
		require.Len(t, cache.entries, c.fit)
		share := float64(found) / (10 * subjects)
		require.GreaterOrEqual(t, share, c.least)
		require.LessOrEqual(t, share, c.most)
	}
}

// What is larger than the cache is not kept, and what grows makes room.
func TestStateCacheOfLargeStates(t *testing.T) {
	cache := newStateCache(10 << 10)
	small, large := NewState("small"), NewState("large")
	cache.put(small, storedState{size: 100})
	cache.put(large, storedState{size: 1 << 10})
	cache.put(large, storedState{size: 20 << 10})
	kept, _ := cache.get("large")
	require.Nil(t, kept)
	kept, _ = cache.get("small")
	require.Same(t, small, kept)
	cache.put(large, storedState{size: 1 << 10})
	cache.put(large, storedState{size: 9 << 10})
	require.LessOrEqual(t, cache.size, 10<<10)
	cache.remove("small")
	cache.remove("large")
	require.Zero(t, cache.size)
	require.Empty(t, cache.places)
}

// A sweep lets go of what was not put since the last one.
func TestStateCacheSweep(t *testing.T) {
	cache := newStateCache(1 << 20)
	for i := range 10 {
		cache.put(NewState(fmt.Sprint(i)), storedState{size: 100})
	}
	cache.sweep()
	require.Len(t, cache.entries, 10)
	cache.put(NewState("3"), storedState{size: 100})
	cache.put(NewState("7"), storedState{size: 100})
	cache.sweep()
	require.Len(t, cache.entries, 2)
	for i := range 10 {
		kept, _ := cache.get(fmt.Sprint(i))
		require.Equal(t, i == 3 || i == 7, kept != nil)
	}
	cache.sweep()
	require.Empty(t, cache.entries)
	require.Zero(t, cache.size)
}
