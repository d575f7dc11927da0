package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// folder is the self-check of a replay: it folds the file on its own, by the
// words of RFC 7396 and with nothing of what nodes fold with, and compares.
type folder struct {
	mu       sync.Mutex // protects statuses
	statuses map[string]map[string]any
}

func newFolder() *folder { return &folder{statuses: map[string]map[string]any{}} }

// add folds a line into its subject.
func (f *folder) add(l *replayLine) {
	v, err := decodeNumbers(l.delta)
	patch, ok := v.(map[string]any)
	if err != nil || !ok {
		return // then it was not published, or else the comparison tells
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses[l.subject] = foldPatch(f.statuses[l.subject], patch)
}

func decodeNumbers(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// foldPatch is MergePatch of RFC 7396, section 2, done in place.
func foldPatch(target, patch map[string]any) map[string]any {
	if target == nil {
		target = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			below, _ := target[name].(map[string]any)
			target[name] = foldPatch(below, value)
		default:
			target[name] = value
		}
	}
	return target
}

// replayCheck is what a comparison found.
type replayCheck struct {
	views int64 // compared, over all nodes
	wrong int64
}

// check compares every subject's status on every node with the fold, and
// reports those that differ.
func (f *folder) check(ctx context.Context, outlets []outlet, note func(string, ...any)) (replayCheck, error) {
	var c replayCheck
	const side = 32 // questions at a time
	subjects := slices.Sorted(maps.Keys(f.statuses))
	for _, o := range outlets {
		var mu sync.Mutex // protects c and failed
		var failed error
		var wg sync.WaitGroup
		places := make(chan struct{}, side)
		for _, subject := range subjects {
			if ctx.Err() != nil {
				break
			}
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				is, err := o.status(ctx, subject)
				same := err == nil && sameStatus(is, f.statuses[subject])
				mu.Lock()
				defer mu.Unlock()
				c.views++
				switch {
				case err != nil:
					failed = err
				case !same:
					c.wrong++
					want, _ := json.Marshal(f.statuses[subject])
					note("%s: %s is %s, and the file says %s", o.name(), plain(subject), plain(string(is)), plain(string(want)))
				}
			})
		}
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if failed != nil {
			return c, fmt.Errorf("verify: %s: %w", o.name(), failed)
		}
	}
	return c, nil
}

func sameStatus(text []byte, want map[string]any) bool {
	if text == nil {
		// Deltas that change nothing make no subject.
		return len(want) == 0
	}
	is, err := decodeNumbers(text)
	return err == nil && sameValue(is, want)
}

// sameValue compares as nodes do: numbers by their exact decimal value, since
// a number that is written anew in another form changes nothing.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, ok := b[name]; !ok || !sameValue(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || plainDecimal(string(a)) == plainDecimal(string(b)))
	}
	return a == b
}

// plainDecimal is a number's one text among all that are equal to it: digits
// without zeros at either end, and the power of ten that they are times.
func plainDecimal(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	power := 0
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		n, err := strconv.Atoi(digits[i+1:])
		if err != nil {
			return s
		}
		digits, power = digits[:i], n
	}
	if whole, part, ok := strings.Cut(digits, "."); ok {
		digits, power = whole+part, power-len(part)
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return "0"
	}
	short := strings.TrimRight(digits, "0")
	power += len(digits) - len(short)
	if negative {
		short = "-" + short
	}
	return short + "e" + strconv.Itoa(power)
}
