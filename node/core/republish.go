package core

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

// Republisher publishes again, on the own chain, what a node had acknowledged
// under earlier origins and a freeze has taken back: in order, each once, however
// often it is interrupted. It is to be done when the own chain may be appended
// to, before anything else is.
type Republisher struct {
	Archive *chain.Archive
	Ledger  *chain.Ledger
	Former  []chain.Origin // the earlier origins, oldest first
	Most    int            // updates in one batch, 0 for 1000
}

const (
	// republishMost and republishBytes bound what one batch publishes again.
	republishMost  = 1000
	republishBytes = 1 << 20
)

// Again is what one batch is to publish again of an earlier origin.
type Again struct {
	Was     chain.Origin
	Updates []*chain.Update
}

// Next is what is to be published again next, nil if nothing is left. It may be
// called beside the writer, while no batch of it is under way.
func (r *Republisher) Next() (*Again, error) {
	for _, o := range r.Former {
		done, err := r.done(o)
		if err != nil {
			return nil, err
		}
		a, size := &Again{Was: o}, 0
		for u, err := range r.Archive.Beyond(o, 0) {
			if err != nil {
				return nil, fmt.Errorf("read what was taken back of %s: %w", o, err)
			}
			if u.Kind != chain.KindStatus || done.Has(u.ID.Seq) {
				continue
			}
			a.Updates = append(a.Updates, u)
			if size += len(u.Subject) + len(u.Delta); len(a.Updates) == cmp.Or(r.Most, republishMost) || size >= republishBytes {
				break
			}
		}
		if len(a.Updates) > 0 {
			return a, nil
		}
	}
	return nil, nil
}

// RepublishedRecord names the private record of what was published again of an
// earlier origin.
func RepublishedRecord(o chain.Origin) string { return "republished/" + o.String() }

func (r *Republisher) done(o chain.Origin) (*Spans, error) {
	record, err := r.Archive.Private(RepublishedRecord(o))
	if err != nil {
		return nil, err
	}
	return DecodeSpans(record)
}

// Publish puts a batch onto the own chain, together with the note that it was.
// It is the writer's, see [Writer.Do]. What the ledger does not take now is left,
// and refused says why. now is in Unix milliseconds.
func (r *Republisher) Publish(a *Again, now int64) (refused, err error) {
	done, err := r.done(a.Was)
	if err != nil {
		return nil, err
	}
	for _, u := range a.Updates {
		if _, err := r.Ledger.Republish(u, now); err != nil {
			if refused = err; errors.Is(err, chain.ErrFrozen) || errors.Is(err, chain.ErrRecovering) {
				break
			}
			return nil, fmt.Errorf("publish %s again: %w", u.ID, err)
		}
		done.Add(u.ID.Seq)
	}
	record, err := done.Encode()
	if err != nil {
		return nil, err
	}
	r.Ledger.PutPrivate(RepublishedRecord(a.Was), record)
	return refused, nil
}
