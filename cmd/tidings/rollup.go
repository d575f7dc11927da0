package main

import (
	"slices"
	"strings"

	"github.com/tidings-mesh/tidings/chain"
)

// rollup folds updates into the status of their subjects, as a node does: in
// stitched order, whatever the order in which they come. An update that is the
// newest of its subject, as most are, is merged in place; a late one folds the
// subject again.
type rollup struct {
	subjects map[string]*rolled
}

// rolled is what is known of one subject.
type rolled struct {
	updates []stamped // in stitched order
	status  chain.Value
}

type stamped struct {
	stamp chain.Stamp
	delta chain.Value
}

// maxRolled bounds how many subjects are kept. Past it all are let go, and
// each is fetched anew when it is written to again.
const maxRolled = 20_000

func newRollup() *rollup { return &rollup{subjects: map[string]*rolled{}} }

// has reports whether the subject is being rolled up.
func (r *rollup) has(subject string) bool { return r.subjects[subject] != nil }

// start begins a subject with its earlier updates. It reports whether it had
// to let other subjects go.
func (r *rollup) start(subject string, updates []updateJSON) (full bool, err error) {
	if full = len(r.subjects) >= maxRolled; full {
		clear(r.subjects)
	}
	r.subjects[subject] = &rolled{}
	for i := range updates {
		if _, err := r.add(&updates[i]); err != nil {
			delete(r.subjects, subject)
			return full, err
		}
	}
	return full, nil
}

// add folds an update in and returns its subject's status. The same update
// again changes nothing.
func (r *rollup) add(u *updateJSON) (chain.Value, error) {
	s, err := stampOf(u)
	if err != nil {
		return chain.Value{}, err
	}
	delta, err := chain.ParseValue(u.Delta)
	if err != nil {
		return chain.Value{}, err
	}
	sub := r.subjects[u.Subject]
	if sub == nil {
		sub = &rolled{}
		r.subjects[u.Subject] = sub
	}
	at, found := slices.BinarySearchFunc(sub.updates, s, func(e stamped, s chain.Stamp) int { return e.stamp.Compare(s) })
	switch {
	case found:
	case at == len(sub.updates):
		sub.updates = append(sub.updates, stamped{s, delta})
		sub.status = chain.Merge(sub.status, delta)
	default:
		sub.updates = slices.Insert(sub.updates, at, stamped{s, delta})
		sub.refold()
	}
	return sub.status, nil
}

// retract takes back a chain's updates after a seq and returns the subjects
// whose status that may have changed, in ascending order.
func (r *rollup) retract(origin chain.Origin, after chain.Seq) []string {
	var changed []string
	for subject, sub := range r.subjects {
		n := len(sub.updates)
		sub.updates = slices.DeleteFunc(sub.updates, func(e stamped) bool {
			return e.stamp.ID.Origin == origin && e.stamp.ID.Seq > after
		})
		if len(sub.updates) == n {
			continue
		}
		changed = append(changed, subject)
		sub.refold()
	}
	slices.SortFunc(changed, strings.Compare)
	return changed
}

func (s *rolled) refold() {
	s.status = chain.Value{}
	for _, e := range s.updates {
		s.status = chain.Merge(s.status, e.delta)
	}
}

func stampOf(u *updateJSON) (chain.Stamp, error) {
	id, err := chain.ParseID(u.ID)
	if err != nil {
		return chain.Stamp{}, err
	}
	hlc, err := chain.ParseHLC(u.HLC)
	if err != nil {
		return chain.Stamp{}, err
	}
	return chain.Stamp{HLC: hlc, ID: id}, nil
}
