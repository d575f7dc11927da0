package sim

import (
	"math/rand/v2"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// start brings up the nodes, most of them at once.
func (w *world) start() {
	r := w.rand.fault
	for _, m := range w.machines {
		delay := between(r, 0, 200*time.Millisecond)
		if w.opt.Faults.Has(Skews) && chance(r, 3) {
			m.clock.drift = (r.Float64() - 0.5) / 500
			m.clock.set(between(r, -3*time.Second, 3*time.Second))
		}
		w.after(delay, m.start)
	}
	w.run(w.now+300*time.Millisecond, nil)
	w.load.begin()
}

// troubled reports whether faults may come.
func (w *world) troubled() bool { return w.history.HealedAt == 0 }

// suffer is the phase with faults: one after the other begins, and most of them
// go on while others come.
func (w *world) suffer() {
	const striking = Crashes | PowerCuts | DiskErrors | DiskFull | DiskLosses | Restores | Rollbacks | TailLosses | Partitions | Resets |
		SlowLinks | Pauses | Jumps | Leaves | Forks
	plan := rand.New(rand.NewPCG(w.rand.fault.Uint64(), 0))
	end := w.now + w.opt.Duration
	for kinds := w.opt.Faults & striking; w.now < end && kinds != noFaults; {
		gap, kind, seed := between(plan, 50*time.Millisecond, 700*time.Millisecond), draw(plan, kinds), plan.Uint64()
		w.run(min(w.now+gap, end), nil)
		w.rand.fault = rand.New(rand.NewPCG(seed, 0))
		w.strike(kind)
	}
	w.run(end, nil)
}

// draw draws one of some kinds of faults: that of which the dice, one for each
// kind that there is, shows the most. So a kind that is taken away changes only
// what it would have been.
func draw(plan *rand.Rand, kinds Fault) (drawn Fault) {
	most := uint64(0)
	for _, k := range AllFaults.Each() {
		if dice := plan.Uint64(); kinds.Has(k) && dice >= most {
			drawn, most = k, dice
		}
	}
	return drawn
}

// strike begins a fault.
func (w *world) strike(f Fault) {
	r := w.rand.fault
	m := pick(r, w.machines)
	w.note("fault", m.index, uint64(f))
	w.say(m.index, "fault: %s", f)
	switch f {
	case Crashes:
		m.crash(w.opt.Faults.Has(TornTails))
		if w.opt.Faults.Has(Partitions) && chance(r, 4) {
			w.isolate(m, recoverWait+2*time.Second) // it comes back to a network that is down
			m.start()
			w.load.press(m, recoverWait+time.Second)
			w.run(w.now+recoverWait+2500*time.Millisecond, nil)
			return
		}
		w.after(between(r, 10*time.Millisecond, 3*time.Second), m.start)
	case PowerCuts:
		w.cutPower()
	case Leaves:
		if m.runs() && (m.durable || w.sacrifice(m)) {
			m.proc.leave()
			w.after(between(r, 500*time.Millisecond, 3*time.Second), m.start)
		}
	case Pauses:
		if p := m.proc; p != nil {
			p.pause(true)
			w.after(between(r, 50*time.Millisecond, 4*time.Second), func() { p.pause(false) })
		}
	case DiskErrors, DiskFull:
		m.breakDisk(f)
	case DiskLosses:
		w.loseDisk(m)
	case Restores, Rollbacks, TailLosses:
		w.setBack(m, f)
	case Forks:
		w.fork(m)
	case Partitions:
		w.part(r)
	case Resets:
		w.reset(r)
	case SlowLinks:
		w.slow(r)
	case Jumps:
		w.jump(m)
	}
}

// breakDisk makes the next write fail. Somebody looks at it after a while.
func (m *machine) breakDisk(f Fault) {
	r := m.w.rand.fault
	m.disk.failure = failRoom
	if f == DiskErrors {
		m.disk.failure = pick(r, []diskFailure{failCommit, failSync})
	}
	m.w.after(between(r, 500*time.Millisecond, 4*time.Second), func() { m.restart() })
}

// restart starts a node anew if its store is dead.
func (m *machine) restart() {
	m.disk.failure = noFailure
	if m.disk.dead != nil && m.proc != nil {
		m.crash(true)
		m.start()
	}
}

// loseDisk takes a directory away.
func (w *world) loseDisk(m *machine) {
	if !m.durable || m.proc == nil || !w.sacrifice(m) {
		return
	}
	m.crash(false)
	w.lost(m)
	m.lose()
	w.after(between(w.rand.fault, 100*time.Millisecond, 3*time.Second), m.start)
}

// cutPower ends all processes at once. One disk may not come back.
func (w *world) cutPower() {
	r := w.rand.fault
	lost := pick(r, w.machines)
	if w.sacrificed != nil {
		lost = w.sacrificed
	}
	loses := w.opt.Faults.Has(DiskLosses) && chance(r, 2) && lost.durable && lost.proc != nil && w.sacrifice(lost)
	if loses {
		w.load.press(lost, 50*time.Millisecond)
		w.run(w.now+between(r, 0, 70*time.Millisecond), nil)
		loses = lost.proc != nil
	}
	for _, m := range w.machines {
		m.crash(w.opt.Faults.Has(TornTails))
		if m == lost && loses {
			w.lost(m)
			m.lose()
		}
		w.after(between(r, 10*time.Millisecond, 2*time.Second), m.start)
	}
}

// isolate cuts a machine off for a while.
func (w *world) isolate(m *machine, lasts time.Duration) {
	block := func(blocked bool) {
		for i := range w.machines {
			if i != m.index {
				w.net.block(m.index, i, blocked)
				w.net.block(i, m.index, blocked)
			}
		}
	}
	block(true)
	w.after(lasts, func() { block(false) })
}

// sacrifice reports whether a machine may lose what it held. It is the same one
// all through a run: what two nodes hold, or what was applied together with what
// it depends on, is not lost with one of them. Nor does it lose a branch of its
// chain that nobody else has met: of that there would be no proof.
func (w *world) sacrifice(m *machine) bool {
	if w.sacrificed == nil {
		w.sacrificed = m
	}
	return w.sacrificed == m && w.forked == (chain.Origin{})
}

// lost makes the end of a machine's last life, which was just recorded, one with
// a loss.
func (w *world) lost(m *machine) {
	for i := len(w.history.Events) - 1; i >= 0; i-- {
		if e, ok := w.history.Events[i].(Ended); ok && e.Node == m.index {
			e.Lost = true
			w.history.Events[i] = e
			return
		}
	}
}

// setBack puts an old copy of a machine's disk in the place of the newest, or
// takes the end of its log. What the node had published may be with any one of
// the others, and is told to it only by those that it reaches: so they all are
// there, and stay, until it has heard them; or it reaches nobody at all.
func (w *world) setBack(m *machine, f Fault) {
	if !m.durable || m.proc == nil || !w.sacrifice(m) {
		return
	}
	r := w.rand.fault
	w.restore()
	if m.proc == nil {
		return
	}
	m.disk.copyAway()
	w.load.press(m, time.Second)
	w.load.press(w.machines[(m.index+1)%len(w.machines)], time.Second) // what its reactions answer
	w.run(w.now+between(r, 200*time.Millisecond, 1500*time.Millisecond), nil)
	if m.proc == nil {
		return
	}
	if len(w.machines) >= largeMesh && !w.showWhatGathers(m) {
		return
	}
	alone := chance(r, 2)
	if f == TailLosses && alone {
		m.proc.leave() // so that all that it loses is in the note
		w.run(w.now+time.Second, nil)
	}
	m.crash(false)
	w.lost(m)
	w.run(w.now+time.Second, nil) // the others tell each other what they have of it
	switch f {
	case TailLosses:
		m.disk.loseTail(1 + r.IntN(syncsKept))
	default:
		m.disk.put(m.disk.copies[len(m.disk.copies)-1])
		m.disk.unchanged = f == Rollbacks
	}
	switch {
	case alone && f == Rollbacks:
		w.isolate(m, between(r, 0, recoverWait/2)) // it must not go on before the others are back
	case alone:
		w.isolate(m, recoverWait+between(r, 500*time.Millisecond, time.Second))
	}
	m.start()
	w.load.press(m, recoverWait/2)
	w.run(w.now+recoverWait+between(r, 1500*time.Millisecond, 2*time.Second), nil)
}

// showWhatGathers goes on, under a load that all share, until runs of a machine's node gather,
// and a little longer once consumers were shown them: what only they know then would be lost
// with the disk. It reports whether the node runs still.
func (w *world) showWhatGathers(m *machine) bool {
	r := w.rand.fault
	for range 3 {
		for _, of := range w.machines {
			w.load.press(of, time.Second)
		}
	}
	gathers := m.proc.engine.Stats().Gathers
	w.run(w.now+time.Second, func() bool { return m.proc == nil || m.proc.engine.Stats().Gathers > gathers })
	w.run(w.now+between(r, 0, 20*time.Millisecond), nil)
	for _, c := range w.load.consumers {
		c.poll(m.index)
	}
	w.run(w.now+between(r, 10*time.Millisecond, 30*time.Millisecond), nil) // what is sent at once arrives
	return m.proc != nil
}

// part blocks some paths for a while.
func (w *world) part(r *rand.Rand) {
	oneWay := chance(r, 3)
	in := map[int]bool{}
	for i := range w.machines {
		in[i] = chance(r, 2)
	}
	if chance(r, 3) { // one pair alone
		in = map[int]bool{r.IntN(len(w.machines)): true}
	}
	w.net.each(func(from, to int, _ *path) {
		if in[from] && !in[to] || !oneWay && in[to] && !in[from] {
			w.net.block(from, to, true)
		}
	})
	w.after(between(r, 200*time.Millisecond, 5*time.Second), func() {
		w.net.each(func(from, to int, _ *path) { w.net.block(from, to, false) })
	})
}

// reset breaks the streams of some pairs.
func (w *world) reset(r *rand.Rand) {
	for _, m := range w.machines {
		for _, e := range m.ends() {
			if chance(r, 4) {
				e.close(!chance(r, 4))
			}
		}
	}
}

// slow makes some paths slow for a while.
func (w *world) slow(r *rand.Rand) {
	w.net.each(func(_, _ int, p *path) {
		if !chance(r, 3) {
			return
		}
		p.delay, p.rate, p.window = between(r, 20*time.Millisecond, 300*time.Millisecond), slowRate, tinyWindow
		w.after(between(r, 200*time.Millisecond, 4*time.Second), func() {
			p.delay, p.rate, p.window = time.Millisecond, quickRate, wideWindow
		})
	})
}

const year = 365 * 24 * time.Hour

// jump sets a machine's clock for a while, by a little, or far back. Far ahead
// it is set only while the others are there to compare it with: what a node
// publishes that cannot compare, the others hold back until its time has come.
func (w *world) jump(m *machine) {
	r := w.rand.fault
	by := pick(r, []time.Duration{-time.Second, time.Second, -4 * time.Second, 4 * time.Second, -time.Hour, -year, time.Hour, year})
	ahead := by >= time.Hour
	if ahead {
		w.restore()
		// Who has come back may be met again only after a while.
		for i := 0; i < 20 && !m.compares(); i++ {
			w.run(w.now+500*time.Millisecond, nil)
		}
		if !m.compares() {
			return
		}
	}
	m.clock.set(by)
	w.note("jump", m.index, uint64(by))
	lasts := between(r, 500*time.Millisecond, 4*time.Second)
	if ahead {
		w.load.press(m, lasts)
		w.run(w.now+lasts, nil)
		m.clock.set(0)
		return
	}
	w.after(lasts, func() { m.clock.set(0) })
}

// compares reports whether the machine's node has enough clocks to see that its
// own is wrong.
func (m *machine) compares() bool { return m.proc != nil && m.proc.reading.Count >= 3 }

// restore ends all faults that go on, and brings up every node.
func (w *world) restore() {
	w.run(w.now+400*time.Millisecond, nil) // who is leaving has left then
	w.net.clear()
	for _, m := range w.machines {
		m.disk.failure = noFailure
		if m.proc != nil {
			m.proc.pause(false)
		}
		m.restart()
		m.start()
		m.clock.drift = 0
		m.clock.set(0)
	}
	w.run(w.now+2*time.Second, nil)
}

// heal ends all faults for good.
func (w *world) heal() {
	w.load.quiet = true
	w.net.clear()
	for _, m := range w.machines {
		if m.proc != nil {
			m.proc.pause(false)
		}
	}
	w.run(w.now+700*time.Millisecond, nil) // who was leaving has left then
	w.history.HealedAt = w.now
	for _, m := range w.machines {
		if m.proc != nil {
			m.proc.pause(false)
		}
		m.restart()
		m.start()
		m.clock.drift = 0
		m.clock.set(0)
	}
	w.note("healed", -1)
}

// converge runs until every node has converged on the same, or it takes too long.
func (w *world) converge() {
	deadline := w.history.HealedAt + convergeWithin
	for w.now < deadline {
		w.run(w.now+100*time.Millisecond, nil)
		if w.converged() {
			w.history.ConvergedAt = w.now
			w.note("converged", -1)
			return
		}
	}
}

func (w *world) converged() bool {
	root := w.machines[0].root()
	for _, m := range w.machines {
		if m.proc == nil || m.called || !m.proc.own || m.root() != root || !m.proc.converged() || !m.proc.reacted() {
			return false
		}
	}
	return true
}
