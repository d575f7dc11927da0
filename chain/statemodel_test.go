package chain

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
)

// The trivial model: everything about a subject, recomputed from the set of
// its updates by the definitions, over sets, maps and encoding/json.

const modelSubject = "order/<42>"

type modelSet map[ID]bool

// modelUpdates are updates of all subjects, in an order that is causal.
type modelUpdates []*Update

func modelOrigin(i int) Origin { return Origin{0: byte(17 * (i + 1)), 15: byte(i)} }

// modelAuthority: the first and the last origin write for one authority.
func modelAuthority(o Origin) string {
	return []string{"fleet", "warehouse", "pay\"ments", "fleet"}[o[15]%4]
}

// seen maps each update of the subject to all that it has seen, itself not
// included.
func (us modelUpdates) seen() map[ID]modelSet {
	seen := map[ID]modelSet{}
	own := map[Origin]ID{}
	for _, u := range us {
		if u.Subject != modelSubject {
			continue
		}
		set := modelSet{}
		take := func(id ID) {
			if theirs, ok := seen[id]; ok { // else of another subject
				set[id] = true
				for i := range theirs {
					set[i] = true
				}
			}
		}
		if id, ok := own[u.ID.Origin]; ok {
			take(id)
		}
		for _, id := range u.Deps {
			take(id)
		}
		seen[u.ID], own[u.ID.Origin] = set, u.ID
	}
	return seen
}

func (us modelUpdates) stitched() modelUpdates {
	var out modelUpdates
	for _, u := range us {
		if u.Subject == modelSubject {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b *Update) int { return a.Stamp().Compare(b.Stamp()) })
	return out
}

func (us modelUpdates) each() Stitched {
	return func(yield func(*Update, string, error) bool) {
		for _, u := range us {
			if !yield(u, modelAuthority(u.ID.Origin), nil) {
				return
			}
		}
	}
}

type modelView struct {
	Subject     string                  `json:"subject"`
	Status      any                     `json:"status"`
	Authorities map[string]modelOneView `json:"authorities"`
	Conflicts   []modelConflict         `json:"conflicts"`
	Heads       []string                `json:"heads"`
	Updates     int                     `json:"updates"`
	Time        string                  `json:"time"`
}

type modelOneView struct {
	Status any    `json:"status"`
	Update string `json:"update"`
	Time   string `json:"time"`
}

type modelConflict struct {
	Path   string            `json:"path"`
	Writes []modelShownWrite `json:"writes"`
}

type modelShownWrite struct {
	Value     any    `json:"value"`
	Deleted   bool   `json:"deleted,omitempty"`
	Authority string `json:"authority"`
	Update    string `json:"update"`
	Time      string `json:"time"`
}

func modelTime(h HLC) string { return h.Time().Format("2006-01-02T15:04:05.000Z07:00") }

func (us modelUpdates) view() string {
	stitched := us.stitched()
	v := modelView{Subject: modelSubject, Status: map[string]any{}, Authorities: map[string]modelOneView{}, Heads: []string{}, Updates: len(stitched), Time: modelTime(0)}
	for _, u := range stitched {
		delta := modelParse(u.Delta)
		v.Status = modelMerge(v.Status, delta)
		name := modelAuthority(u.ID.Origin)
		one, ok := v.Authorities[name]
		if !ok {
			one.Status = map[string]any{}
		}
		one.Status = modelMerge(one.Status, delta)
		one.Update, one.Time = u.ID.String(), modelTime(u.HLC)
		v.Authorities[name] = one
		v.Time = modelTime(u.HLC)
	}
	for _, id := range us.heads() {
		v.Heads = append(v.Heads, id.String())
	}
	v.Conflicts = us.conflicts()
	return modelJSON(v)
}

func (us modelUpdates) heads() (heads []ID) {
	seen := us.seen()
	for id := range seen {
		head := true
		for _, set := range seen {
			head = head && !set[id]
		}
		if head {
			heads = append(heads, id)
		}
	}
	slices.SortFunc(heads, ID.Compare)
	return heads
}

type modelWrite struct {
	u     *Update
	path  []string
	value any
}

func modelWrites(u *Update) (out []modelWrite) {
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		if m, ok := v.(map[string]any); ok && (len(m) > 0 || len(path) == 0) {
			for k, v := range m {
				walk(append(slices.Clone(path), k), v)
			}
			return
		}
		out = append(out, modelWrite{u, path, v})
	}
	walk(nil, modelParse(u.Delta))
	return out
}

func modelAbove(p, q []string) bool { return len(p) < len(q) && slices.Equal(p, q[:len(p)]) }

func modelMeet(p, q []string) bool {
	return slices.Equal(p, q) || modelAbove(p, q) || modelAbove(q, p)
}

func modelEqual(a, b any) bool {
	switch x := a.(type) {
	case json.Number:
		y, ok := b.(json.Number)
		if !ok {
			return false
		}
		p, _ := new(big.Rat).SetString(x.String())
		q, _ := new(big.Rat).SetString(y.String())
		return p.Cmp(q) == 0
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, modelEqual)
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if v, ok := y[k]; !ok || !modelEqual(x[k], v) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// live are the writes that no other update's write at, above or below them had
// seen.
func (us modelUpdates) live() (live []modelWrite) {
	seen := us.seen()
	var all []modelWrite
	for _, u := range us.stitched() {
		all = append(all, modelWrites(u)...)
	}
	for _, w := range all {
		if !slices.ContainsFunc(all, func(x modelWrite) bool { return modelMeet(w.path, x.path) && seen[x.u.ID][w.u.ID] }) {
			live = append(live, w)
		}
	}
	return live
}

// contested are the connected components of live writes, by pairs that
// conflict.
func (us modelUpdates) contested() map[int][]modelWrite {
	live := us.live()
	group := make([]int, len(live))
	for i := range group {
		group[i] = i
	}
	join := func(a, b int) {
		from, to := group[a], group[b]
		for i := range group {
			if group[i] == from {
				group[i] = to
			}
		}
	}
	blunt := func(w modelWrite) bool { _, object := w.value.(map[string]any); return !object }
	for i, a := range live {
		for j, b := range live {
			same := slices.Equal(a.path, b.path) && !modelEqual(a.value, b.value)
			if a.u != b.u && (same || (modelAbove(a.path, b.path) && blunt(a))) {
				join(i, j)
			}
		}
	}
	groups := map[int][]modelWrite{}
	for i, w := range live {
		groups[group[i]] = append(groups[group[i]], w)
	}
	for i, writes := range groups {
		if len(writes) < 2 {
			delete(groups, i)
		}
	}
	return groups
}

func (us modelUpdates) conflicts() []modelConflict {
	out := []modelConflict{}
	for _, writes := range us.contested() {
		out = append(out, modelListed(writes))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// modelListed is how a component is shown: by its topmost path, one write for
// each update.
func modelListed(writes []modelWrite) modelConflict {
	top := writes[0].path
	for _, w := range writes {
		if len(w.path) < len(top) {
			top = w.path
		}
	}
	values := map[*Update]any{}
	for _, w := range writes {
		v := w.value
		rest := w.path[len(top):]
		for i := len(rest) - 1; i >= 0; i-- {
			v = map[string]any{rest[i]: v}
		}
		if before, ok := values[w.u]; ok {
			v = modelUnion(before, v)
		}
		values[w.u] = v
	}
	var updates []*Update
	for u := range values {
		updates = append(updates, u)
	}
	slices.SortFunc(updates, func(a, b *Update) int { return b.Stamp().Compare(a.Stamp()) })
	c := modelConflict{}
	for _, token := range top {
		c.Path += "/" + strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
	}
	for _, u := range updates {
		c.Writes = append(c.Writes, modelShownWrite{values[u], values[u] == nil, modelAuthority(u.ID.Origin), u.ID.String(), modelTime(u.HLC)})
	}
	return c
}

func modelUnion(a, b any) any {
	x, okX := a.(map[string]any)
	y, okY := b.(map[string]any)
	if !okX || !okY {
		return b
	}
	out := map[string]any{}
	for k, v := range x {
		out[k] = v
	}
	for k, v := range y {
		out[k] = modelUnion(out[k], v)
	}
	return out
}

// The model on one example by hand, so that it cannot be wrong in the way that
// the code is.
func TestModel(t *testing.T) {
	x, y, z := modelOrigin(0), modelOrigin(1), modelOrigin(2)
	us := modelUpdates{
		modelUpdate(ID{x, 2}, 1, `{"a":1,"b":{"c":1}}`),
		modelUpdate(ID{y, 2}, 2, `{"a":2,"b":{"c":1.0}}`),
		modelUpdate(ID{z, 2}, 3, `{"b":null}`, ID{x, 2}),
	}
	want := []modelConflict{
		{"/a", []modelShownWrite{
			{json.Number("2"), false, "warehouse", y.String() + ".2", "1970-01-01T00:00:00.002Z"},
			{json.Number("1"), false, "fleet", x.String() + ".2", "1970-01-01T00:00:00.001Z"},
		}},
		{"/b", []modelShownWrite{
			{nil, true, `pay"ments`, z.String() + ".2", "1970-01-01T00:00:00.003Z"},
			{map[string]any{"c": json.Number("1.0")}, false, "warehouse", y.String() + ".2", "1970-01-01T00:00:00.002Z"},
		}},
	}
	if got := us.conflicts(); !reflect.DeepEqual(got, want) {
		t.Errorf("conflicts %+v\nwant %+v", got, want)
	}
	if got := us.heads(); !slices.Equal(got, []ID{{y, 2}, {z, 2}}) {
		t.Errorf("heads %v", got)
	}
}

// modelUpdate is an update of the subject at that many milliseconds.
func modelUpdate(id ID, millis int64, delta string, deps ...ID) *Update {
	slices.SortFunc(deps, ID.Compare)
	return &Update{ID: id, Kind: KindStatus, HLC: HLCOf(millis), Subject: modelSubject, Delta: []byte(delta), Deps: deps, Hash: sha256.Sum256(fmt.Append(nil, id))}
}
