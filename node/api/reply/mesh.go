package reply

import "github.com/tidings-mesh/tidings/chain"

// Mesh is the answer of GET /v1/mesh: a node's picture of the mesh and of itself.
type Mesh struct {
	Node      string       `json:"node"`
	Authority string       `json:"authority"`
	Origin    chain.Origin `json:"origin"`
	Version   string       `json:"version"`
	Converged bool         `json:"converged"`
	Root      chain.Hash   `json:"root"`
	Members   []Member     `json:"members"`
	Chains    []Chain      `json:"chains"`
	Held      []Held       `json:"held"`
	Freezes   []Freeze     `json:"freezes,omitempty"`
	Store     StoreStats   `json:"store"`
}

// Member is one node of the mesh, this one included.
type Member struct {
	Name      string       `json:"name"`
	Authority string       `json:"authority"`
	Origin    chain.Origin `json:"origin"`
	Addr      string       `json:"addr"`
	HTTP      string       `json:"http"`
	Status    string       `json:"status"` // alive, leaving, left or failed
	Zone      string       `json:"zone"`
	RTTMs     float64      `json:"rtt_ms"`
	Root      chain.Hash   `json:"root"`
	Behind    uint64       `json:"behind"` // updates that it has still to get
	// ClockOffMs is how far its clock is off the median of the mesh's, where that
	// is so far that it refuses to publish.
	ClockOffMs int64 `json:"clock_off_ms,omitempty"`
}

// Chain is what this node has of one chain. Heads are seqs: Head is the
// highest received, Known the highest that any member has reported.
type Chain struct {
	Origin    chain.Origin `json:"origin"`
	Authority string       `json:"authority"`
	Node      string       `json:"node"`
	Head      chain.Seq    `json:"head"`
	Applied   chain.Seq    `json:"applied"`
	Known     chain.Seq    `json:"known"`
	Held      uint64       `json:"held"`
	AgeMs     int64        `json:"age_ms"` // since its newest applied update was made
	// Frozen is why nothing more of this chain is accepted, where that is so.
	Frozen string `json:"frozen,omitempty"`
}

// Freeze is a chain that was ended: nothing of it counts after a seq. The chain
// need not be here.
type Freeze struct {
	Origin    chain.Origin `json:"origin"`
	Authority string       `json:"authority"` // empty if it is not known here
	After     chain.Seq    `json:"after"`
	Reason    string       `json:"reason"` // fork, invalid update or sealed
	Detail    string       `json:"detail"`
}

// Held is an update that was received and waits.
type Held struct {
	ID         chain.ID   `json:"id"`
	Reason     string     `json:"reason"`
	WaitingFor []chain.ID `json:"waiting_for"`
	AgeMs      int64      `json:"age_ms"`
}

// StoreStats is the size of what is kept.
type StoreStats struct {
	Bytes    int64  `json:"bytes"`
	Updates  uint64 `json:"updates"`
	Subjects uint64 `json:"subjects"`
	// Failed is why nothing is written any more, where that is so.
	Failed string `json:"failed,omitempty"`
}
