package chain

import (
	"fmt"
	"slices"
	"strings"
)

// ReactionsError says that a chain of reactions would grow beyond MaxReactions.
// It wraps ErrReactions.
type ReactionsError struct {
	// Links lead from the update that began the chain to the one that cannot be
	// answered any more.
	Links []ReactionLink
}

// ReactionLink is an update of a chain of reactions.
type ReactionLink struct {
	ID        ID
	Authority string
	Hook      string // that made it, "" of the first
}

func (e *ReactionsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d at most:", ErrReactions, MaxReactions)
	for i, l := range e.Links {
		if i > 0 {
			b.WriteString(", then")
		}
		fmt.Fprintf(&b, " %s by %q", l.ID, l.Authority)
		if l.Hook != "" {
			fmt.Fprintf(&b, " (hook %q)", l.Hook)
		}
	}
	return b.String()
}

func (e *ReactionsError) Unwrap() error { return ErrReactions }

// reactionsTo is the refusal to answer an update, with all that led to it, as
// far back as it still counts here.
func (l *Ledger) reactionsTo(cause *Update) (*ReactionsError, error) {
	e := &ReactionsError{}
	for u := cause; ; {
		link := ReactionLink{ID: u.ID, Hook: u.Hook}
		if c := l.chains[u.ID.Origin]; c != nil && c.tail.Genesis != nil {
			link.Authority = c.tail.Genesis.Authority
		}
		e.Links = append(e.Links, link)
		if u.Cause.IsZero() || len(e.Links) > MaxReactions || l.Applied(u.Cause.Origin).Seq < u.Cause.Seq {
			break
		}
		var err error
		if u, err = l.update(u.Cause); err != nil {
			return nil, err
		}
	}
	slices.Reverse(e.Links)
	return e, nil
}
