package chain_test

import (
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

// What an authority publishes when it has nothing more to say of a subject. The
// state is a node's view of it, here made by hand.
func ExampleEndDelta() {
	order := chain.NewState("order/42")
	for i, u := range []struct{ authority, delta string }{
		{"warehouse", `{"state":"picked","shelf":"B7"}`},
		{"fleet", `{"state":"delivered"}`},
	} {
		id := chain.ID{Origin: chain.Origin{byte(i)}, Seq: 2}
		update := &chain.Update{ID: id, Kind: chain.KindStatus, HLC: chain.HLC(i + 1), Subject: "order/42", Delta: []byte(u.delta)}
		if _, err := order.Add(update, u.authority, nil); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%s\n", chain.EndDelta(order, "warehouse")) // the state is the fleet's by now
	fmt.Printf("%s\n", chain.EndDelta(order, "fleet"))
	// Output:
	// {"shelf":null}
	// {"state":null}
}
