package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// Whole states go in, only what changed goes out.
func ExampleTrackOf() {
	type Order struct {
		State string         `json:"state"`
		Shelf string         `json:"shelf,omitempty"`
		Items map[string]int `json:"items,omitempty"`
	}
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	order := node.TrackOf[Order](n, "order/42")
	for _, o := range []Order{
		{State: "placed", Items: map[string]int{"lamp": 1, "desk": 1}},
		{State: "placed", Items: map[string]int{"lamp": 1, "desk": 1}}, // nothing new
		{State: "picked", Shelf: "B7", Items: map[string]int{"lamp": 1}},
		{State: "packed", Items: map[string]int{"lamp": 1}},
	} {
		if err := order.Set(ctx, o); err != nil {
			log.Fatal(err)
		}
	}
	for u, err := range n.History(ctx, "order/42") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", u.Delta)
	}
	// Output:
	// {"items":{"desk":1,"lamp":1},"state":"placed"}
	// {"items":{"desk":null},"shelf":"B7","state":"picked"}
	// {"shelf":null,"state":"packed"}
}

// What is JSON already is taken as it is, and its numbers keep their text.
func ExampleTrack_Set() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "pay-1", Authority: "payments"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	payment := node.TrackOf[json.RawMessage](n, "order/42")
	for _, state := range []string{
		`{"payment": {"state": "authorised", "amount": 49.90}}`,
		`{"payment": {"state": "captured", "amount": 49.9, "refund": null}}`,
	} {
		if err := payment.Set(ctx, json.RawMessage(state)); err != nil {
			log.Fatal(err)
		}
	}
	view, err := n.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.Status())
	var bad *chain.DraftError
	fmt.Println(errors.As(payment.Set(ctx, json.RawMessage(`["captured"]`)), &bad), bad.Field)
	// Output:
	// {"payment":{"amount":49.90,"state":"captured"}}
	// true state
}

// A subject ends when its authorities have taken back what they said of it.
func ExampleTrack_End() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	order := node.TrackOf[map[string]string](n, "order/42")
	if err := order.Set(ctx, map[string]string{"state": "delivered", "shelf": "B7"}); err != nil {
		log.Fatal(err)
	}
	if err := order.End(ctx); err != nil {
		log.Fatal(err)
	}
	view, err := n.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.Status(), view.Empty(), view.Updates())
	// Output:
	// {} true 2
}

// A system that can only be asked, and answers for many orders at once.
func ExamplePoll() {
	type Order struct {
		State string `json:"state"`
	}
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse"})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	stop, err := node.Poll(n, node.Source[Order]{
		Name: "wms", Every: 20 * time.Millisecond, Timeout: 10 * time.Second,
		Ask: func(ctx context.Context) (map[string]Order, error) { // a query, a call by HTTP, ...
			return map[string]Order{"order/1": {"picked"}, "order/2": {"placed"}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stop()

	seen := 0
	for batch, err := range n.Changes(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range batch.Updates {
			fmt.Printf("%s %s\n", u.Subject, u.Delta)
		}
		if seen += len(batch.Updates); seen == 2 {
			break // a service goes on
		}
	}
	// Output:
	// order/1 {"state":"picked"}
	// order/2 {"state":"placed"}
}

// One makes a source of a call that answers for one subject.
func ExampleOne() {
	ask := node.One("door/7", func(ctx context.Context) (map[string]bool, error) {
		return map[string]bool{"open": true}, nil
	})
	answer, err := ask(context.Background())
	fmt.Println(answer, err)
	// Output:
	// map[door/7:map[open:true]] <nil>
}

// Drafts that linger share a sync; Publish takes them along.
func ExampleNode_OutboxDepth() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1", Linger: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	for _, delta := range []string{`{"scanned":1}`, `{"scanned":2}`} {
		if _, err := n.Enqueue(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(delta)}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("waiting:", n.OutboxDepth())
	if _, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`)}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("waiting:", n.OutboxDepth())
	// Output:
	// waiting: 2
	// waiting: 0
}

// Whoever enqueues and does not wait for each Ack learns at the end what was not
// committed.
func ExampleUndeliveredError() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Config{Name: "wh-1"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := n.Enqueue(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`), Key: "scan-1"}); err != nil {
		log.Fatal(err)
	}
	var undelivered *node.UndeliveredError
	switch err := n.Close(); {
	case errors.As(err, &undelivered):
		for _, d := range undelivered.Drafts {
			fmt.Println("to be published again:", d.Subject, d.Key)
		}
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println("all is on the chain")
	}
	// Output:
	// all is on the chain
}
