package gossip

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exchangeMeters count what goes over the streams.
type exchangeMeters struct {
	frames  [len(frameNames)][2]atomic.Uint64 // by kind, 0 unknown, and direction
	bytes   [len(frameNames)][2]atomic.Uint64
	mu      sync.Mutex        // protects refused
	refused map[string]uint64 // by reason
}

func (m *exchangeMeters) count(direction int, k FrameKind, bytes int) {
	if uint64(k) >= uint64(len(frameNames)) {
		k = 0
	}
	m.frames[k][direction].Add(1)
	m.bytes[k][direction].Add(uint64(bytes))
}

// refuse counts a stream's end, or an answer refused, for a reason: one of a
// few constants.
func (m *exchangeMeters) refuse(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = map[string]uint64{}
	}
	m.refused[reason]++
}

var (
	descFrames     = desc("gossip_frames_total", "Frames, by kind and direction.", "kind", "direction")
	descFrameBytes = desc("gossip_frame_bytes_total", "Bytes of frames before compression and encryption.", "kind", "direction")
	descRefused    = desc("gossip_refused_total", "Streams closed for what the peer sent, by reason.", "reason")
	descPushed     = desc("gossip_runs_pushed_total", "Runs pushed, those that left as one counted once, for each peer.")
	descDropped    = desc("gossip_runs_dropped_total", "Runs that a full queue kept from a peer, which pulls them.")
	descReceived   = desc("gossip_runs_received_total", "Runs that peers sent.")
	descDuplicates = desc("gossip_duplicate_updates_total", "Updates that came though they were here.")
	descGaps       = desc("gossip_gaps_total", "Runs that came before what precedes them.")
	descPulls      = desc("gossip_pulls_total", "Requests for ranges.")
	descTimeouts   = desc("gossip_pull_timeouts_total", "Requests for ranges that were given up.")
	descDigests    = desc("gossip_digests_total", "Digest exchanges begun, by what was sent.", "vector")
	descBeacons    = desc("gossip_beacons_total", "Beacons sent.")
	descUnknown    = desc("gossip_unknown_frames_total", "Frames of a kind of a later version.")
	descPhantoms   = desc("gossip_refused_heads_total", "Heads of unknown chains beyond what is kept of such.")
	descPeers      = desc("gossip_peers", "Peers with a stream.")
	descQueued     = desc("gossip_queued_runs", "Own runs that wait for the peer with the most.")
	descInFlight   = desc("gossip_inflight_bytes", "Bytes that wait for the streams' writers.")
	descLagging    = desc("gossip_lagging_peers", "Peers that pull, as they fell too far behind to be pushed to.")
	descPushWait   = desc("gossip_push_wait_seconds", "Time that pushes of more than half of the peers wait here until they are committed, smoothed. From 0.01 on own updates gather for up to 0.25 before they are pushed to more than 3 peers.")
	descWants      = desc("gossip_wanted_updates", "Updates that peers have and this node lacks.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tidings_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (x *Exchange) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descFrames, descFrameBytes, descRefused, descPushed, descDropped, descReceived, descDuplicates, descGaps,
		descPulls, descTimeouts, descDigests, descBeacons, descUnknown, descPhantoms, descPeers, descQueued, descInFlight, descLagging, descPushWait, descWants,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (x *Exchange) Collect(ch chan<- prometheus.Metric) {
	emit := func(t prometheus.ValueType, d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) { emit(prometheus.CounterValue, d, v, labels...) }
	gauge := func(d *prometheus.Desc, v uint64) { emit(prometheus.GaugeValue, d, v) }
	for k := range frameNames {
		for direction, name := range [...]string{directionIn: "in", directionOut: "out"} {
			counter(descFrames, x.meters.frames[k][direction].Load(), FrameKind(k).String(), name)
			counter(descFrameBytes, x.meters.bytes[k][direction].Load(), FrameKind(k).String(), name)
		}
	}
	x.meters.mu.Lock()
	for reason, n := range x.meters.refused {
		counter(descRefused, n, reason)
	}
	x.meters.mu.Unlock()

	var s Stats
	var peers []PeerState
	var progress Progress
	var wait time.Duration
	if !x.ask(func(at At) {
		s, peers, progress, wait = x.engine.Stats(), x.engine.Peers(), x.engine.Progress(), x.engine.PushWait(at)
	}) {
		return
	}
	counter(descPushed, s.RunsPushed)
	counter(descDropped, s.RunsDropped)
	counter(descReceived, s.RunsReceived)
	counter(descDuplicates, s.Duplicates)
	counter(descGaps, s.Gaps)
	counter(descPulls, s.Pulls)
	counter(descTimeouts, s.PullTimeouts)
	counter(descDigests, s.FullDigests, "full")
	counter(descDigests, s.Digests-s.FullDigests, "changed")
	counter(descBeacons, s.Beacons)
	counter(descUnknown, s.UnknownFrames)
	counter(descPhantoms, s.ChainsRefused)
	var open, queued, inFlight, lagging uint64
	for _, p := range peers {
		if !p.Connected {
			continue
		}
		open++
		queued = max(queued, uint64(p.Queued))
		inFlight += uint64(p.InFlight)
		if p.Lagging {
			lagging++
		}
	}
	gauge(descPeers, open)
	gauge(descQueued, queued)
	gauge(descInFlight, inFlight)
	gauge(descLagging, lagging)
	ch <- prometheus.MustNewConstMetric(descPushWait, prometheus.GaugeValue, wait.Seconds())
	gauge(descWants, progress.Want-progress.Have)
}
