package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: orders demo
       orders warehouse|payments --data-dir DIR [--bind ADDR] [--http ADDR] [--join ADDR,…]
       orders fleet --legacy URL --data-dir DIR [--bind ADDR] [--http ADDR] [--join ADDR,…]
       orders legacy [--http ADDR] [--slow 2s]
`

var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case errors.Is(err, errUsage):
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "orders:", err)
	os.Exit(1)
}

// run runs one of the programs until it ends, or ctx does.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	switch name, args := args[0], args[1:]; name {
	case "warehouse":
		return serveWarehouse(ctx, args)
	case "payments":
		return servePayments(ctx, args)
	case "fleet":
		return serveFleet(ctx, args)
	case "legacy":
		return serveLegacy(ctx, args)
	case "demo":
		return runDemo(ctx, args, os.Stdout)
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	}
	fmt.Fprintf(os.Stderr, "orders: there is no %q\n%s", args[0], usage)
	return errUsage
}

// parse reads flags, which take no arguments besides.
func parse(f *flag.FlagSet, args []string) error {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage // the flags said what is wrong
	case f.NArg() > 0:
		fmt.Fprintf(f.Output(), "orders %s: what is %q?\n", f.Name(), f.Arg(0))
		return errUsage
	}
	return nil
}
