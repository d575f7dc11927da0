package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

func main() {
	os.Exit(tidings())
}

// tidings runs the process: it is main, but for the exit.
func tidings() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// The first signal asks the command to end, the second ends the process.
	// The goroutine lives as long as the process does.
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	return run(ctx, &process{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv,
	}, os.Args[1:])
}

// process is what a command has of the process that it runs in.
type process struct {
	in     io.Reader
	out    io.Writer // results
	err    io.Writer // everything else
	getenv func(string) string
}

// session is a command's run: the process and the flags that all commands
// share.
type session struct {
	*process
	ctx    context.Context // ends with the first signal
	output string          // text, json or svg
	color  bool            // of text on standard output
}

// say writes a line for people.
func (p *process) say(format string, args ...any) {
	fmt.Fprintf(p.err, "tidings: "+format+"\n", args...)
}

// run parses the arguments, runs the command and returns the exit status.
func run(ctx context.Context, p *process, args []string) int {
	err := dispatch(ctx, p, args)
	if text := describe(err); text != "" {
		p.say("%s", text)
	}
	return exitStatus(err)
}

func dispatch(ctx context.Context, p *process, args []string) error {
	var grammar cli
	parsed, err := parse(&grammar, p, args)
	if err != nil || parsed == nil {
		return err
	}
	return parsed.Run(&session{process: p, ctx: ctx, output: grammar.Output, color: p.colours(grammar.Color)})
}

// parse fills the grammar. It returns nil and no error where help was asked
// for, and printed; every error is one of usage.
func parse(grammar *cli, p *process, args []string) (*kong.Context, error) {
	helped := false
	var unprinted error
	parser, err := kong.New(grammar,
		kong.Name("tidings"),
		kong.Description("A peer-to-peer gossip mesh for status updates: run a node, publish to it, follow it."),
		kong.Writers(p.out, p.err),
		// Help asks to exit in the middle of parsing.
		kong.Exit(func(int) { helped = true }),
		kong.Bind(p),
		kong.ValueFormatter(helpWithEnvironment),
		kong.Help(func(o kong.HelpOptions, c *kong.Context) error {
			unprinted = printHelp(o, c)
			return unprinted
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, FlagsLast: true}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "node", Title: "Node:"},
			{Key: "client", Title: "Client:"},
			{Key: "other", Title: "Other:"},
		}),
	)
	if err != nil {
		return nil, err
	}
	for _, arg := range args {
		// Kong would make other characters of it, without a word.
		if !utf8.ValidString(arg) {
			return nil, usagef("argument %q is not UTF-8", arg)
		}
	}
	parsed, err := parser.Parse(args)
	switch {
	case unprinted != nil:
		return nil, unprinted
	case helped:
		return nil, nil
	case err != nil:
		var failed *kong.ParseError
		name := "tidings"
		if errors.As(err, &failed) && failed.Context != nil {
			name = commandName(failed.Context)
		}
		return nil, usagef("%w; see %s --help", err, name)
	case givenEmpty(parsed) != "":
		return nil, usagef("--%s is empty: give it a value, or leave it out", givenEmpty(parsed))
	case grammar.Output == "svg" && parsed.Selected().Name != "history":
		return nil, usagef("--output=svg is for history only: use text or json")
	}
	return parsed, nil
}

// givenEmpty names a flag that was given as an empty text, "" if there is none.
// A script whose variable is unset writes one, and does not mean that there be no
// key or no data directory. Where empty means something, the flag's tag says so;
// and in a file, an empty list is one.
func givenEmpty(c *kong.Context) string {
	for _, p := range c.Path {
		if p.Flag == nil || p.Flag.Tag.Has("empty") {
			continue
		}
		switch value := p.Flag.Target; value.Kind() {
		case reflect.String:
			if value.Len() == 0 {
				return p.Flag.Name
			}
		case reflect.Slice:
			if value.Len() == 0 && !p.Resolved {
				return p.Flag.Name
			}
		}
	}
	return ""
}

// commandName is the words that selected a command.
func commandName(c *kong.Context) string {
	if n := c.Selected(); n != nil {
		return n.FullPath()
	}
	return "tidings"
}
