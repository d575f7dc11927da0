package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
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
	return c, nil
}

// Validate refuses keys that no command has a flag for.
func (c *configFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	collectFlags(app.Node, known)
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if !known[key] {
			return fmt.Errorf("config %s: unknown key %q", c.path, key)
		}
	}
	return nil
}

func collectFlags(n *kong.Node, known map[string]bool) {
	for _, flag := range n.Flags {
		// A file that names another file would have to be read twice over.
		known[flag.Name] = flag.Name != "help" && flag.Name != "config"
	}
	for _, child := range n.Children {
		collectFlags(child, known)
	}
}

// Resolve gives a flag its value in the file, if it has one.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := c.values[flag.Name]
	if !ok || flag.Name == "config" {
		return nil, nil
	}
	text, err := configText(v)
	if err == nil {
		return text, nil
	}
	list, isList := v.([]any)
	if !isList || !flag.IsSlice() {
		return nil, fmt.Errorf("config %s: key %q: %w", c.path, flag.Name, err)
	}
	items := make([]any, 0, len(list))
	for _, item := range list {
		text, err := configText(item)
		if err != nil {
			return nil, fmt.Errorf("config %s: key %q: %w", c.path, flag.Name, err)
		}
		items = append(items, text)
	}
	return items, nil
}

// configText is a value as it would be written on the command line.
func configText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	}
	return "", fmt.Errorf("a %T does not fit this flag", v)
}
