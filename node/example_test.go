package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// A service that embeds a node, in memory and alone. With a DataDir it is
// durable, with Bind and Join it is part of a mesh.
func Example() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	id, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true,"shelf":"B7"}`)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("published seq", id.Seq)

	// A delta is a merge patch: null removes.
	if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"shelf":null,"packed":true}`)}); err != nil {
		log.Fatal(err)
	}
	order, err := n.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Status())
	// Output:
	// published seq 2
	// {"packed":true,"picked":true}
}

// Two authorities in one process: what one publishes, the other sees, and what
// it then publishes depends on that.
func ExampleNode_History() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hub := gossip.NewHub()
	var nodes []*node.Node
	for _, authority := range []string{"warehouse", "fleet"} {
		n, err := node.Open(ctx, node.Config{Name: authority + "-1", Authority: authority, Hub: hub})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close()
		nodes = append(nodes, n)
	}
	warehouse, fleet := nodes[0], nodes[1]
	picked, err := warehouse.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`)})
	if err != nil {
		log.Fatal(err)
	}
	if err := fleet.Wait(ctx, picked); err != nil {
		log.Fatal(err)
	}
	if _, err := fleet.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"van":"north"}`)}); err != nil {
		log.Fatal(err)
	}
	for u, err := range fleet.History(ctx, "order/42") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, after %d others\n", u.Delta, len(u.Deps))
	}
	// Output:
	// {"picked":true}, after 0 others
	// {"van":"north"}, after 1 others
}

// Enqueue returns at once; the outcome comes later.
func ExampleNode_Enqueue() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	ack, err := n.Enqueue(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`)})
	if err != nil {
		log.Fatal(err) // node.ErrBusy while the outbox is full
	}
	receipt, err := ack.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("seq", receipt.ID.Seq)
	// Output:
	// seq 2
}

// The feed of all that is applied, in causal order. The cursor of a batch is
// good on every node of the mesh.
func ExampleNode_Changes() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	for _, delta := range []string{`{"picked":true}`, `{"packed":true}`} {
		if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(delta)}); err != nil {
			log.Fatal(err)
		}
	}
	var saved string
	for batch, err := range n.Changes(ctx, node.InPrefix(chain.Prefix("order")), node.Since("start")) {
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range batch.Updates {
			fmt.Printf("%s %s\n", u.Subject, u.Delta)
		}
		saved = batch.Cursor.String() // once the batch is dealt with
		break                         // a service goes on for ever
	}
	fmt.Println(saved[:3])
	// Output:
	// order/42 {"picked":true}
	// order/42 {"packed":true}
	// c1.
}
