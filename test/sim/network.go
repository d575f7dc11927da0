package sim

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// network is what carries streams between machines. Each direction between two
// of them may be blocked by itself: then nothing arrives, and what was sent
// waits, as with TCP.
type network struct {
	w     *world
	paths map[[2]int]*path // by sender and receiver
}

// path is one direction between two machines.
type path struct {
	delay   time.Duration
	rate    float64 // bytes a second
	window  int     // bytes that may be on their way or wait to be read
	blocked bool
}

// The weather of a good day, and of a bad one.
const (
	quickRate  = 50e6
	slowRate   = 60e3
	wideWindow = 256 << 10
	tinyWindow = 8 << 10
)

func newNetwork(w *world) *network {
	n := &network{w: w, paths: map[[2]int]*path{}}
	for i := range w.opt.Nodes {
		for j := range w.opt.Nodes {
			n.paths[[2]int{i, j}] = &path{}
		}
	}
	n.clear()
	return n
}

func (n *network) path(from, to int) *path { return n.paths[[2]int{from, to}] }

// each visits all paths in order.
func (n *network) each(visit func(from, to int, p *path)) {
	for i := range n.w.opt.Nodes {
		for j := range n.w.opt.Nodes {
			if i != j {
				visit(i, j, n.path(i, j))
			}
		}
	}
}

// clear makes every path good.
func (n *network) clear() {
	n.each(func(from, to int, p *path) {
		p.delay, p.rate, p.window = between(n.w.rand.net, 100*time.Microsecond, 3*time.Millisecond), quickRate, wideWindow
		n.block(from, to, false)
	})
}

// block blocks a direction, or lets what waits on it go on.
func (n *network) block(from, to int, blocked bool) {
	p := n.path(from, to)
	if p.blocked == blocked {
		return
	}
	p.blocked = blocked
	n.w.note("block", from, uint64(to), bit(blocked))
	if blocked {
		return
	}
	for _, e := range n.w.machines[from].ends() {
		if e.to == to {
			e.unblocked()
		}
	}
	for _, e := range n.w.machines[to].ends() {
		if e.to == from {
			e.pump() // what it waited for has come through
		}
	}
}

// open reports whether two machines can talk.
func (n *network) open(a, b int) bool { return !n.path(a, b).blocked && !n.path(b, a).blocked }

// reaches reports whether two machines can talk, if need be through a third.
func (n *network) reaches(a, b int) bool {
	if n.open(a, b) {
		return true
	}
	for _, m := range n.w.machines {
		if m.runs() && n.open(a, m.index) && n.open(m.index, b) {
			return true
		}
	}
	return false
}

// The streams' own bounds, as those of package gossip.
const (
	streamIdle  = 15 * time.Second // nothing was read for so long
	streamStall = 10 * time.Second // nothing could be written for so long
)

// end is one side of a stream: what its process writes, on its way to the
// other, and what has arrived and is not read.
type end struct {
	p     *process
	to    int // machine
	other *end
	open  bool

	out     []frame // waits to be written
	writing bool
	onWay   int           // bytes written and not read by the other side
	arrive  time.Duration // when the last frame arrives
	waiting []frame       // on a blocked path
	freed   int           // bytes whose acknowledgement a blocked path holds up
	moved   time.Duration // when something was written last, or nothing waited

	in    []frame // arrived, not read
	stuck bool    // the ledger has no room for what the last frame brought
	heard time.Duration
	// reports are what the other side said of its heads.
	reports reports
}

type frame struct {
	bytes []byte
	size  int
}

func (e *end) path() *path        { return e.p.w.net.path(e.p.m.index, e.to) }
func (e *end) peer() chain.Origin { return e.other.p.origin }

// connect opens a stream between two processes. What streams there were give way.
func (w *world) connect(a, b *process) {
	for _, p := range [...]*process{a, b} {
		if old := p.links[a.m.index+b.m.index-p.m.index]; old != nil {
			old.close(true)
		}
	}
	ends := [2]*end{
		{p: a, to: b.m.index, open: true, heard: w.now, moved: w.now, arrive: w.now, reports: reports{}},
		{p: b, to: a.m.index, open: true, heard: w.now, moved: w.now, arrive: w.now, reports: reports{}},
	}
	ends[0].other, ends[1].other = ends[1], ends[0]
	w.note("stream", a.m.index, uint64(b.m.index))
	for _, e := range ends {
		e.p.links[e.to] = e
	}
	for _, e := range ends {
		if e.open {
			e.p.engine.PeerUp(e.p.at(), e.peer())
			e.p.act()
		}
	}
	e := ends[0]
	w.every(time.Second, func() bool {
		e.look()
		e.other.look()
		return e.open || e.other.open
	})
}

// look ends this side of a stream that has been still for too long.
func (e *end) look() {
	if !e.open || e.p.paused {
		return
	}
	stalled := len(e.out) > 0 && e.p.w.now-e.moved > streamStall
	if stalled || !e.stuck && e.p.w.now-e.heard > streamIdle {
		e.close(true)
	}
}

// close ends this side of a stream, and lets the other know if it can.
func (e *end) close(tell bool) {
	if !e.open {
		return
	}
	w := e.p.w
	e.open, e.out, e.in, e.waiting = false, nil, nil, nil
	w.note("close", e.p.m.index, uint64(e.to))
	if !e.p.dead {
		if e.p.links[e.to] == e {
			delete(e.p.links, e.to)
		}
		e.p.later(func() {
			if e.p.links[e.to] == nil {
				e.p.engine.PeerDown(e.p.at(), e.peer())
				e.p.act()
			}
		})
	}
	if tell && !e.path().blocked {
		w.after(e.path().delay, func() { e.other.close(false) })
	}
}

// write queues a frame for the stream's writer.
func (e *end) write(f frame) {
	if !e.open {
		return
	}
	if len(e.out) == 0 {
		e.moved = e.p.w.now
	}
	e.out = append(e.out, f)
	e.pump()
}

// pump writes the next frame, if there is room on the way.
func (e *end) pump() {
	p := e.path()
	if !p.blocked && e.freed > 0 {
		e.onWay, e.freed = e.onWay-e.freed, 0
	}
	if !e.open || e.writing || len(e.out) == 0 || e.p.paused {
		return
	}
	f := e.out[0]
	if e.onWay > 0 && e.onWay+len(f.bytes) > p.window {
		return
	}
	e.writing = true
	w := e.p.w
	w.after(time.Duration(float64(len(f.bytes))/p.rate*float64(time.Second)), func() {
		e.writing = false
		if !e.open {
			return
		}
		e.out, e.moved = e.out[1:], w.now
		e.onWay += len(f.bytes)
		p := e.path()
		delay := p.delay + time.Duration(w.rand.net.Int64N(int64(p.delay)/2+1))
		e.arrive = max(e.arrive, w.now+delay)
		w.after(e.arrive-w.now, func() { e.arrived(f) })
		e.p.later(func() {
			if e.open {
				e.p.engine.Wrote(e.p.at(), e.peer(), f.size)
				e.p.act()
			}
		})
		e.pump()
	})
}

// arrived brings a frame to the other side, unless the path is blocked.
func (e *end) arrived(f frame) {
	if e.path().blocked || len(e.waiting) > 0 {
		e.waiting = append(e.waiting, f)
		return
	}
	if !e.other.open {
		e.close(false) // the other side does not know of this stream
		return
	}
	e.other.in = append(e.other.in, f)
	e.other.read()
}

// unblocked sends on what a blocked path held up.
func (e *end) unblocked() {
	waiting := e.waiting
	e.waiting = nil
	for _, f := range waiting {
		e.arrived(f)
	}
	e.other.pump()
}

// read takes the frames that have arrived, one after the other: the next once
// the ledger has room for what the last one brought.
func (e *end) read() {
	e.p.later(func() {
		for e.open && !e.stuck && len(e.in) > 0 {
			f := e.in[0]
			e.in = e.in[1:]
			e.heard = e.p.w.now
			e.p.receive(e, f.bytes)
			if !e.stuck {
				e.done(len(f.bytes))
			} else {
				e.p.unread = append(e.p.unread, func() {
					e.stuck = false
					e.done(len(f.bytes))
					e.read()
				})
			}
		}
	})
}

// done makes room for the sender.
func (e *end) done(bytes int) {
	if e.path().blocked {
		e.other.freed += bytes
		return
	}
	e.other.onWay -= bytes
	e.other.pump()
}

// dial keeps a stream to every live member: the lower origin dials at once, the
// other when that has not come about for a second. Delays between dials grow
// while they fail.
func (p *process) dial(to int, delay time.Duration) {
	w := p.w
	w.after(between(w.rand.net, delay/2, delay*3/2), func() {
		p.later(func() {
			again := 100 * time.Millisecond
			seen := p.seen[to]
			e := p.links[to]
			switch {
			case seen == nil || seen.member.Status.String() != "alive" || e != nil:
				p.since[to] = w.now
			case p.origin.Compare(seen.member.Origin) > 0 && w.now-p.since[to] < time.Second:
			default:
				q := w.machines[to].proc
				if w.net.open(p.m.index, to) && w.machines[to].runs() && q.origin == seen.member.Origin {
					w.connect(p, q)
				} else {
					again = min(max(2*delay, 100*time.Millisecond), 5*time.Second)
				}
			}
			p.dial(to, again)
		})
	})
}
