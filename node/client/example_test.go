package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/client"
)

// serve opens a node in memory that serves HTTP.
func serve(authority string) (endpoint string, stop func()) {
	n, err := node.Open(context.Background(), node.Config{Name: authority + "-1", Authority: authority})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(n.Handler())
	return server.URL, func() { server.Close(); _ = n.Close() }
}

// publish publishes some changes of an order.
func publish(ctx context.Context, c *client.Client, deltas ...string) {
	for _, delta := range deltas {
		if _, err := c.Publish(ctx, client.Draft{Subject: "order/42", Delta: json.RawMessage(delta)}); err != nil {
			log.Fatal(err)
		}
	}
}

// A consumer that keeps its place in a file, and goes on there after a restart, at
// whichever endpoint answers.
func Example() {
	ctx := context.Background()
	endpoint, stop := serve("warehouse")
	defer stop()
	c := client.New(client.Config{Endpoints: []string{endpoint, "http://127.0.0.1:1"}})
	defer c.Close()
	publish(ctx, c, `{"picked":true,"shelf":"B7"}`, `{"shelf":null,"packed":true}`)

	dir, err := os.MkdirTemp("", "place")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	place := client.CursorFile(filepath.Join(dir, "place"))
	for range 2 { // the second time there is nothing new
		for batch, err := range c.Changes(ctx, client.Keep(place), client.Prefix("order"), client.Once()) {
			if err != nil {
				log.Fatal(err)
			}
			for _, u := range batch.Updates {
				fmt.Printf("%s %s\n", u.Subject, u.Delta)
			}
		}
	}
	// Output:
	// order/42 {"picked":true,"shelf":"B7"}
	// order/42 {"shelf":null,"packed":true}
}

// What may happen to a feed, and what to do about it.
func ExampleClient_Changes() {
	ctx := context.Background()
	endpoint, stop := serve("warehouse")
	defer stop()
	c := client.New(client.Config{Endpoints: []string{endpoint}})
	defer c.Close()
	for _, err := range c.Changes(ctx, client.Since("c1.damaged")) {
		var p *client.Problem
		switch {
		case errors.Is(err, client.ErrGone) && errors.As(err, &p):
			// List c.Subjects, and go on from its cursor; or go on from p.Floor, and
			// miss what was before.
		case errors.Is(err, client.ErrBadCursor):
			fmt.Println("the cursor is damaged, or was made with another filter")
		case err != nil:
			log.Fatal(err)
		}
	}
	// Output:
	// the cursor is damaged, or was made with another filter
}

// The status of one subject, kept current.
func ExampleClient_Follow() {
	ctx := context.Background()
	endpoint, stop := serve("warehouse")
	defer stop()
	c := client.New(client.Config{Endpoints: []string{endpoint}})
	defer c.Close()
	publish(ctx, c, `{"picked":true}`)
	for order, err := range c.Follow(ctx, "order/42") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(order.Status))
		if order.Updates == 2 {
			break
		}
		publish(ctx, c, `{"packed":true}`)
	}
	// Output:
	// {"picked":true}
	// {"packed":true,"picked":true}
}

// The status of a subject as it was at a cursor: here, after each batch of a feed.
func ExampleAt() {
	ctx := context.Background()
	endpoint, stop := serve("warehouse")
	defer stop()
	c := client.New(client.Config{Endpoints: []string{endpoint}})
	defer c.Close()
	publish(ctx, c, `{"picked":true}`, `{"packed":true}`)
	for batch, err := range c.Changes(ctx, client.Limit(1), client.Once()) {
		if err != nil {
			log.Fatal(err)
		}
		then, err := c.View(ctx, "order/42", client.At(batch.Cursor))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(then.Status))
	}
	// Output:
	// {"picked":true}
	// {"packed":true,"picked":true}
}

// The status of every subject of a feed, with each update. To begin without the
// whole history, list the subjects first and follow from the list's cursor.
func ExampleClient_Rollup() {
	ctx := context.Background()
	endpoint, stop := serve("warehouse")
	defer stop()
	c := client.New(client.Config{Endpoints: []string{endpoint}})
	defer c.Close()
	publish(ctx, c, `{"picked":true}`)
	var cursor string
	for page, err := range c.Subjects(ctx, client.Prefix("order")) {
		if err != nil {
			log.Fatal(err)
		}
		for _, v := range page.Subjects {
			fmt.Printf("%s is %s\n", v.Subject, v.Status)
		}
		cursor = page.Cursor
	}
	publish(ctx, c, `{"packed":true}`)

	roll := c.Rollup()
	for batch, err := range c.Changes(ctx, client.Since(cursor), client.Prefix("order"), client.Once()) {
		if err != nil {
			log.Fatal(err)
		}
		steps, err := roll.Take(ctx, batch)
		if err != nil {
			log.Fatal(err)
		}
		for _, s := range steps {
			fmt.Printf("%s => %s\n", s.Update.Delta, s.Status)
		}
	}
	// Output:
	// order/42 is {"picked":true}
	// {"packed":true} => {"packed":true,"picked":true}
}
