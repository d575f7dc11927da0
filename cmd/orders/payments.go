package main

import (
	"context"
	"net/http"

	"github.com/tidings-mesh/tidings/node"
)

func servePayments(ctx context.Context, args []string) error {
	s, f := newService("payments")
	if err := parse(f, args); err != nil {
		return err
	}
	return s.serve(ctx, beginPayments)
}

// beginPayments has payments answer what the others say of an order. Each hook
// answers each of their updates once, whatever is killed when.
func beginPayments(n *node.Node, _ *http.ServeMux) error {
	if _, err := n.React("authorise", orders, authorise, node.FromStart()); err != nil {
		return err
	}
	if _, err := n.React("capture", orders, capture, node.FromStart()); err != nil {
		return err
	}
	_, err := n.React("refund", orders, refund, node.FromStart())
	return err
}

// A service that really moves money does so here, before it returns the draft. The
// handler is called again after a crash in between, so it gives the bank
// c.Update.ID, which is the same then, to know the request by.

func authorise(_ context.Context, c node.Change) (*node.Draft, error) {
	if o := orderIn(c.After); o.State != "placed" || o.Payment.State != "" {
		return nil, nil
	}
	return say(c.Update.Subject, node.Status{State: "authorised"}, "payment"), nil
}

func capture(_ context.Context, c node.Change) (*node.Draft, error) {
	if o := orderIn(c.After); o.State != "delivered" || o.Payment.State != "authorised" {
		return nil, nil
	}
	return say(c.Update.Subject, node.Status{State: "captured"}, "payment"), nil
}

func refund(_ context.Context, c node.Change) (*node.Draft, error) {
	o := orderIn(c.After)
	if o.State != "failed" || o.Payment.State != "authorised" {
		return nil, nil
	}
	return say(c.Update.Subject, node.Status{State: "refunded", Reason: o.Reason}, "payment"), nil
}
