package core

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Expectation names authorities that are to speak of each subject that a prefix
// selects, and by when.
type Expectation struct {
	// Prefix selects the subjects, by whole segments. Empty: all.
	Prefix chain.Prefix
	// Authorities are those that are to speak, at least one and none twice.
	Authorities []string
	// Within is how long they have until their first update of a subject, from the
	// time that its first update by anyone bears. Zero: they have no deadline, so
	// they are missing until they speak, and never late.
	Within time.Duration
}

// Expectations may overlap: of a subject, everyone is expected whom any of them
// names. For an authority that several name, the longest prefix counts.
type Expectations []Expectation

// Check tells what is wrong with the first expectation at fault, which it
// numbers from 1.
func (e Expectations) Check() error {
	type pair struct {
		prefix    chain.Prefix
		authority string
	}
	named := map[pair]int{}
	for i, x := range e {
		n := i + 1
		if err := x.check(); err != nil {
			return fmt.Errorf("expectation %d: %w", n, err)
		}
		for _, name := range x.Authorities {
			p := pair{x.Prefix, name}
			if before := named[p]; before != 0 {
				return fmt.Errorf("expectation %d: authority %q is named for the prefix %q by expectation %d already", n, name, x.Prefix, before)
			}
			named[p] = n
		}
	}
	return nil
}

func (x *Expectation) check() error {
	if err := chain.CheckPrefix(string(x.Prefix)); err != nil {
		return fmt.Errorf("prefix %q: %w", x.Prefix, err)
	}
	if len(x.Authorities) == 0 {
		return errors.New("it names no authorities")
	}
	for i, name := range x.Authorities {
		if err := chain.CheckName(name); err != nil {
			return fmt.Errorf("authority %q: %w", name, err)
		}
		if slices.Contains(x.Authorities[:i], name) {
			return fmt.Errorf("authority %q is named twice", name)
		}
	}
	if x.Within < 0 {
		return fmt.Errorf("within %s: negative", x.Within)
	}
	return nil
}

// Clone is a copy that shares nothing.
func (e Expectations) Clone() Expectations {
	out := slices.Clone(e)
	for i := range out {
		out[i].Authorities = slices.Clone(out[i].Authorities)
	}
	return out
}

// Of is who is expected to speak of a subject, ascending by authority.
func (e Expectations) Of(subject string) []Expected {
	type term struct {
		Expected
		prefix int
	}
	var terms []term
	for i := range e {
		if !e[i].Prefix.Contains(subject) {
			continue
		}
		for _, name := range e[i].Authorities {
			terms = append(terms, term{Expected{name, e[i].Within}, len(e[i].Prefix)})
		}
	}
	slices.SortFunc(terms, func(a, b term) int {
		return cmp.Or(cmp.Compare(a.Authority, b.Authority), cmp.Compare(b.prefix, a.prefix))
	})
	out := make([]Expected, 0, len(terms))
	for _, t := range terms {
		if n := len(out); n == 0 || out[n-1].Authority != t.Authority {
			out = append(out, t.Expected)
		}
	}
	return out
}

// Expected is an authority that is to speak of a subject, within a time from
// the subject's first update; zero is no deadline.
type Expected struct {
	Authority string
	Within    time.Duration
}

// Attendance says who of those that are expected to speak of a subject has not,
// at some moment. All lists are ascending.
type Attendance struct {
	Expected []string // all that are to speak
	Missing  []string // of these, the ones of which no update of the subject is applied here
	Late     []string // of the missing, those whose deadline has come
	// Next is how long it takes until the next of the missing is late, if nobody
	// speaks. Zero: nobody will be.
	Next time.Duration
}

// Attend compares who is expected with those that spoke, ascending, of a subject
// whose first update is of the time since.
func Attend(expected []Expected, spoke []string, since, now time.Time) Attendance {
	var a Attendance
	for _, x := range expected {
		a.Expected = append(a.Expected, x.Authority)
		if _, ok := slices.BinarySearch(spoke, x.Authority); ok {
			continue
		}
		a.Missing = append(a.Missing, x.Authority)
		if x.Within == 0 {
			continue
		}
		left := since.Add(x.Within).Sub(now)
		switch {
		case left <= 0:
			a.Late = append(a.Late, x.Authority)
		case a.Next == 0 || left < a.Next:
			a.Next = left
		}
	}
	return a
}
