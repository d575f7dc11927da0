package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// inStock is what the warehouse has. A real one keeps it in its own database.
var inStock = map[string]bool{"lamp": true, "chair": true}

func serveWarehouse(ctx context.Context, args []string) error {
	s, f := newService("warehouse")
	if err := parse(f, args); err != nil {
		return err
	}
	return s.serve(ctx, beginWarehouse)
}

// beginWarehouse has the warehouse take orders, pick what is paid for, and cancel
// what is refunded.
func beginWarehouse(n *node.Node, mux *http.ServeMux) error {
	mux.HandleFunc("PUT /orders/{number}", func(w http.ResponseWriter, r *http.Request) {
		id, err := place(r, n)
		var bad *chain.DraftError
		switch {
		case errors.As(err, &bad), errors.Is(err, errNoOrder):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, id)
		}
	})
	// The hooks' places are kept in the data directory, so that what comes while the
	// service is down is answered after it. FromStart is for the very first start.
	if _, err := n.React("pick", orders, pick, node.FromStart()); err != nil {
		return err
	}
	_, err := n.React("cancel", orders, cancel, node.FromStart())
	return err
}

var errNoOrder = errors.New(`no order: it is to be like {"items":{"lamp":1},"amount":49.90}`)

// place publishes a new order. The key makes it safe to send one again.
func place(r *http.Request, n *node.Node) (chain.ID, error) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 16<<10)).Decode(&o); err != nil || len(o.Items) == 0 || o.Amount == "" {
		return chain.ID{}, errNoOrder
	}
	delta, err := json.Marshal(order{Status: node.Status{State: "placed"}, Items: o.Items, Amount: o.Amount})
	if err != nil {
		return chain.ID{}, err
	}
	number := r.PathValue("number")
	return n.Publish(r.Context(), node.Draft{Subject: string(orders) + number, Delta: delta, Key: "place " + number})
}

// pick picks what is paid for, or finds that it cannot. It decides by the order as
// it is now, not by what changed, so that it may be asked twice.
func pick(_ context.Context, c node.Change) (*node.Draft, error) {
	o := orderIn(c.After)
	if o.State != "placed" || o.Payment.State != "authorised" {
		return nil, nil // nothing to do
	}
	for item := range o.Items {
		if !inStock[item] {
			return say(c.Update.Subject, node.Status{State: "failed", Reason: "out_of_stock", Message: "There is no " + item + " left."}), nil
		}
	}
	return say(c.Update.Subject, node.Status{State: "picked"}), nil
}

// cancel ends a failed order, once the money is on its way back.
func cancel(_ context.Context, c node.Change) (*node.Draft, error) {
	o := orderIn(c.After)
	if o.State != "failed" || o.Payment.State != "refunded" {
		return nil, nil
	}
	return say(c.Update.Subject, node.Status{State: "cancelled", Reason: o.Reason, Message: o.Message}), nil
}
