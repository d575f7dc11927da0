package api

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. It is safe for concurrent use.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waiters  prometheus.Gauge
	woken    prometheus.Counter
	shared   prometheus.Counter
	refused  *prometheus.CounterVec
	streams  prometheus.Gauge
	items    *prometheus.CounterVec
}

// newMetrics registers the metrics, or takes those that another handler has
// registered with the same registerer.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_http_requests_total",
			Help: "HTTP requests answered, by route and status.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tidings_http_request_duration_seconds",
			Help:    "Time that HTTP requests took, without what they waited because they asked to.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		waiters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidings_http_waiters",
			Help: "HTTP requests that wait for something to happen, event streams included.",
		}),
		woken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_http_woken_total",
			Help: "Times that an HTTP request that waited was woken to look again.",
		}),
		shared: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_http_shared_batches_total",
			Help: "Batches of the feed that were answered with what was read and encoded for another consumer.",
		}),
		refused: newRefused(),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tidings_http_publish_streams",
			Help: "NDJSON publish streams that are open.",
		}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_http_publish_items_total",
			Help: "Drafts published over HTTP, by the status of their answer.",
		}, []string{"code"}),
	}
	if r == nil {
		return m, nil
	}
	var err error
	m.requests, err = register(r, m.requests, err)
	m.seconds, err = register(r, m.seconds, err)
	m.waiters, err = register(r, m.waiters, err)
	m.woken, err = register(r, m.woken, err)
	m.shared, err = register(r, m.shared, err)
	m.refused, err = register(r, m.refused, err)
	m.streams, err = register(r, m.streams, err)
	m.items, err = register(r, m.items, err)
	return m, err
}

// newRefused counts what a server had no room for.
func newRefused() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidings_http_refused_total",
		Help: "What was refused because there was no room: connections, requests that would wait, publish streams, and large bodies of drafts.",
	}, []string{"what"})
}

func register[C prometheus.Collector](r prometheus.Registerer, c C, before error) (C, error) {
	err := r.Register(c)
	var twice prometheus.AlreadyRegisteredError
	if errors.As(err, &twice) {
		if there, ok := twice.ExistingCollector.(C); ok {
			return there, before
		}
	}
	return c, errors.Join(before, err)
}

func (m *metrics) answered(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) item(status int) { m.items.WithLabelValues(strconv.Itoa(status)).Inc() }
