package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// expectKey is the one key of a configuration file that is no flag's: tables,
// each of which is an expectation of an agent's. The flag of that name is get's,
// and is not taken from a file.
const expectKey = "expect"

// takeExpectations reads the file's expectations, and takes them out of its
// values.
func (c *configFile) takeExpectations() error {
	value, ok := c.values[expectKey]
	if !ok {
		return nil
	}
	delete(c.values, expectKey)
	tables, ok := value.([]any)
	if !ok {
		return fmt.Errorf("config %s: key %q: want [[expect]] tables", c.path, expectKey)
	}
	for i, table := range tables {
		x, err := expectation(table)
		if err != nil {
			return fmt.Errorf("config %s: expectation %d: %w", c.path, i+1, err)
		}
		c.expect = append(c.expect, x)
	}
	if err := c.expect.Check(); err != nil {
		return fmt.Errorf("config %s: %w", c.path, err)
	}
	return nil
}

func expectation(table any) (x node.Expectation, err error) {
	values, ok := table.(map[string]any)
	if !ok {
		return x, errors.New("want a table, such as [[expect]]")
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		switch key {
		case "prefix":
			text, ok := value.(string)
			if !ok {
				return x, fmt.Errorf("key %q: want a string", key)
			}
			x.Prefix = chain.Prefix(text)
		case "authorities":
			if x.Authorities, ok = texts(value); !ok {
				return x, fmt.Errorf("key %q: want a string, or an array of strings", key)
			}
		case "within":
			if x.Within, ok = duration(value); !ok {
				return x, fmt.Errorf(`key %q: want a duration, such as "30s"`, key)
			}
		default:
			return x, fmt.Errorf("unknown key %q: want prefix, authorities or within", key)
		}
	}
	if _, ok := values["prefix"]; !ok {
		// Left out by mistake, it would be every subject.
		return x, errors.New(`key "prefix" is missing: give it the subjects, or "" for all`)
	}
	return x, nil
}

// texts reads a list as a file has it: an array of strings, or one string with
// commas.
func texts(value any) ([]string, bool) {
	if text, ok := value.(string); ok {
		return strings.Split(text, ","), true
	}
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, false
		}
		out = append(out, text)
	}
	return out, true
}

// duration reads a duration as a file has it: a string with a unit, or 0.
func duration(value any) (time.Duration, bool) {
	if value == int64(0) {
		return 0, true
	}
	text, ok := value.(string)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}
