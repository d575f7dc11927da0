package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// opened opens a node for one of the examples below, whose subject is another.
func opened(c node.Config) *node.Node {
	n, err := node.Open(context.Background(), c)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func published(n *node.Node, subject, delta string) chain.ID {
	id, err := n.Publish(context.Background(), node.Draft{Subject: subject, Delta: json.RawMessage(delta)})
	if err != nil {
		log.Fatal(err)
	}
	return id
}

// Two nodes of a mesh, on disk.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "tidings-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	warehouse, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse", DataDir: dir + "/wh", Bind: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	defer warehouse.Close()
	fleet, err := node.Open(ctx, node.Config{Name: "fl-1", Authority: "fleet", DataDir: dir + "/fl", Bind: "127.0.0.1:0", Join: []string{warehouse.Addr()}})
	if err != nil {
		log.Fatal(err)
	}
	defer fleet.Close()

	id, err := warehouse.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"state":"picked"}`)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fleet.Wait(ctx, id))

	_, err = node.Open(ctx, node.Config{Authority: "warehouse"}) // in memory, and without a name
	fmt.Println(errors.Is(err, node.ErrConfig))
	// Output:
	// <nil>
	// true
}

// The zero value, with a name, is a node in memory that is alone.
func ExampleConfig() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	fmt.Println(n.Name(), n.Authority(), n.Addr() == "")
	// Output:
	// wh-1 wh-1 true
}

// A key makes it safe to publish again what may have been published.
func ExampleNode_Publish() {
	ctx := context.Background()
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	d := node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":1}`), Key: "scan-7"}
	first, err := n.Publish(ctx, d)
	if err != nil {
		log.Fatal(err)
	}
	again, err := n.Publish(ctx, d)
	fmt.Println(again == first, err)

	d.Delta = json.RawMessage(`{"picked":2}`)
	_, err = n.Publish(ctx, d)
	var bad *chain.DraftError
	fmt.Println(errors.As(err, &bad), bad.Field)
	// Output:
	// true <nil>
	// true key
}

// A node whose clock is far off, or whose chain is not recovered, refuses for a while.
func ExampleNode_Publish_refused() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	_, err := n.Publish(context.Background(), node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":1}`)})
	switch {
	case errors.Is(err, node.ErrNotReady), errors.Is(err, node.ErrClockSkew):
		fmt.Println("try again later:", err)
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println("it is on the chain")
	}
	// Output:
	// it is on the chain
}

func ExampleNode_View() {
	ctx := context.Background()
	n := opened(node.Config{Name: "wh-1", Authority: "warehouse"})
	defer n.Close()
	published(n, "order/42", `{"state":"picked","shelf":"B7"}`)
	order, err := n.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	state, ok := order.Status().Get("state")
	fmt.Println(state, ok, order.Authorities())
	_, err = n.View(ctx, "order/43")
	fmt.Println(errors.Is(err, chain.ErrNotFound))
	// Output:
	// "picked" true [warehouse]
	// true
}

// Read what you wrote, on another node.
func ExampleNode_Wait() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hub := gossip.NewHub()
	warehouse, fleet := opened(node.Config{Name: "wh-1", Hub: hub}), opened(node.Config{Name: "fl-1", Hub: hub})
	defer warehouse.Close()
	defer fleet.Close()
	id := published(warehouse, "order/42", `{"state":"picked"}`)
	if err := fleet.Wait(ctx, id); err != nil {
		log.Fatal(err)
	}
	order, err := fleet.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Status())
	// Output:
	// {"state":"picked"}
}

// The outcome of a draft comes by its Ack, for whoever wants it.
func ExampleAck() {
	ctx := context.Background()
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	ack, err := n.Enqueue(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`)})
	if errors.Is(err, node.ErrBusy) {
		return // the outbox is full: slow down, or drop it
	}
	if err != nil {
		log.Fatal(err)
	}
	<-ack.Done()
	receipt, err := ack.Result()
	fmt.Println(receipt.ID.Seq, err)
	receipt, err = ack.Wait(ctx) // the same, in one step
	fmt.Println(receipt.ID.Seq, err)
	// Output:
	// 2 <nil>
	// 2 <nil>
}

// firstBatch prints the first batch of a feed.
func firstBatch(n *node.Node, options ...node.ChangesOption) {
	for batch, err := range n.Changes(context.Background(), options...) {
		if err != nil {
			log.Fatal(err)
		}
		for _, u := range batch.Updates {
			fmt.Println(u.Subject)
		}
		return
	}
}

// A cursor that was kept goes on where it was, on this node or another one.
func ExampleSince() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	published(n, "order/1", `{"state":"placed"}`)
	var last *node.Batch
	for batch, err := range n.Changes(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		last = batch
		break
	}
	published(n, "order/2", `{"state":"placed"}`)
	firstBatch(n, node.Since(last.Cursor.String()))
	// Output:
	// order/2
}

func ExampleInPrefix() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	published(n, "order/1", `{"state":"placed"}`)
	published(n, "shelf/B7", `{"lamps":3}`)
	firstBatch(n, node.InPrefix("shelf"))
	// Output:
	// shelf/B7
}

func ExampleByAuthority() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	hub := gossip.NewHub()
	warehouse, fleet := opened(node.Config{Name: "warehouse", Hub: hub}), opened(node.Config{Name: "fleet", Hub: hub})
	defer warehouse.Close()
	defer fleet.Close()
	published(warehouse, "order/1", `{"state":"placed"}`)
	if err := warehouse.Wait(ctx, published(fleet, "van/north", `{"at":"depot"}`)); err != nil {
		log.Fatal(err)
	}
	firstBatch(warehouse, node.ByAuthority("fleet"))
	// Output:
	// van/north
}

func ExampleLimit() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	published(n, "order/1", `{"state":"placed"}`)
	published(n, "order/2", `{"state":"placed"}`)
	firstBatch(n, node.Limit(1))
	// Output:
	// order/1
}

// A name that is taken, or none, is an error of React.
func ExampleErrReaction() {
	n := opened(node.Config{Name: "pay-1", Authority: "payments"})
	defer n.Close()
	nothing := func(context.Context, node.Change) (*node.Draft, error) { return nil, nil }
	stop, err := n.React("refund", "order", nothing)
	if err != nil {
		log.Fatal(err)
	}
	_, err = n.React("refund", "order", nothing)
	fmt.Println(errors.Is(err, node.ErrReaction))
	stop()
	_, err = n.React("refund", "order", nothing) // it is free again
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// A start is over once the node has caught up; Readiness says how it is at any time.
func ExampleNode_Ready() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	<-n.Ready()
	fmt.Println("caught up")
	// Output:
	// caught up
}

func ExampleNode_Readiness() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	<-n.Ready()
	r := n.Readiness()
	fmt.Println(r.Ready, r.Reason == "")
	// Output:
	// true true
}

// A node that never had a peer is converged.
func ExampleNode_Converged() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	fmt.Println(n.Converged())
	// Output:
	// true
}

func ExampleNode_Close() {
	n := opened(node.Config{Name: "wh-1"})
	fmt.Println(n.Close(), n.Close()) // once is enough
	_, err := n.Publish(context.Background(), node.Draft{Subject: "order/42", Delta: json.RawMessage(`{}`)})
	fmt.Println(errors.Is(err, chain.ErrClosed))
	// Output:
	// <nil> <nil>
	// true
}

// A service ends where its node must not go on.
func ExampleNode_Failed() {
	ctx, cancel := context.WithCancel(context.Background())
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	cancel() // as a signal does
	select {
	case <-ctx.Done():
		fmt.Println("the service is told to end")
	case <-n.Failed():
		log.Fatal(n.FailedBy())
	}
	// Output:
	// the service is told to end
}

func ExampleNode_FailedBy() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	fmt.Println(n.FailedBy())
	// Output:
	// <nil>
}

// A member that was switched off for good counts until it is forgotten.
func ExampleNode_Forget() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	ctx := context.Background()
	fmt.Println(errors.Is(n.Forget(ctx, "wh-0"), api.ErrNotFound), errors.Is(n.Forget(ctx, "wh-1"), api.ErrAlive))
	// Output:
	// true true
}

// The interface that consumers poll, served by whatever server there is.
func ExampleNode_Handler() {
	n := opened(node.Config{Name: "wh-1", Authority: "warehouse"})
	defer n.Close()
	published(n, "order/42", `{"state":"picked"}`)
	server := httptest.NewServer(n.Handler())
	defer server.Close()
	res, err := server.Client().Get(server.URL + "/v1/subjects/order/42")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	var view struct{ Status json.RawMessage }
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.Status, err, json.Unmarshal(body, &view))
	fmt.Printf("%s\n", view.Status)
	// Output:
	// 200 OK <nil> <nil>
	// {"state":"picked"}
}

func ExampleNode_Mesh() {
	n := opened(node.Config{Name: "wh-1", Authority: "warehouse"})
	defer n.Close()
	published(n, "order/42", `{"state":"picked"}`)
	m := n.Mesh()
	fmt.Println(m.Node, m.Store.Updates, m.Store.Subjects, len(m.Held))
	// Output:
	// wh-1 1 1 0
}

// An update's ID is its chain's origin, and its number there.
func ExampleNode_Origin() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	id := published(n, "order/42", `{"state":"picked"}`)
	fmt.Println(id.Origin == n.Origin(), id.Seq)
	// Output:
	// true 2
}

// The name is the node's, the authority that of all nodes of one service.
func ExampleNode_Name() {
	n := opened(node.Config{Name: "wh-1", Authority: "warehouse"})
	defer n.Close()
	fmt.Println(n.Name(), n.Authority())
	// Output:
	// wh-1 warehouse
}

func ExampleNode_Authority() {
	n := opened(node.Config{Name: "wh-1"}) // without one it is the name
	defer n.Close()
	fmt.Println(n.Authority())
	// Output:
	// wh-1
}

// What Addr says is what others join.
func ExampleNode_Addr() {
	first := opened(node.Config{Name: "wh-1", Bind: "127.0.0.1:0"})
	defer first.Close()
	second := opened(node.Config{Name: "wh-2", Bind: "127.0.0.1:0", Join: []string{first.Addr()}})
	defer second.Close()
	fmt.Println(first.Addr() != second.Addr())
	// Output:
	// true
}

// For an authority that several expectations name, the longest prefix counts.
func ExampleExpectation() {
	ctx := context.Background()
	soon := node.Expectation{Prefix: "order/", Authorities: []string{"fleet"}, Within: time.Nanosecond}
	export := node.Expectation{Prefix: "order/export/", Authorities: []string{"fleet"}, Within: time.Hour}
	n := opened(node.Config{Name: "wh-1", Expect: node.Expectations{soon, export}})
	defer n.Close()
	for _, subject := range []string{"order/42", "order/export/43"} {
		published(n, subject, `{"state":"placed"}`)
		time.Sleep(2 * time.Millisecond) // a time has milliseconds
		a, err := n.Attendance(ctx, subject)
		fmt.Println(subject, a.Missing, a.Late, err)
	}
	// Output:
	// order/42 [fleet] [fleet] <nil>
	// order/export/43 [fleet] [] <nil>
}

// A copy of a node's data directory, and the node that it becomes: without anybody
// to ask how far its chain went, it goes on under a new origin.
func ExampleNode_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tidings-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	n := opened(node.Config{Name: "wh-1", DataDir: dir + "/wh"})
	published(n, "order/42", `{"state":"picked"}`)
	if err := n.Backup(ctx, dir+"/copy"); err != nil {
		log.Fatal(err)
	}
	origin := n.Origin()
	n.Close()

	restored := opened(node.Config{Name: "wh-1", DataDir: dir + "/copy"})
	defer restored.Close()
	order, err := restored.View(ctx, "order/42")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(order.Status(), restored.Origin() == origin)
	// Output: {"state":"picked"} false
}

// What a node in memory has no directory for.
func ExampleNode_Snapshot() {
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	_, err := n.Snapshot(context.Background())
	fmt.Println(errors.Is(err, node.ErrInMemory))
	// Output: true
}

// The status as it was where a consumer's cursor stands.
func ExampleNode_ViewAt() {
	ctx := context.Background()
	n := opened(node.Config{Name: "wh-1"})
	defer n.Close()
	published(n, "order/42", `{"state":"placed"}`)
	var place string
	for batch, err := range n.Changes(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		place = batch.Cursor.String()
		break
	}
	published(n, "order/42", `{"state":"picked"}`)

	then, err := n.ViewAt(ctx, "order/42", place)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(then.Status())
	// Output: {"state":"placed"}
}
