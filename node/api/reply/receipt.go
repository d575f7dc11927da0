package reply

import (
	"encoding/json"
	"slices"
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
	// Status is 201 of a new update, 200 of one that was there (by its key, or
	// Unchanged), and 202 where fewer nodes hold it than were asked for.
	Status int `json:"status"`

	// Raw is the whole as the node gave it.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads a receipt and keeps its text.
func (r *Receipt) UnmarshalJSON(b []byte) error {
	type fields Receipt
	*r = Receipt{}
	if err := json.Unmarshal(b, (*fields)(r)); err != nil {
		return err
	}
	r.Raw = slices.Clone(b)
	return nil
}
