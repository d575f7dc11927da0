package core

import (
	"encoding/json"
	"fmt"

	"github.com/tidings-mesh/tidings/chain"
)

// reactionRecord is what the store keeps of a reaction.
type reactionRecord struct {
	prefix chain.Prefix
	place  chain.Cursor
}

// ReactionRecord names the private record of a hook's place.
func ReactionRecord(hook string) string { return "reaction/" + hook }

type reactionJSON struct {
	Prefix string `json:"prefix"`
	Place  string `json:"place"` // a cursor's text
}

func (r reactionRecord) encode() []byte {
	b, err := json.Marshal(reactionJSON{string(r.prefix), r.place.String()})
	if err != nil {
		panic(err) // two strings
	}
	return b
}

func decodeReactionRecord(b []byte) (reactionRecord, error) {
	var j reactionJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return reactionRecord{}, fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	place, err := chain.ParseCursor(j.Place)
	if err != nil {
		return reactionRecord{}, fmt.Errorf("%w: %w", chain.ErrCorrupt, err)
	}
	return reactionRecord{chain.Prefix(j.Prefix), place}, nil
}
