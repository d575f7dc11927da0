package reply

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// Update is one status change.
type Update struct {
	ID        chain.ID        `json:"id"`
	Subject   string          `json:"subject"`
	Authority string          `json:"authority"`
	Time      time.Time       `json:"time"` // the wall clock of HLC
	HLC       chain.HLC       `json:"hlc"`
	Deps      []chain.ID      `json:"deps"`
	Delta     json.RawMessage `json:"delta"` // a JSON Merge Patch, as it was written
	// Cause and Hook are there where a reaction made the update.
	Cause chain.ID `json:"cause,omitzero"`
	Hook  string   `json:"hook,omitempty"`

	// Raw is the whole as the node gave it, with members that this build does
	// not know.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads an update and keeps its text.
func (u *Update) UnmarshalJSON(b []byte) error {
	type fields Update
	*u = Update{}
	if err := json.Unmarshal(b, (*fields)(u)); err != nil {
		return err
	}
	u.Raw = slices.Clone(b)
	return nil
}

// Stamp is the update's place in stitched order.
func (u *Update) Stamp() chain.Stamp { return chain.Stamp{HLC: u.HLC, ID: u.ID} }

// UpdateState is the answer of GET /v1/updates/{id}: an update as one node has it.
type UpdateState struct {
	Update
	// Kind is "genesis" of the first of a chain, "" of a status change.
	Kind    string
	Applied bool
	// Reason is why it is held, "dependency" or "clock", while it is not applied,
	// and WaitingFor what for.
	Reason     string
	WaitingFor []chain.ID
}

// UnmarshalJSON reads an update and its state.
func (s *UpdateState) UnmarshalJSON(b []byte) error {
	var state struct {
		Kind       string     `json:"kind"`
		Applied    bool       `json:"applied"`
		Reason     string     `json:"reason"`
		WaitingFor []chain.ID `json:"waiting_for"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	s.Kind, s.Applied, s.Reason, s.WaitingFor = state.Kind, state.Applied, state.Reason, state.WaitingFor
	return s.Update.UnmarshalJSON(b)
}

// Batch is an answer of GET /v1/changes: a part of the feed.
type Batch struct {
	Updates []Update `json:"updates"` // in stitched order
	// Since is the place before the batch, as the client asked for it.
	Since string `json:"-"`
	// Cursor is the place after the batch, good on every node.
	Cursor string `json:"cursor"`
	// UpToDate: the node had nothing more.
	UpToDate bool `json:"up_to_date"`
	// Behind are chains of which the cursor has seen more than the node. They
	// stay in the cursor.
	Behind []chain.Origin `json:"behind"`
	// Converged: the node has all that live members are known to have.
	Converged bool `json:"converged"`
	// Retracted are chains that were frozen: what the cursor had seen of each
	// after a seq counts no more.
	Retracted []chain.Retraction `json:"retracted"`
}

// History is the answer of GET /v1/history/{subject}.
type History struct {
	Subject string   `json:"subject"`
	Updates []Update `json:"updates"` // in stitched order
	// Complete: no older updates were folded away.
	Complete bool `json:"complete"`
}
