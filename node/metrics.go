package node

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
)

// metrics are the node's own, beside those of gossip, store and HTTP.
type metrics struct {
	commits      *prometheus.CounterVec
	commitTime   prometheus.Histogram
	batchUpdates prometheus.Histogram
	keys         prometheus.Counter
	bytes        prometheus.Counter
	applied      *prometheus.CounterVec
	delay        prometheus.Histogram
	failed       prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_store_commits_total", Help: "Batches committed to the store, by whether the commit was synced.",
		}, []string{"synced"}),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_store_commit_seconds", Help: "Time of a batch's commit, its sync included where it has one.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 16),
		}),
		batchUpdates: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_batch_updates", Help: "Updates applied in one batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		keys: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_store_keys_written_total", Help: "Keys written to the store.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_store_written_bytes_total", Help: "Bytes of keys and values written to the store.",
		}),
		applied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_updates_applied_total", Help: "Status changes applied, by whether they are this node's own.",
		}, []string{"own"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_propagation_seconds", Help: "Time from when a peer made an update to when it is applied here, by the two clocks.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidings_store_failed", Help: "1 once a write or a sync has failed: the node takes no more updates.",
		}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.commits, m.commitTime, m.batchUpdates, m.keys, m.bytes, m.applied, m.delay, m.failed}
}

// committed counts one commit.
func (m *metrics) committed(writes *chain.Batch, synced bool, took time.Duration) {
	label := "no"
	if synced {
		label = "yes"
	}
	m.commits.WithLabelValues(label).Inc()
	m.commitTime.Observe(took.Seconds())
	m.keys.Add(float64(writes.Len()))
	m.bytes.Add(float64(writes.Size()))
}

// updates counts what a batch applied. maxDelays bounds what measuring costs.
func (m *metrics) updates(e *chain.Effects, self chain.Origin, now time.Time) {
	const maxDelays = 16
	own, other, measured := 0, 0, 0
	for _, u := range e.Applied {
		switch {
		case u.Kind != chain.KindStatus:
		case u.ID.Origin == self:
			own++
		default:
			if other++; measured < maxDelays {
				measured++
				m.delay.Observe(max(0, float64(now.UnixMilli()-u.HLC.Millis())/1000))
			}
		}
	}
	m.applied.WithLabelValues("yes").Add(float64(own))
	m.applied.WithLabelValues("no").Add(float64(other))
	if own+other > 0 {
		m.batchUpdates.Observe(float64(own + other))
	}
}

// stateMetrics reads gauges from what is published.
func (n *Node) stateMetrics() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value.Load()) })
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_build_info", Help: "1, with the version of this node's program as a label.",
			ConstLabels: prometheus.Labels{"version": n.info.Version},
		}, func() float64 { return 1 }),
		gauge("tidings_updates", "Status changes received, of all chains.", func() float64 { return float64(n.archive.Summary().Updates) }),
		gauge("tidings_subjects", "Subjects.", func() float64 { return float64(n.archive.Summary().Subjects) }),
		gauge("tidings_chains", "Chains.", func() float64 { return float64(len(n.archive.Chains())) }),
		gauge("tidings_held_chains", "Chains with an update that waits for a dependency or for the clock.",
			func() float64 { return float64(len(n.archive.Summary().Held)) }),
		gauge("tidings_held_oldest_seconds", "Age of the oldest held update, 0 if none is.", func() float64 {
			oldest := 0.0
			for _, h := range n.archive.Summary().Held {
				oldest = max(oldest, n.clock().Sub(h.Since).Seconds())
			}
			return oldest
		}),
		gauge("tidings_frozen_chains", "Chains that were stopped: their key signed a fork, an invalid update, or a seal.", func() float64 {
			return float64(len(n.archive.Freezes()))
		}),
		gauge("tidings_clock_offset_seconds", "Own wall clock less the median of the mesh's, 0 while fewer than three can be compared.", func() float64 {
			if c := n.compared(); c.Count >= 3 {
				return c.Offset.Seconds()
			}
			return 0
		}),
		gauge("tidings_outbox_drafts", "Drafts that wait to be committed.", func() float64 { return float64(n.outbox.depth()) }),
		gauge("tidings_outbox_capacity_drafts", "Drafts that may wait before Enqueue refuses more.", func() float64 { return float64(n.cfg.Outbox) }),
		counter("tidings_enqueue_refused_total", "Drafts that Enqueue refused because the outbox was full.", &n.outbox.refused),
		counter("tidings_enqueue_failed_total", "Drafts that Enqueue took and that were not committed.", &n.outbox.failed),
		gauge("tidings_store_bytes", "Size of the store, in bytes.", func() float64 { return float64(n.store.Bytes()) }),
		gauge("tidings_ready", "1 while the node is ready.", func() float64 { return oneIf(n.Readiness().Ready) }),
		gauge("tidings_converged", "1 while the node is converged with the mesh.", func() float64 { return oneIf(n.Converged()) }),
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
