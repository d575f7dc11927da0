package harness

import "time"

// Mesh is one running cluster of N nodes in this process.
type Mesh interface {
	// Publish hands one update to a node, which keeps the payload. It returns
	// once the peer has accepted it, in whatever sense the peer has: queued,
	// acknowledged, committed. It is called concurrently.
	Publish(node int, payload []byte) error
	Close()
}

// Noted is a mesh that has figures of its own to show beside a result, for
// whoever looks into why it is as it is.
type Noted interface {
	Notes() map[string]float64
}

// Deliver is called by a mesh when a node has an update. It may be called from
// any goroutine and more than once, and does not keep the payload.
type Deliver func(node int, payload []byte)

// Env is what a mesh gets to start with.
type Env struct {
	N       int
	Dir     string // empty directory on a real disk, for peers that store
	Deliver Deliver
}

// Spec describes one peer: a row of the tables.
type Spec struct {
	Name    string
	Durable string // what is on disk when Publish returns
	Loss    string // what the peer promises about losses
	// Synced: an update is synced to a disk before any other node delivers it.
	Synced bool
	// Lossy: the peer does not promise that all arrives, so that an update of the
	// warm-up that is lost fails no run.
	Lossy bool
	// Windows are the updates per node that may be on their way in a throughput
	// run; a lost one gives its place back after 5 s. A run for each.
	Windows []int
	// Publishers is the number of concurrent calls of Publish over all nodes in
	// a throughput run. Zero: one for each node.
	Publishers int
	// Settle is a pause after Start, before anything is published.
	Settle time.Duration
	Start  func(Env) (Mesh, error) `json:"-"`

	// program is the executable that has the peer, empty for this one.
	program string
}

// Result is one measured run.
type Result struct {
	Peer    string  `json:"peer"`
	Phase   string  `json:"phase"` // PhaseLatency or PhaseThroughput
	N       int     `json:"nodes"`
	Rate    int     `json:"rate,omitempty"`
	Window  int     `json:"window,omitempty"`
	Payload int     `json:"payload"`
	Run     int     `json:"run"`
	Synced  bool    `json:"synced"` // as in Spec
	Began   string  `json:"began"`
	Load    float64 `json:"load"` // the machine's load average when it began
	Secs    float64 `json:"secs"`
	StartMs float64 `json:"start_ms"` // from nothing to a mesh that is whole

	Published int     `json:"published"`
	Errors    int     `json:"errors"`
	FirstErr  string  `json:"first_err,omitempty"`
	Complete  float64 `json:"complete"`  // share of updates that reached all nodes
	Delivered float64 `json:"delivered"` // share of (update, node) pairs

	P50ms  float64 `json:"p50_ms"`
	P99ms  float64 `json:"p99_ms"`
	MaxMs  float64 `json:"max_ms"`
	AckP50 float64 `json:"ack_p50_ms"` // time that Publish itself took

	PerSec   float64 `json:"updates_per_s"`
	CPUPer1k float64 `json:"cpu_s_per_1k"` // processor seconds for 1,000 updates on all nodes
	CPUCores float64 `json:"cpu_cores"`
	RSSMB    float64 `json:"rss_mb"`
	HeapMB   float64 `json:"heap_mb"`
	WireB    float64 `json:"wire_b"` // loopback bytes per update and remote receiver
	Isolated bool    `json:"isolated"`
	// Notes are the mesh's own figures, since it was started.
	Notes   map[string]float64 `json:"notes,omitempty"`
	Failure string             `json:"failure,omitempty"`
}

// Phases of a comparison.
const (
	PhaseLatency    = "latency"
	PhaseThroughput = "throughput"
)

// failed reports whether the run has nothing to show.
func (r *Result) failed() bool { return r.Failure != "" || r.Published == 0 }
