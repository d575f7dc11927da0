package gossip

import (
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// peerClock measures a peer: the round trip to it, and how far its wall clock
// is from the own.
type peerClock struct {
	pingAt   time.Duration // when the next Ping is due
	lastSent uint32        // the peer's clock in its last Hello or Ping
	lastAt   time.Duration // when that came
	rtt      time.Duration // smoothed; 0 until measured
	samples  []clockSample
	echoed   time.Duration // when that of this node's was sent which the peer echoed last
}

// clockSample is one reading of a peer's wall clock. The shorter its round
// trip, the less it can be wrong. It is kept against the own monotonic clock: so
// that the own wall clock was set is known at once, and not only when all
// samples are newer than that.
type clockSample struct {
	ahead int64 // the peer's wall clock less the own monotonic one, in microseconds
	rtt   time.Duration
	zero  int64 // what the own wall clock said of Mono 0, in milliseconds
}

// clockSamples is how many readings are looked at: some seconds' worth, so
// that a clock that was set is believed soon.
const clockSamples = 8

// clockStep is how far the own clock has to be set for earlier readings to be
// dropped with the next one. Until then they count with that taken off: right if
// the clock was set, and wrong if the machine slept, for Mono may sleep with it.
const clockStep = int64(time.Second / time.Millisecond)

// apartMost bounds a difference of wall clocks, in microseconds, to about a
// century, so that it fits a Duration.
const apartMost = int64(100 * 365 * 24 * time.Hour / time.Microsecond)

func (c *peerClock) reset(pingAt time.Duration) {
	*c = peerClock{pingAt: pingAt, rtt: c.rtt}
}

// heard notes what has to be echoed.
func (c *peerClock) heard(sent uint32, at At) {
	c.lastSent, c.lastAt = sent, at.Mono
}

// measured takes a round trip and the wall clock that came with it.
func (c *peerClock) measured(rtt time.Duration, wall uint64, at At) {
	if c.rtt == 0 {
		c.rtt = rtt
	} else {
		c.rtt += (rtt - c.rtt) / 8
	}
	c.rtt = max(c.rtt, time.Microsecond)
	ahead := min(int64(wall), maxWall)*1000 - (at.Mono - rtt/2).Microseconds()
	zero := at.Wall - at.Mono.Milliseconds()
	c.samples = slices.DeleteFunc(c.samples, func(s clockSample) bool { return max(zero-s.zero, s.zero-zero) > clockStep })
	if len(c.samples) == clockSamples {
		c.samples = slices.Delete(c.samples, 0, 1)
	}
	c.samples = append(c.samples, clockSample{ahead, rtt, zero})
}

// offset is the peer's clock less the own, by the reading with the shortest round
// trip, the newest among equals.
func (c *peerClock) offset(at At) (time.Duration, bool) {
	if len(c.samples) == 0 {
		return 0, false
	}
	best := c.samples[0]
	for _, s := range c.samples[1:] {
		if s.rtt <= best.rtt {
			best = s
		}
	}
	apart := best.ahead - (at.Wall*1000 - at.Mono.Microseconds())
	return time.Duration(min(max(apart, -apartMost), apartMost)) * time.Microsecond, true
}

// Clock compares wall clocks (rule 4).
type Clock struct {
	// Count is the number of clocks compared, the own included. Below three
	// nobody can say which is wrong.
	Count int
	// Offset is the own clock less the median of all of them.
	Offset time.Duration
}

// Clock compares the own wall clock with those of the live peers that are members:
// each has one vote. Whoever else has a stream has none, or a few made-up keys would
// decide what time it is. A member that membership wrongly takes for failed is
// heard all the same, and has its vote.
func (e *Engine) Clock(at At, members []chain.Origin) Clock {
	offsets := []time.Duration{0}
	for _, p := range e.ranked {
		if d, ok := p.clock.offset(at); ok && p.live(at.Mono) && slices.Contains(members, p.origin) {
			offsets = append(offsets, d)
		}
	}
	slices.Sort(offsets)
	n := len(offsets)
	median := offsets[n/2]
	if n%2 == 0 {
		median = (offsets[n/2-1] + offsets[n/2]) / 2
	}
	return Clock{Count: n, Offset: -median}
}

func (p *peer) live(now time.Duration) bool { return p.ready() && now-p.heardAt <= liveFor }

// sendPings sends the pings that are due. Each is also the answer to the last
// one of the other side, and the carrier of the root.
func (e *Engine) sendPings() {
	for _, p := range e.ranked {
		if p.ready() && e.at.Mono >= p.clock.pingAt {
			p.clock.pingAt = e.nextPing(p)
			if p.queue.room() {
				e.sendPing(p)
			}
		}
	}
}

func (e *Engine) sendPing(p *peer) {
	delay := uint64(e.at.Mono-p.clock.lastAt) / uint64(100*time.Microsecond)
	e.send(p, &Ping{
		Sent: micros(e.at.Mono), Echo: p.clock.lastSent, Delay: uint16(min(delay, noDelay)),
		Wall: wallOf(e.at), Root: e.root, Yours: e.headOf(p.origin).Seq,
	})
}

// rttMost bounds a believable round trip; the wrapped difference of an echo
// that was made up is anything.
const rttMost = time.Minute

func (e *Engine) onPing(p *peer, f *Ping) {
	if f.Delay != noDelay {
		rtt := time.Duration(micros(e.at.Mono)-f.Echo)*time.Microsecond - time.Duration(f.Delay)*100*time.Microsecond
		// The delay is rounded down to 100 µs, so a short trip may look longer
		// by that, and one on a coarse clock shorter than nothing.
		if sent := e.at.Mono - time.Duration(micros(e.at.Mono)-f.Echo)*time.Microsecond; sent > p.clock.echoed {
			p.clock.echoed = sent
		}
		if rtt <= rttMost {
			p.clock.measured(max(rtt, 0), f.Wall, e.at)
		}
	}
	p.clock.heard(f.Sent, e.at)
	p.root = f.Root
	p.learn(e.own, f.Yours)
	e.resumePush(p)
	e.onRoot(p)
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

func wallOf(at At) uint64 { return uint64(min(max(at.Wall, 0), maxWall)) }

const maxWall = int64(1)<<48 - 1
