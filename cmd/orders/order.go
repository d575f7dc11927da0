package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// order is the whole status of one. Each service writes its own part, and the one
// that is the last to know writes the state at the top.
type order struct {
	node.Status                // placed, then picked and delivered, or failed and cancelled
	Items       map[string]int `json:"items,omitempty"`
	Amount      json.Number    `json:"amount,omitempty"`
	Payment     node.Status    `json:"payment,omitzero"`  // authorised, then captured or refunded
	Delivery    delivery       `json:"delivery,omitzero"` // booked, on_the_way, done, or none
}

type delivery struct {
	node.Status
	Van string `json:"van,omitempty"`
}

// orders selects the subjects of this program: order/ID.
const orders = chain.Prefix("order/")

// expectations are who has to speak of each order. Whoever is down is missing in
// the view then, rather than taken for having nothing to say.
var expectations = node.Expectations{
	{Prefix: orders, Authorities: []string{"warehouse", "payments"}, Within: 2 * time.Second},
	{Prefix: orders, Authorities: []string{"fleet"}, Within: time.Minute},
}

// orderIn reads an order. What is none, since somebody wrote a number where a text
// belongs, has no state: nobody answers it, and reactions go on.
func orderIn(s *chain.State) (o order) {
	if json.Unmarshal(s.Status().Append(nil), &o) != nil {
		return order{}
	}
	return o
}

// numberOf is an order's ID in other systems.
func numberOf(subject string) string { return strings.TrimPrefix(subject, string(orders)) }

// say makes a draft of a status: of the order, or of the part that keys lead to.
func say(subject string, s node.Status, keys ...string) *node.Draft {
	return &node.Draft{Subject: subject, Delta: s.Delta(keys...)}
}
