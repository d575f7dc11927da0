// Reactor is a service with a node inside whose reactions are killed again and
// again by the tests of package cluster: it answers every order, slowly, and until
// it is killed.
//
//	reactor -data-dir DIR -join HOST:PORT
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// hooks answer side by side, so that a kill hits one of them in any step.
var hooks = []string{"refund", "notify", "restock"}

func main() {
	dir := flag.String("data-dir", "", "the node's directory")
	join := flag.String("join", "", "a node of the mesh")
	flag.Parse()
	if err := run(*dir, *join); err != nil {
		log.Fatal(err)
	}
}

func run(dir, join string) error {
	n, err := node.Open(context.Background(), node.Config{
		Name: "pay-1", Authority: "payments", DataDir: dir, Bind: "127.0.0.1:0", Join: []string{join},
		RecoverWait: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer n.Close()
	for _, hook := range hooks {
		_, err := n.React(hook, chain.Prefix("order"), func(ctx context.Context, c node.Change) (*node.Draft, error) {
			time.Sleep(rand.N(2 * time.Millisecond))
			if number, ok := c.After.Status().Get("n"); ok && number.String() == "0" {
				return nil, nil
			}
			return &node.Draft{Subject: "payment/" + hook, Delta: fmt.Appendf(nil, `{"for":"%s"}`, c.Update.ID)}, nil
		}, node.FromStart())
		if err != nil {
			return err
		}
	}
	select {}
}
