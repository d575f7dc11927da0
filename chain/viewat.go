package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// ViewAt is the state of a subject at a causal cut: the fold of its updates that
// are applied here and that the frontier covers, the same on every node that has
// them. What a freeze took back is not in it. A frontier that covers no update of
// the subject gives ErrNotFound; one that is not causally closed is taken as it
// is. It reads all updates of the subject, unless the cut is behind all of them;
// that is not remembered. While the writer is about to publish the state, it waits
// for that.
func (a *Archive) ViewAt(ctx context.Context, subject string, at Frontier) (*State, error) {
	s, err := a.View(ctx, subject)
	if err != nil || s.within(at) {
		return s, err
	}
	s, err = Rebuild(subject, nil, a.stitchedAt(ctx, subject, at), nil, nil)
	if err != nil {
		return nil, fmt.Errorf("view of %q at a cut: %w", clip(subject), err)
	}
	if s.Updates() == 0 {
		return nil, fmt.Errorf("subject %q at a cut: %w", clip(subject), ErrNotFound)
	}
	return s, nil
}

// stitchedAt are the applied updates of a subject that a frontier covers.
func (a *Archive) stitchedAt(ctx context.Context, subject string, at Frontier) Stitched {
	return func(yield func(*Update, string, error) bool) {
		applied := a.Frontier()
		it := a.store.Scan(indexRange(subject))
		more := true
		for more && it.Next() {
			stamp, err := indexStamp(it.Key())
			if err == nil && !(applied.Has(stamp.ID) && at.Has(stamp.ID)) {
				continue
			}
			var u *Update
			if err == nil {
				if err = ctx.Err(); err == nil {
					u, err = a.Update(stamp.ID)
				}
			}
			if errors.Is(err, ErrNotFound) {
				continue // it was taken back since the call
			}
			more = yield(u, a.Authority(stamp.ID.Origin), err) && err == nil
		}
		if err := it.Close(); err != nil && more {
			yield(nil, "", err)
		}
	}
}

// Until is what is applied here up to a stamp in stitched order. It is causally
// closed. It reads a few updates of each chain.
func (a *Archive) Until(last Stamp) (Frontier, error) {
	out := Frontier{}
	for o, seq := range a.Frontier() {
		n, err := a.seqUntil(o, seq, last)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out[o] = n
		}
	}
	return out, nil
}

// seqUntil is the last seq of a chain that is not after a stamp, of those up to a
// seq: times ascend along a chain.
func (a *Archive) seqUntil(o Origin, most Seq, last Stamp) (Seq, error) {
	low, high := Seq(0), most // low is not after, and all beyond high are
	for low < high {
		mid := high - (high-low)/2
		u, err := a.Update(ID{o, mid})
		switch {
		case errors.Is(err, ErrNotFound): // it was taken back since the call
			high = mid - 1
		case err != nil:
			return 0, err
		case u.Stamp().Compare(last) <= 0:
			low = mid
		default:
			high = mid - 1
		}
	}
	return low, nil
}

// Past is what two frontiers cover and all that this depends on, as far as it is
// applied here. The second is causally closed, as those of Until are. What is read
// is what the answer covers beyond that; where a freeze takes some of it back
// meanwhile, anew.
func (a *Archive) Past(ctx context.Context, of, closed Frontier) (Frontier, error) {
	for {
		applied := a.Frontier()
		past, err := a.past(ctx, applied, of, closed)
		if err == nil || a.Frontier().Covers(applied) {
			return past, err
		}
	}
}

func (a *Archive) past(ctx context.Context, applied, of, closed Frontier) (Frontier, error) {
	type span struct {
		origin   Origin
		from, to Seq
	}
	var unread []span
	out := Frontier{}
	maps.Copy(out, closed)
	reach := func(id ID) {
		if to := min(id.Seq, applied[id.Origin]); to > out[id.Origin] {
			unread = append(unread, span{id.Origin, out[id.Origin] + 1, to})
			out[id.Origin] = to
		}
	}
	for o, seq := range of {
		reach(ID{o, seq})
	}
	for len(unread) > 0 {
		next := unread[len(unread)-1]
		unread = unread[:len(unread)-1]
		m := &merge{archive: a}
		err := m.add(next.origin, next.from, next.to)
		for err == nil && m.Len() > 0 {
			for _, dep := range m.sources[0].next.Deps {
				reach(dep)
			}
			if err = ctx.Err(); err == nil {
				err = m.step()
			}
		}
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return out, nil
}

// ContextOf is what an applied update had seen of its subject.
func (a *Archive) ContextOf(u *Update) (Context, error) {
	return ResolveContext(u.Stamp(), func(at Stamp) ([]byte, error) {
		entry, err := a.store.Get(appendIndexKey(nil, u.Subject, at))
		if err == nil && entry == nil {
			err = fmt.Errorf("index of %q has no %s: %w", clip(u.Subject), at.ID, ErrNotFound)
		}
		return entry, err
	})
}
