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

// The payment processor refunds what the fleet loses: each loss once, however often
// either of them is restarted.
func ExampleNode_React() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hub := gossip.NewHub()
	var nodes []*node.Node
	for _, authority := range []string{"fleet", "payments"} {
		n, err := node.Open(ctx, node.Config{Name: authority + "-1", Authority: authority, Hub: hub})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close()
		nodes = append(nodes, n)
	}
	fleet, payments := nodes[0], nodes[1]
	<-payments.Ready()
	stop, err := payments.React("refund", chain.Prefix("order"), func(ctx context.Context, c node.Change) (*node.Draft, error) {
		was, _ := c.Before.Status().Get("lost")
		lost, ok := c.After.Status().Get("lost")
		if !ok || was.Equal(lost) {
			return nil, nil // nothing to say
		}
		fmt.Printf("%s: %s, so refund %s\n", c.Authority, c.Update.Delta, lost)
		return &node.Draft{Subject: c.Update.Subject, Delta: fmt.Appendf(nil, `{"refund":%s}`, lost)}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	for _, delta := range []string{`{"van":"north"}`, `{"lost":2}`} {
		if _, err := fleet.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(delta)}); err != nil {
			log.Fatal(err)
		}
	}
	for batch, err := range payments.Changes(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range batch.Updates {
			if u.Hook != "" {
				fmt.Printf("hook %s: %s\n", u.Hook, u.Delta)
				return
			}
		}
	}
	// Output:
	// fleet: {"lost":2}, so refund 2
	// hook refund: {"refund":2}
}

func ExampleFromStart() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hub := gossip.NewHub()
	fleet, err := node.Open(ctx, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()
	if _, err := fleet.Publish(ctx, node.Draft{Subject: "order/1", Delta: json.RawMessage(`{"van":"north"}`)}); err != nil {
		log.Fatal(err)
	}
	audit, err := node.Open(ctx, node.Config{Name: "audit-1", Authority: "audit", Hub: hub})
	if err != nil {
		log.Fatal(err)
	}
	defer audit.Close()
	seen := make(chan string)
	stop, err := audit.React("count", "", func(_ context.Context, c node.Change) (*node.Draft, error) {
		seen <- c.Update.Subject
		return nil, nil
	}, node.FromStart())
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	fmt.Println(<-seen)
	// Output:
	// order/1
}

// Who has not spoken of an order yet, and who is late. An authority that says
// nothing is never taken for one that has nothing to say.
func ExampleNode_Attendance() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse", Expect: node.Expectations{
		{Prefix: "order/", Authorities: []string{"warehouse", "fleet"}, Within: time.Millisecond},
		{Prefix: "order/", Authorities: []string{"payments"}, Within: time.Hour},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"state":"placed"}`)}); err != nil {
		log.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond)

	a, err := n.Attendance(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("expected", a.Expected)
	fmt.Println("missing", a.Missing)
	fmt.Println("late", a.Late)
	fmt.Println("the next one within the hour:", a.Next > 0 && a.Next < time.Hour)
	// Output:
	// expected [fleet payments warehouse]
	// missing [fleet payments]
	// late [fleet]
	// the next one within the hour: true
}

// A status by the conventions of docs/conventions.md. The next one takes away
// what it does not say itself.
func ExampleStatus_Delta() {
	failed := node.Status{State: "failed", Reason: "out_of_stock", Message: "No lamp is left on shelf B7.", URL: "https://shop.test/orders?id=42&tab=stock"}
	fmt.Printf("%s\n", failed.Delta())
	fmt.Printf("%s\n", node.Status{State: "refunded"}.Delta("payment"))
	// Output:
	// {"message":"No lamp is left on shelf B7.","reason":"out_of_stock","state":"failed","url":"https://shop.test/orders?id=42&tab=stock"}
	// {"payment":{"message":null,"reason":null,"state":"refunded","url":null}}
}

// An authority that has nothing more to say of a subject ends its part of it. A
// subject that all have ended is listed no more, and keeps its history.
func ExampleStatus_end() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: node.Status{State: "picked"}.Delta()}); err != nil {
		log.Fatal(err)
	}
	order, err := n.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Status())

	if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: chain.EndDelta(order, n.Authority())}); err != nil {
		log.Fatal(err)
	}
	if order, err = n.View(ctx, "order/42"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Status(), "ended:", order.Empty())
	// Output:
	// {"state":"picked"}
	// {} ended: true
}
