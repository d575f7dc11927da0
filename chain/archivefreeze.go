package chain

import (
	"maps"
	"slices"
)

// publishFreezes shows freezes, in the order in which they came to count.
func (a *Archive) publishFreezes(freezes []*Freeze) {
	told := a.told.Clone()
	for _, f := range freezes {
		a.frozen[f.Origin], told[f.Origin] = f, f.After
		if c := a.chains[f.Origin]; c != nil {
			c.Frozen = f
		}
	}
	a.told = told
}

// Frozen is why a chain was stopped, nil if it was not.
func (a *Archive) Frozen(o Origin) *Freeze {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.frozen[o]
}

// Freezes are the freezes of all chains that were stopped, also of those of
// which nothing is here, by origin.
func (a *Archive) Freezes() []*Freeze {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.SortedFunc(maps.Values(a.frozen), func(x, y *Freeze) int { return x.Origin.Compare(y.Origin) })
}

// Evidence is the encoding of the freeze that stopped a chain, to be shown to
// others, nil where none did.
func (a *Archive) Evidence(o Origin) ([]byte, error) {
	b, err := a.store.Get(appendChainKey(nil, keyFreeze, o))
	if err != nil || b == nil {
		return nil, err
	}
	f, err := decodeFreeze(o, b)
	if err != nil {
		return nil, err
	}
	return f.Append(nil), nil
}

// Clamp is a frontier without what lies beyond a freeze, which is applied
// nowhere any more.
func (a *Archive) Clamp(f Frontier) Frontier {
	a.mu.RLock()
	told := a.told
	a.mu.RUnlock()
	out := f.Clone()
	for o, after := range told {
		out.clamp(o, after)
	}
	return out
}
