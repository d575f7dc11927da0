package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// The fold of RFC 7396, as its text has it, on encoding/json's values: slow, and
// nothing of package chain's. Numbers keep the text that they were written with.

// viewFault holds a view to a fold of its history: the status, each authority's
// own, and how many updates there are. It returns what is wrong, if anything.
func (j *judge) viewFault(subject, view string, history []*sighted) string {
	shown, err := decodeJSON(view)
	if err != nil {
		return fmt.Sprintf("not JSON: %v", err)
	}
	status, own := any(map[string]any{}), map[string]any{}
	for _, s := range history {
		delta, err := decodeJSON(s.Delta)
		if err != nil {
			return fmt.Sprintf("the delta of %s is not JSON: %v", s.ID, err)
		}
		status = mergePatch(status, delta)
		name := ""
		if w := j.writers[s.ID.Origin]; w != nil {
			name = w.authority
		}
		own[name] = mergePatch(own[name], delta)
	}
	fields, _ := shown.(map[string]any)
	if fields["subject"] != subject {
		return fmt.Sprintf("it is of %v", fields["subject"])
	}
	if !reflect.DeepEqual(fields["status"], status) {
		return fmt.Sprintf("its status is %v, its history makes %v", fields["status"], status)
	}
	authorities, _ := fields["authorities"].(map[string]any)
	if len(authorities) != len(own) {
		return fmt.Sprintf("it has %d authorities, its history %d", len(authorities), len(own))
	}
	for _, name := range sortedKeys(own) {
		part, _ := authorities[name].(map[string]any)
		if !reflect.DeepEqual(part["status"], own[name]) {
			return fmt.Sprintf("the status of authority %q is %v, its history makes %v", name, part["status"], own[name])
		}
	}
	if n := json.Number(fmt.Sprint(len(history))); fields["updates"] != n {
		return fmt.Sprintf("it counts %v updates, its history %s", fields["updates"], n)
	}
	return ""
}

// mergePatch is MergePatch(Target, Patch) of RFC 7396, section 2. It shares with
// its arguments what it does not change, and writes to the target.
func mergePatch(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range members {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = mergePatch(object[name], value)
		}
	}
	return object
}

func decodeJSON(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

// sameJSON reports whether two texts say the same; both must be JSON.
func sameJSON(a, b string) bool {
	v, err := decodeJSON(a)
	if err != nil {
		return false
	}
	if a == b {
		return true
	}
	w, err := decodeJSON(b)
	return err == nil && reflect.DeepEqual(v, w)
}
