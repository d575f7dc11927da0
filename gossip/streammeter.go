package gossip

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Meters counts what the port, the streams and the membership of one node do.
// It is a prometheus.Collector that the caller registers where it likes, or not
// at all. The zero value is ready; all of it is safe for concurrent use. It
// must not be copied.
type Meters struct {
	failures [reasonCount]atomic.Uint64
	opened   [2]atomic.Uint64 // by dialled
	open     atomic.Int64
	bytes    [trafficCount][2]atomic.Uint64
	noise    atomic.Uint64
	members  [statusCount]atomic.Int64
}

// The kinds of traffic that go through a port.
const (
	trafficStream     = iota // what streams carry, TLS included
	trafficMembership        // membership's own connections
	trafficDatagram          // membership's datagrams
	trafficCount
)

var trafficNames = [trafficCount]string{"stream", "membership", "datagram"}

const (
	directionIn  = 0
	directionOut = 1
)

// Failures returns how often connections and streams ended for a reason.
func (m *Meters) Failures(r Reason) uint64 { return m.failures[r].Load() }

// StreamsOpen returns the number of streams that are open now.
func (m *Meters) StreamsOpen() int64 { return m.open.Load() }

// StreamsOpened returns how many streams were opened since the start, dialled
// by this node and by its peers.
func (m *Meters) StreamsOpened() (dialled, accepted uint64) {
	return m.opened[1].Load(), m.opened[0].Load()
}

// StreamBytes returns the bytes of all streams on the wire, TLS included.
func (m *Meters) StreamBytes() (in, out uint64) {
	return m.bytes[trafficStream][directionIn].Load(), m.bytes[trafficStream][directionOut].Load()
}

func (m *Meters) addBytes(kind, direction, n int) {
	if n > 0 {
		m.bytes[kind][direction].Add(uint64(n))
	}
}

func (m *Meters) streamOpened(dialled bool) {
	m.open.Add(1)
	if dialled {
		m.opened[1].Add(1)
	} else {
		m.opened[0].Add(1)
	}
}

var (
	descStreams  = prometheus.NewDesc("tidings_streams", "Streams to peers that are open.", nil, nil)
	descOpened   = prometheus.NewDesc("tidings_streams_opened_total", "Streams opened, by who dialled.", []string{"by"}, nil)
	descFailures = prometheus.NewDesc("tidings_stream_failures_total", "Connections refused and streams ended, by reason.", []string{"reason"}, nil)
	descBytes    = prometheus.NewDesc("tidings_port_bytes_total", "Bytes through the mesh port.", []string{"kind", "direction"}, nil)
	descNoise    = prometheus.NewDesc("tidings_membership_warnings_total", "Warnings and errors of the membership protocol, most of which are not logged.", nil, nil)
	descMembers  = prometheus.NewDesc("tidings_members", "Members of the mesh, this node included.", []string{"status"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Meters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descStreams, descOpened, descFailures, descBytes, descNoise, descMembers} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Meters) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descStreams, float64(m.open.Load()))
	dialled, accepted := m.StreamsOpened()
	counter(descOpened, dialled, "this_node")
	counter(descOpened, accepted, "peer")
	for r := range reasonCount {
		counter(descFailures, m.failures[r].Load(), r.String())
	}
	for kind, name := range trafficNames {
		counter(descBytes, m.bytes[kind][directionIn].Load(), name, "in")
		counter(descBytes, m.bytes[kind][directionOut].Load(), name, "out")
	}
	counter(descNoise, m.noise.Load())
	for s := StatusAlive; s < statusCount; s++ {
		gauge(descMembers, float64(m.members[s].Load()), s.String())
	}
}
