package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tidings-mesh/tidings/node"
)

// fleet delivers by an old system, which can only be asked, and is slow.
type fleet struct {
	legacy string // its URL
	http   *http.Client
}

func serveFleet(ctx context.Context, args []string) error {
	fleet := &fleet{http: &http.Client{Timeout: 10 * time.Second}}
	s, f := newService("fleet")
	f.StringVar(&fleet.legacy, "legacy", "", "`URL` of the old system; required")
	if err := parse(f, args); err != nil {
		return err
	}
	if fleet.legacy == "" {
		fmt.Fprintln(f.Output(), "orders fleet: --legacy is missing: the URL of the old system")
		return errUsage
	}
	return s.serve(ctx, fleet.begin)
}

// begin has the fleet poll the old system, and book there what is picked.
func (f *fleet) begin(n *node.Node, _ *http.ServeMux) error {
	if _, err := n.React("dispatch", orders, f.dispatch, node.FromStart()); err != nil {
		return err
	}
	_, err := node.Poll(n, node.Source[said]{Name: "legacy", Every: time.Second, Timeout: 5 * time.Second, Ask: f.ask})
	return err
}

// said is all that the fleet says of an order.
type said struct {
	State    string   `json:"state,omitempty"`
	Delivery delivery `json:"delivery"`
}

// ask asks the old system for all deliveries. One that is not in the answer stays
// as it was.
func (f *fleet) ask(ctx context.Context) (map[string]said, error) {
	var trips map[string]trip
	if err := f.call(ctx, http.MethodGet, "/deliveries", &trips); err != nil {
		return nil, err
	}
	all := map[string]said{}
	for number, t := range trips {
		s := said{Delivery: delivery{Status: node.Status{State: "on_the_way"}, Van: t.Van}}
		if t.Status == "DELIVERED" {
			s.State, s.Delivery.State = "delivered", "done" // the fleet is the last to know of the order itself
		}
		all[string(orders)+number] = s
	}
	return all, nil
}

// dispatch books a van for what is picked; what comes of that the poll tells. The old
// system takes the same booking twice. An error is tried again.
func (f *fleet) dispatch(ctx context.Context, c node.Change) (*node.Draft, error) {
	switch o := orderIn(c.After); {
	case o.State == "picked" && o.Delivery.State == "":
		return nil, f.call(ctx, http.MethodPut, "/deliveries/"+url.PathEscape(numberOf(c.Update.Subject)), nil)
	case o.State == "cancelled":
		// Nobody shall wait for the fleet.
		return say(c.Update.Subject, node.Status{State: "none", Reason: o.State}, "delivery"), nil
	}
	return nil, nil
}

// call calls the old system.
func (f *fleet) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, f.legacy+path, nil)
	if err != nil {
		return err
	}
	res, err := f.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 300:
		return fmt.Errorf("legacy: %s %s: %s", method, path, res.Status)
	case into == nil:
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}
