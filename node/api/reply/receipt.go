package reply

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Receipt is the answer of POST /v1/updates for one draft.
type Receipt struct {
	// ID is the update. Of a draft that changed nothing it is the authority's
	// newest of that subject, zero if it has none.
	ID      chain.ID   `json:"id"`
	Subject string     `json:"subject"`
	Time    time.Time  `json:"time"`
	HLC     chain.HLC  `json:"hlc"`
	Deps    []chain.ID `json:"deps"` // with those that the node found
	Acks    int        `json:"acks"` // nodes that hold it durably, as far as is known
	// Unchanged: the status says this already, and nothing was added.
	Unchanged bool `json:"unchanged"`
}
