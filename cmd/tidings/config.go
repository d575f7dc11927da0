package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"

	"github.com/tidings-mesh/tidings/node"
)

// A flag's value comes from the command line, else from its environment
// variable, else from the configuration file, else from its default. Kong
// itself would let a file win over the environment, so both are resolvers
// here: the one added last wins.

// BeforeResolve adds the sources of values that are not on the command line.
// Kong calls it.
func (c *cli) BeforeResolve(ctx *kong.Context, p *process) error {
	if path := configPath(ctx, p); path != "" {
		file, err := readConfig(path)
		if err != nil {
			return err
		}
		ctx.AddResolver(file)
		c.Agent.Expect = file.expect
	}
	ctx.AddResolver(environment(p.getenv))
	return nil
}

func configPath(ctx *kong.Context, p *process) string {
	for _, flag := range ctx.Model.Flags {
		if flag.Name != "config" {
			continue
		}
		if path, ok := ctx.FlagValue(flag).(string); ok && path != "" {
			return path
		}
	}
	return p.getenv(environmentName("config"))
}

// environment resolves flags from TIDINGS_ variables. An empty variable counts
// as unset.
func environment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if flag.Name == "help" {
			return nil, nil
		}
		if v := getenv(environmentName(flag.Name)); v != "" {
			if !utf8.ValidString(v) {
				return nil, fmt.Errorf("%s: %q is not UTF-8", environmentName(flag.Name), v)
			}
			return v, nil
		}
		return nil, nil
	})
}

// configFile resolves flags from a TOML file. One file may serve all commands:
// a key is known if any of them has a flag of that name.
type configFile struct {
	path   string
	values map[string]any
	expect node.Expectations
}

func readConfig(path string) (*configFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c := &configFile{path: path}
	if err := toml.Unmarshal(b, &c.values); err != nil {
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			row, column := decode.Position()
			return nil, fmt.Errorf("config %s: line %d, column %d: %w", path, row, column, err)
		}
		return nil, fmt.Errorf("config %s: %w", path, err)
	}
	return c, c.takeExpectations()
}

// Validate refuses keys that no command has a flag for, and values of a wrong
// type, whichever command is run.
func (c *configFile) Validate(app *kong.Application) error {
	known := map[string][]*kong.Flag{}
	collectFlags(app.Node, known)
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if len(known[key]) == 0 {
			return fmt.Errorf("config %s: unknown key %q", c.path, key)
		}
		for _, flag := range known[key] {
			if _, err := c.value(flag); err != nil {
				return err
			}
		}
	}
	return nil
}

func collectFlags(n *kong.Node, known map[string][]*kong.Flag) {
	for _, flag := range n.Flags {
		// A file that names another file would have to be read twice over.
		if flag.Name != "help" && flag.Name != "config" {
			known[flag.Name] = append(known[flag.Name], flag)
		}
	}
	for _, child := range n.Children {
		collectFlags(child, known)
	}
}

// Resolve gives a flag its value in the file, if it has one.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if _, ok := c.values[flag.Name]; !ok || flag.Name == "config" {
		return nil, nil
	}
	return c.value(flag)
}

// value is the file's value for a flag, as it would be written on the command
// line.
func (c *configFile) value(flag *kong.Flag) (any, error) {
	takes := flag.Target.Type()
	if takes.Kind() == reflect.Pointer {
		takes = takes.Elem()
	}
	want := func(what string) error { return fmt.Errorf("config %s: key %q: want %s", c.path, flag.Name, what) }
	value := c.values[flag.Name]
	if takes == reflect.TypeFor[time.Duration]() {
		if text, ok := value.(string); ok {
			return text, nil
		}
		if value == int64(0) {
			return "0", nil
		}
		return nil, want(`a duration, such as "30s"`)
	}
	switch takes.Kind() {
	case reflect.Bool:
		if yes, ok := value.(bool); ok {
			return strconv.FormatBool(yes), nil
		}
		return nil, want("true or false")
	case reflect.Int:
		if n, ok := value.(int64); ok {
			return strconv.FormatInt(n, 10), nil
		}
		return nil, want("a whole number")
	case reflect.Slice:
		if text, ok := value.(string); ok {
			return text, nil
		}
		list, ok := value.([]any)
		if !ok || slices.ContainsFunc(list, func(item any) bool { _, ok := item.(string); return !ok }) {
			return nil, want("a string, or an array of strings")
		}
		return list, nil
	}
	if text, ok := value.(string); ok {
		return text, nil
	}
	return nil, want("a string")
}
