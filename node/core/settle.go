package core

import (
	"errors"
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

// settle puts the place of a reaction into the batch, and its draft with it, or
// neither. Whether the trigger was answered is looked up here once more: what
// answered it may have come while the hook was asked, in this very batch. The
// error ends the node's writing.
func (w *Writer) settle(s *Settlement, now int64) (out Settled, err error) {
	if s.Draft != nil {
		a := s.Answer
		if out.By, err = w.conf.Ledger.Answered(a.Authority, a.Hook, a.Cause); err != nil {
			return out, fmt.Errorf("look up answers to %s: %w", a.Cause, err)
		}
		if out.By.IsZero() {
			if out.Err = w.conf.MayPublish(); out.Err != nil {
				return out, nil
			}
			out.Receipt, out.Err = w.conf.Ledger.Append(s.Draft, now)
			if out.Err != nil && !refusal(out.Err) {
				return out, fmt.Errorf("append to own chain: %w", out.Err)
			}
			if out.Err != nil && !forGood(out.Err) {
				return out, nil
			}
		}
	}
	w.conf.Ledger.PutPrivate(s.record, s.place)
	out.Moved = true
	return out, nil
}

// forGood reports whether the draft that was refused so would be refused again.
func forGood(err error) bool {
	var draft *chain.DraftError
	var missing *chain.DependencyError
	return errors.As(err, &draft) && !errors.As(err, &missing)
}

// drafts reports whether any of some settlements has one.
func drafts(settlements []*Settlement) bool {
	for _, s := range settlements {
		if s.Draft != nil {
			return true
		}
	}
	return false
}
