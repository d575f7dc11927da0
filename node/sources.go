package node

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
)

// sources are those that the node polls. They are a metrics collector, so that
// one that is stopped is gone there too.
type sources struct {
	running func() time.Duration // since the node started

	mu     sync.Mutex // protects what follows
	live   map[string]*poller
	closed bool
}

func newSources(running func() time.Duration) *sources {
	return &sources{running: running, live: map[string]*poller{}}
}

func (s *sources) start(p *poller) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return chain.ErrClosed
	case s.live[p.name] != nil:
		return fmt.Errorf("%w: source %q: the node polls one of this name", ErrConfig, p.name)
	}
	s.live[p.name] = p
	p.begin()
	return nil
}

// forget takes a poller out that has ended.
func (s *sources) forget(p *poller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[p.name] == p {
		delete(s.live, p.name)
	}
}

// close stops all at once, and lets no more in.
func (s *sources) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	all := s.pollers()
	for _, p := range all {
		p.cancel()
	}
	var errs []error
	for _, p := range all {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

func (s *sources) pollers() (all []*poller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.live {
		all = append(all, p)
	}
	return all
}

var (
	sourcePolls = prometheus.NewDesc("tidings_source_polls_total",
		"Questions to a source, by what came of them: answered, failed, late, or unpublished where this node did not take the answer.", []string{"source", "outcome"}, nil)
	sourceRefused = prometheus.NewDesc("tidings_source_refused_states_total",
		"States of a source that cannot be published for what they are: the log has why.", []string{"source"}, nil)
	sourceAge = prometheus.NewDesc("tidings_source_answer_age_seconds",
		"Time since a source last answered, or since it is polled if it never did.", []string{"source"}, nil)
)

// Describe and Collect make it a prometheus.Collector.
func (s *sources) Describe(to chan<- *prometheus.Desc) {
	to <- sourcePolls
	to <- sourceRefused
	to <- sourceAge
}

func (s *sources) Collect(to chan<- prometheus.Metric) {
	for _, p := range s.pollers() {
		for what, name := range pollOutcomes {
			to <- prometheus.MustNewConstMetric(sourcePolls, prometheus.CounterValue, float64(p.counts[what].Load()), p.name, name)
		}
		to <- prometheus.MustNewConstMetric(sourceRefused, prometheus.CounterValue, float64(p.refused.Load()), p.name)
		age := s.running() - time.Duration(p.heard.Load())
		to <- prometheus.MustNewConstMetric(sourceAge, prometheus.GaugeValue, age.Seconds(), p.name)
	}
}
