package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// helpCmd is --help as a command.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command; none for all."`
}

// Run prints the help of a command.
func (c *helpCmd) Run(s *session) error {
	_, err := parse(&cli{}, s.process, append(c.Command, "--help"))
	return err
}

// printHelp is kong's help, with the examples of the command.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	name := "tidings"
	if at := ctx.Selected(); at != nil {
		name = at.Path()
	}
	text := examples[name]
	if text == "" {
		return nil
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\nExamples:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
	return err
}

// examples are command lines as a shell takes them, by command. Lines that begin
// with # say what the next one does.
var examples = map[string]string{
	"tidings": `
tidings demo
tidings agent --name wh-1 --authority warehouse --data-dir /var/lib/tidings
tidings publish order/42 '{"picked":true}'
tidings get order/42
tidings watch --prefix order`,
	"agent": `
tidings agent --name wh-1 --authority warehouse --data-dir /var/lib/tidings
# a second one, on the same host
tidings agent --name fl-1 --authority fleet --bind 127.0.0.1:7947 --http 127.0.0.1:7981 --join 127.0.0.1:7946
# in a mesh of hosts
tidings agent --bind 10.0.0.11:7946 --mesh-key-file /etc/tidings.key --join 10.0.0.12:7946,10.0.0.13:7946 --data-dir /var/lib/tidings`,
	"key new": `
tidings key new /etc/tidings.key`,
	"publish": `
tidings publish order/42 '{"state":"placed","items":2}'
# safe to repeat, and durable on two nodes
tidings publish order/42 @status.json --key order-42-placed --ack 2
# many, one a line
tidings publish --ndjson updates.ndjson`,
	"get": `
tidings get order/42
tidings get order/42 --expect
tidings get order/42 -o json --endpoints http://a:7980,http://b:7980`,
	"ls": `
tidings ls order
tidings ls order/ --empty --limit 20`,
	"history": `
tidings history order/42
tidings history order/42 -o json`,
	"why": `
tidings why order/42`,
	"watch": `
tidings watch order/42
# follow all orders from now on, and go on there after a restart
tidings watch --prefix order --since now --cursor-file place
# what is new since the last time
tidings watch --once --cursor-file place -o json`,
	"members": `
tidings members`,
	"members list": `
tidings members list -o json`,
	"members forget": `
tidings members forget wh-2`,
	"lag": `
tidings lag
tidings lag -o json`,
	"check": `
tidings check
tidings check --converged --max-lag 100 --timeout 3s`,
	"verify": `
tidings verify
tidings verify v2gg106mm4skd0a9segtlu8mp8`,
	"demo": `
tidings demo
tidings demo --stay`,
	"replay": `
tidings replay orders.ndjson.gz
# at 60 times its speed, through a node that runs
tidings replay orders.ndjson --speed 60 --endpoint warehouse=http://127.0.0.1:7980`,
	"bench": `
# a mesh of three in this process
tidings bench --duration 10s
# nodes that run, at a rate
tidings bench --endpoints http://a:7980,http://b:7980 --rate 500 --callers 32 -o json`,
	"version": `
tidings version`,
	"backup": `
tidings backup --data-dir /var/lib/tidings /backup/tidings-20260102`,
	"completion": `
source <(tidings completion bash)
tidings completion fish > ~/.config/fish/completions/tidings.fish`,
	"help": `
tidings help watch`,
}
