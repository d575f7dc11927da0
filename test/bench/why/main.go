// Command why asks the same question in two ways, at the same time and of the same
// facts: what is the status of this order? One consumer asks the three authorities
// that know a part of it, side by side, and waits for all. The other one polls any
// node of a mesh. It measures how long they wait, how old the answer is, how often
// there is none, and what the authorities have to do for it; docs/why.md has what
// came out, and the picture that it draws.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

type options struct {
	length  time.Duration // of a scenario
	rate    int           // questions a second, of each consumer
	changes int           // facts that change a second, at each authority
	orders  int
	timeout time.Duration // of the consumer that asks
	seed    uint64
}

func main() {
	var o options
	flag.DurationVar(&o.length, "length", 15*time.Second, "how long each scenario is measured")
	flag.IntVar(&o.rate, "rate", 50, "questions a second of each consumer")
	flag.IntVar(&o.changes, "changes", 10, "changes a second at each authority")
	flag.IntVar(&o.orders, "orders", 20, "orders that they are spread over")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long the consumer that asks waits for an authority")
	flag.Uint64Var(&o.seed, "seed", 1, "of what is asked and changed")
	picture := flag.String("svg", "", "file to draw the result into")
	asJSON := flag.Bool("json", false, "print JSON, not a table")
	flag.Parse()
	if err := run(o, *picture, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "why:", err)
		os.Exit(1)
	}
}

func run(o options, picture string, asJSON bool) error {
	var results []Result
	for _, s := range scenarios {
		r, err := measure(s, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		results = append(results, r...)
	}
	if picture != "" {
		if err := os.WriteFile(picture, draw(results), 0o644); err != nil {
			return err
		}
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(results)
	}
	printTable(os.Stdout, results)
	return nil
}
