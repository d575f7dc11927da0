package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidings-mesh/tidings/chain"
)

// replayLine is one status change of a replay file.
type replayLine struct {
	number    int // from 1, blank lines counted
	time      time.Time
	authority string
	subject   string
	delta     json.RawMessage // compact, else as written
	key       string
}

// parseReplayLine reads {"time","authority","subject","delta"}. Whatever a node
// would refuse of it by itself is refused here, so that no node is started for
// a line that cannot be published.
func parseReplayLine(number int, text []byte) (*replayLine, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	fields, err := replayFields(text)
	if err != nil {
		return nil, err
	}
	l := &replayLine{number: number, key: replayKey(number, text)}
	var at string
	for _, f := range []struct {
		name string
		into *string
	}{{"time", &at}, {"authority", &l.authority}, {"subject", &l.subject}} {
		if err := replayText(fields, f.name, f.into); err != nil {
			return nil, err
		}
	}
	if l.time, err = time.Parse(time.RFC3339, at); err != nil {
		return nil, fmt.Errorf("time: %q is not RFC 3339", plain(at))
	}
	if err := chain.CheckName(l.authority); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := chain.CheckSubject(l.subject); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	delta, ok := fields["delta"]
	if !ok {
		return nil, errors.New("delta: missing")
	}
	if len(delta) > chain.MaxDelta {
		return nil, fmt.Errorf("delta: %d bytes, at most %d", len(delta), chain.MaxDelta)
	}
	if l.delta, err = chain.CompactDelta(delta); err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	return l, nil
}

// replayKey is the line's idempotency key. The number is in it so that two
// equal lines are two status changes; the content, so that a file that was
// edited is published where it differs.
func replayKey(number int, text []byte) string {
	sum := sha256.Sum256(text)
	return "replay-" + strconv.Itoa(number) + "-" + hex.EncodeToString(sum[:16])
}

// replayFields reads an object of known fields. By encoding/json's own way into
// a struct, unknown case and repeated fields would pass.
func replayFields(text []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	fields := make(map[string]json.RawMessage, 4)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("not JSON: a field without a name")
		}
		switch name {
		case "time", "authority", "subject", "delta":
		default:
			return nil, fmt.Errorf("unknown field %q", plain(name))
		}
		if _, again := fields[name]; again {
			return nil, fmt.Errorf("%s: given more than once", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s: not JSON: %w", name, err)
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more after the object")
	}
	return fields, nil
}

func replayText(fields map[string]json.RawMessage, name string, into *string) error {
	raw, ok := fields[name]
	switch {
	case !ok:
		return fmt.Errorf("%s: missing", name)
	case raw[0] != '"':
		return fmt.Errorf("%s: want a string", name)
	}
	// encoding/json makes lone surrogates something else without a word.
	if _, err := chain.ParseValue(raw); err != nil {
		return fmt.Errorf("%s: not a string of Unicode", name)
	}
	return json.Unmarshal(raw, into)
}
