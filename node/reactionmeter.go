package node

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/core"
)

// What becomes of a trigger.
const (
	outcomePublished = "published" // an update answers it
	outcomeUnchanged = "unchanged" // the answer would have changed nothing
	outcomeNothing   = "nothing"   // the handler had none
	outcomeAnswered  = "answered"  // another node of the authority was first
	outcomeRefused   = "refused"   // for good
)

// reactionMeter counts what one reaction does. It is safe for concurrent use.
type reactionMeter struct {
	mu       sync.Mutex // protects what follows
	at       chain.Frontier
	outcomes map[string]float64
	failures float64
	since    time.Time // the first failure of what is next, zero if there was none
}

func (m *reactionMeter) place(way *core.Reaction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = way.Place().Frontier
}

func (m *reactionMeter) passed(outcome string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.outcomes == nil {
		m.outcomes = map[string]float64{}
	}
	m.outcomes[outcome]++
	m.since = time.Time{}
}

func (m *reactionMeter) failed(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures++; m.since.IsZero() {
		m.since = now
	}
}

// reactionMetrics collects from all reactions that run.
type reactionMetrics struct{ n *Node }

var (
	reactionTriggers = prometheus.NewDesc("tidings_reaction_triggers_total",
		"Updates that a reaction has dealt with since it began in this process, by what became of them.", []string{"hook", "outcome"}, nil)
	reactionFailures = prometheus.NewDesc("tidings_reaction_failures_total",
		"Errors and panics of a reaction's handler, and commits of its answers that have to wait.", []string{"hook"}, nil)
	reactionFailing = prometheus.NewDesc("tidings_reaction_failing_seconds",
		"Time since a reaction first failed at the update that it stands at, 0 if it goes on.", []string{"hook"}, nil)
	reactionLag = prometheus.NewDesc("tidings_reaction_lag_updates",
		"Updates that are applied and that a reaction has not come to, of whatever subject.", []string{"hook"}, nil)
)

func (m reactionMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{reactionTriggers, reactionFailures, reactionFailing, reactionLag} {
		to <- d
	}
}

func (m reactionMetrics) Collect(to chan<- prometheus.Metric) {
	applied := m.n.archive.Frontier()
	for _, r := range m.n.reactions.all() {
		r.meter.collect(to, r.conf.Hook, applied, m.n.now())
	}
}

func (m *reactionMeter) collect(to chan<- prometheus.Metric, hook string, applied chain.Frontier, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, outcome := range []string{outcomePublished, outcomeUnchanged, outcomeNothing, outcomeAnswered, outcomeRefused} {
		to <- prometheus.MustNewConstMetric(reactionTriggers, prometheus.CounterValue, m.outcomes[outcome], hook, outcome)
	}
	to <- prometheus.MustNewConstMetric(reactionFailures, prometheus.CounterValue, m.failures, hook)
	failing, lag := 0.0, 0.0
	if !m.since.IsZero() {
		failing = now.Sub(m.since).Seconds()
	}
	if m.at != nil { // it began
		lag = float64(core.LagOf(m.at, applied))
	}
	to <- prometheus.MustNewConstMetric(reactionFailing, prometheus.GaugeValue, failing, hook)
	to <- prometheus.MustNewConstMetric(reactionLag, prometheus.GaugeValue, lag, hook)
}
