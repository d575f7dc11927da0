package chain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// An answer is an update that a reaction made. The store indexes those that are
// applied by hook and cause, one key each, so that whether a trigger was answered
// is one short scan, however many updates there are.

// answerLen is what follows the hook in an answer's key: the cause and the answer.
const answerLen = 2 * (16 + 8)

func appendAnswerPrefix(dst []byte, hook string) []byte {
	return append(append(append(dst, keyAnswer), hook...), 0)
}

// appendAnswersKey is how the keys of all answers of a hook to a cause begin.
func appendAnswersKey(dst []byte, hook string, cause ID) []byte {
	dst = append(appendAnswerPrefix(dst, hook), cause.Origin[:]...)
	return appendUint64(dst, uint64(cause.Seq))
}

func appendAnswerKey(dst []byte, u *Update) []byte {
	dst = append(appendAnswersKey(dst, u.Hook, u.Cause), u.ID.Origin[:]...)
	return appendUint64(dst, uint64(u.ID.Seq))
}

// answerIDs reads the cause and the answer at the end of a key.
func answerIDs(key []byte) (cause, answer ID, err error) {
	if len(key) < answerLen+2 {
		return ID{}, ID{}, fmt.Errorf("key of an answer of %d bytes: %w", len(key), ErrCorrupt)
	}
	id := func(b []byte) ID { return ID{Origin(b[:16]), Seq(binary.BigEndian.Uint64(b[16:24]))} }
	b := key[len(key)-answerLen:]
	return id(b), id(b[24:]), nil
}

// eachAnswer visits the answers whose keys begin so, until visit says that it has
// seen enough.
func eachAnswer(r Reader, prefix []byte, visit func(cause, answer ID) (more bool, err error)) error {
	it := r.Scan(prefix, append(append([]byte(nil), prefix...), answersEnd...))
	for more := true; more && it.Next(); {
		cause, answer, err := answerIDs(it.Key())
		if err == nil {
			more, err = visit(cause, answer)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// answersEnd sorts behind all that can follow in a key: no seq has its first bit.
var answersEnd = []byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

// noteAnswer indexes an update that is applied, if a reaction made it.
func (l *Ledger) noteAnswer(u *Update) {
	if u.Cause.IsZero() {
		return
	}
	key := appendAnswerKey(nil, u)
	l.tx.batch.Set(key, nil)
	l.tx.answers[string(key)] = true
}

// dropAnswer takes the same back.
func (l *Ledger) dropAnswer(u *Update) {
	if u.Cause.IsZero() {
		return
	}
	key := appendAnswerKey(nil, u)
	l.drop(key)
	l.tx.answers[string(key)] = false
}

// Answered returns the update by which a hook of an authority answered a cause,
// zero if none is applied, the batch under way included. Of several it is one.
// The error is the store's.
func (l *Ledger) Answered(authority, hook string, cause ID) (by ID, err error) {
	prefix := appendAnswersKey(nil, hook, cause)
	counts := func(answer ID) bool {
		c := l.chains[answer.Origin]
		return c != nil && c.tail.Genesis != nil && c.tail.Genesis.Authority == authority
	}
	for key, there := range l.tx.answers {
		if !there || len(key) != len(prefix)+24 || key[:len(prefix)] != string(prefix) {
			continue
		}
		_, answer, err := answerIDs([]byte(key))
		if err != nil {
			return ID{}, err
		}
		if counts(answer) && (by.IsZero() || answer.Compare(by) < 0) {
			by = answer
		}
	}
	if !by.IsZero() {
		return by, nil
	}
	err = eachAnswer(l.store, prefix, func(_, answer ID) (bool, error) {
		there, staged := l.tx.answers[string(appendUint64(append(prefix[:len(prefix):len(prefix)], answer.Origin[:]...), uint64(answer.Seq)))]
		if counts(answer) && (there || !staged) {
			by = answer
		}
		return by.IsZero(), nil
	})
	return by, err
}

// Answered returns the update by which a hook of an authority answered a cause,
// zero if none is applied here. Of several it is one.
func (a *Archive) Answered(authority, hook string, cause ID) (by ID, err error) {
	err = eachAnswer(a.store, appendAnswersKey(nil, hook, cause), func(_, answer ID) (bool, error) {
		if a.Authority(answer.Origin) == authority {
			by = answer
		}
		return by.IsZero(), nil
	})
	return by, err
}

// Causes is what a hook of an authority has answered: first is the stamp of the
// cause that comes first in stitched order, zero if there is none, and newest the
// last cause of each chain. It reads the keys of all answers of the hook.
func (a *Archive) Causes(ctx context.Context, authority, hook string) (first Stamp, newest Frontier, err error) {
	applied := a.Frontier()
	oldest := Frontier{}
	newest = Frontier{}
	// Keys ascend by cause.
	err = eachAnswer(a.store, appendAnswerPrefix(nil, hook), func(cause, answer ID) (bool, error) {
		if a.Authority(answer.Origin) != authority || !applied.Has(cause) {
			return true, nil
		}
		if oldest[cause.Origin] == 0 {
			oldest[cause.Origin] = cause.Seq
		}
		newest[cause.Origin] = cause.Seq
		return true, ctx.Err()
	})
	if err != nil {
		return Stamp{}, nil, err
	}
	for o, seq := range oldest {
		u, err := a.Update(ID{o, seq})
		switch {
		case errors.Is(err, ErrNotFound): // it was taken back since, and all that follows it
			delete(newest, o)
		case err != nil:
			return Stamp{}, nil, err
		case first.IsZero() || u.Stamp().Compare(first) < 0:
			first = u.Stamp()
		}
	}
	return first, newest, nil
}
