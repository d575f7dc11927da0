package chain

import "sync/atomic"

// recent are the updates that were applied last, for consumers who are up to
// date: what these are shown next is read from here and not from the store.
// The lock of its archive protects it. There is nothing in it while nobody reads
// the feed.
type recent struct {
	chains map[Origin][]*Update // each without a gap, ascending
	order  []*Update            // as they were applied
	size   int                  // in bytes
	unread atomic.Int64         // batches since the feed was read last
}

const (
	recentBytes    = 1 << 20
	recentOverhead = 512 // of an update, in bytes, beside its delta
	// recentUnread is after how many batches that nobody read there is no consumer.
	recentUnread = 64
)

func newRecent() *recent {
	r := &recent{chains: map[Origin][]*Update{}}
	r.unread.Store(recentUnread)
	return r
}

// published takes in what a batch did.
func (r *recent) published(e *Effects) {
	if len(e.Frozen) > 0 || r.unread.Add(1) > recentUnread {
		clear(r.chains)
		r.order, r.size = nil, 0
		return
	}
	bytes := 0
	for _, u := range e.Applied {
		bytes += len(u.Delta)
	}
	// The updates are the archive's from here on. Their deltas are copied, for each
	// may be a small part of the frame that it came in.
	deltas := make([]byte, 0, bytes)
	for _, u := range e.Applied {
		from := len(deltas)
		deltas = append(deltas, u.Delta...)
		u.Delta, u.Prev = deltas[from:len(deltas):len(deltas)], Hash{}
		r.add(u)
	}
	for r.size > recentBytes {
		r.drop()
	}
}

func (r *recent) add(u *Update) {
	window := r.chains[u.ID.Origin]
	if n := len(window); n > 0 && window[n-1].ID.Seq+1 != u.ID.Seq {
		window = nil
	}
	r.chains[u.ID.Origin] = append(window, u)
	r.order = append(r.order, u)
	r.size += recentOverhead + len(u.Delta)
}

// drop forgets the oldest update. Readers may hold the window that it is taken from.
func (r *recent) drop() {
	u := r.order[0]
	r.order = r.order[1:]
	r.size -= recentOverhead + len(u.Delta)
	switch window := r.chains[u.ID.Origin]; {
	case len(window) == 0 || window[0] != u:
	case len(window) == 1:
		delete(r.chains, u.ID.Origin)
	default:
		r.chains[u.ID.Origin] = window[1:]
	}
}

// window returns the updates of a chain from one seq to another, both included,
// nil if one of them is not here.
func (r *recent) window(o Origin, from, to Seq) []*Update {
	window := r.chains[o]
	if len(window) == 0 || from < window[0].ID.Seq || to > window[len(window)-1].ID.Seq {
		return nil
	}
	first := window[0].ID.Seq
	return window[from-first : to-first+1 : to-first+1]
}

// recently is recent.window of what is published.
func (a *Archive) recently(o Origin, from, to Seq) []*Update {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.recent.window(o, from, to)
}
