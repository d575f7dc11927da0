package chain

import "sync/atomic"

// versions counts what was published about subjects, for each of the parts that
// a hash divides them into.
type versions [1 << 12]atomic.Uint64

func (v *versions) of(subject string) *atomic.Uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(subject) {
		h = (h ^ uint64(subject[i])) * 1099511628211
	}
	return &v[h%uint64(len(v))]
}

// publish counts what a batch did. A freeze may take back updates of any subject.
func (v *versions) publish(e *Effects) {
	for _, u := range e.Applied {
		v.of(u.Subject).Add(1)
	}
	if len(e.Frozen) > 0 {
		for i := range v {
			v[i].Add(1)
		}
	}
}

// SubjectVersion is a number that differs, as long as the archive is open, once a view
// of the subject has shown something else. It may differ though nothing has. It
// costs far less than the view.
func (a *Archive) SubjectVersion(subject string) uint64 { return a.versions.of(subject).Load() }
