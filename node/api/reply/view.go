package reply

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// View is what all updates of a subject add up to.
type View struct {
	Subject     string                     `json:"subject"`
	Status      json.RawMessage            `json:"status"` // the fold of all deltas in stitched order
	Authorities map[string]AuthorityStatus `json:"authorities"`
	Conflicts   []Conflict                 `json:"conflicts"` // by path
	Heads       []chain.ID                 `json:"heads"`
	Updates     uint64                     `json:"updates"`
	Time        time.Time                  `json:"time"` // of the last update

	// Who is expected to speak of it by the node's configuration, who of them has
	// not, and who of those is late. Only where expect=true was asked for.
	Expected []string `json:"expected,omitempty"`
	Missing  []string `json:"missing,omitempty"`
	Late     []string `json:"late,omitempty"`

	// Raw is the whole as the node gave it: the same bytes on every node with
	// the same updates.
	Raw json.RawMessage `json:"-"`
}

// AuthorityStatus is what one authority says of a subject.
type AuthorityStatus struct {
	Status json.RawMessage `json:"status"`
	Update chain.ID        `json:"update"` // its newest
	Time   time.Time       `json:"time"`
}

// Conflict is a path to which several wrote without having seen each other.
type Conflict struct {
	Path   string  `json:"path"`   // JSON pointer, "" for the whole
	Writes []Write `json:"writes"` // the one that the status shows comes first
}

// Write is one of the writes in conflict.
type Write struct {
	Value     json.RawMessage `json:"value"`
	Deleted   bool            `json:"deleted"`
	Authority string          `json:"authority"`
	Update    chain.ID        `json:"update"`
	Time      time.Time       `json:"time"`
}

// UnmarshalJSON reads a view and keeps its text.
func (v *View) UnmarshalJSON(b []byte) error {
	type fields View
	*v = View{}
	if err := json.Unmarshal(b, (*fields)(v)); err != nil {
		return err
	}
	v.Raw = slices.Clone(b)
	return nil
}

// Page is an answer of GET /v1/subjects.
type Page struct {
	Subjects []View `json:"subjects"`
	// NextPage leads to the next page, "" for none.
	NextPage string `json:"next_page"`
	// Cursor was taken before the first page was read: follow the feed from
	// there with the same filter, and nothing is missed.
	Cursor string `json:"cursor"`
}
