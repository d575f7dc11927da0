package sim

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// process is one life of a node: what package node wires together around its
// core, in the same order, with the world for goroutines.
type process struct {
	w      *world
	m      *machine
	life   int
	began  time.Duration
	dead   bool
	paused bool
	missed []func() // what came while it was paused

	public  ed25519.PublicKey
	origin  chain.Origin
	store   chain.Store
	ledger  *chain.Ledger
	archive *chain.Archive
	core    *core.Writer
	engine  *gossip.Engine

	reactors []*reactor
	writer
	mesh
	readiness
}

const (
	recoverWait  = 4 * time.Second
	maxClockSkew = 10 * time.Second
	watchEvery   = 500 * time.Millisecond
	lookEvery    = 20 * time.Millisecond
)

// start begins a life, unless there is one.
func (m *machine) start() {
	if m.proc != nil {
		return
	}
	m.lives++
	m.left = false
	p := &process{w: m.w, m: m, life: m.lives, began: m.w.now, mesh: newMesh()}
	m.proc = p
	if m.durable {
		p.store = m.disk.store()
	} else {
		p.store = store.Memory()
	}
	if m.w.has(KeysForgotten) {
		p.forget("k", "x")
	}
	if m.w.has(RepublishTwice) {
		p.forget(noteOfRepublished)
	}
	if m.w.has(PlaceForgotten) {
		p.forget(noteOfPlaces)
	}
	p.open()
}

// forget is what a node does that keeps some records in memory alone.
func (p *process) forget(prefixes ...string) {
	var b chain.Batch
	for _, prefix := range prefixes {
		for it := p.store.Scan([]byte(prefix), append([]byte(prefix), 0xff)); it.Next(); {
			b.Delete(it.Key())
		}
	}
	p.must(p.store.Commit(&b, true))
}

func (p *process) open() {
	d := p.m.disk
	p.public = d.key.Public().(ed25519.PublicKey)
	p.origin = chain.OriginOf(p.public)
	now := p.wall()
	var err error
	p.ledger, err = chain.NewLedger(p.store, chain.Config{
		Key: d.key, Predecessor: d.predecessor, Former: d.former, Node: p.m.name, Authority: p.m.authority, Limit: p.timeLimit(now),
	}, now)
	p.must(err)
	p.archive = chain.NewArchive(p.ledger)
	p.opened()
	p.core = core.NewWriter(core.WriterConfig{
		Ledger: p.ledger, Archive: p.archive, Store: p.store, Now: p.time, Wall: p.writerWall,
		MayPublish: p.mayPublish, TimeLimit: p.timeLimit, Stage: p.stageKnown, Heard: p.heardCommit,
		Share:    p.m.share,
		Measured: func(*chain.Batch, bool, time.Duration) {},
		Failed: func(err error) {
			p.w.note("failed", p.m.index)
			p.w.say(p.m.index, "store failed: %v", err)
		},
	})
	p.startMesh()
	p.startWriter()
	p.recover()
	if !p.dead {
		p.startReactors()
	}
}

// opened records what the node began with. What it has beyond what it was seen
// to apply, it found on its disk.
func (p *process) opened() {
	e := Opened{
		Moment: p.moment(), Origin: p.origin, Durable: p.m.durable, Authority: p.m.authority,
		Applied: chain.Frontier{}, Frozen: map[chain.Origin]chain.Seq{},
	}
	var found []*chain.Update
	for _, c := range p.chains() {
		o := c.Applied.Origin
		if seq := min(c.Applied.Seq, p.m.shown[o]); seq > 0 {
			e.Applied[o] = seq
		}
		for seq := e.Applied[o] + 1; seq <= c.Applied.Seq; seq++ {
			u, err := p.archive.Update(chain.ID{Origin: o, Seq: seq})
			p.must(err)
			found = append(found, u)
		}
	}
	for _, f := range p.archive.Freezes() { // also of chains of which nothing is here
		e.Frozen[f.Origin] = f.After
	}
	slices.SortFunc(found, func(a, b *chain.Update) int { return a.Stamp().Compare(b.Stamp()) })
	p.m.shown = e.Applied.Clone()
	p.w.record(e)
	p.w.note("open", p.m.index, uint64(p.life), uint64(len(found)))
	p.w.say(p.m.index, "opened as %s", p.origin)
	for _, u := range found {
		p.took(u)
	}
}

// must stops the run on what is a defect by itself, or of the simulation.
func (p *process) must(err error) {
	if err != nil {
		panic(broken{fmt.Sprintf("node %d at %s: %v", p.m.index, p.w.now, err)})
	}
}

func (p *process) moment() Moment { return Moment{p.w.now, p.m.index, p.life} }

// at is a moment for the engine.
func (p *process) at() gossip.At { return gossip.At{Mono: p.w.now, Wall: p.wall()} }

func (p *process) wall() int64 { return p.m.clock.wall(p.w.now) }

// later does something now, or once the process is no longer paused, or never
// if it dies before.
func (p *process) later(do func()) {
	switch {
	case p.dead:
	case p.paused:
		p.missed = append(p.missed, do)
	default:
		do()
	}
}

// after does something after a while, if the process lives and runs then.
func (p *process) after(d time.Duration, do func()) { p.w.after(d, func() { p.later(do) }) }

// every does something again and again, as long as the process lives and it
// says so.
func (p *process) every(d time.Duration, do func() bool) {
	p.after(d, func() {
		if do() {
			p.every(d, do)
		}
	})
}

// pause stops the process, and lets it go on.
func (p *process) pause(paused bool) {
	if p.dead || p.paused == paused {
		return
	}
	p.paused = paused
	p.w.note("pause", p.m.index, bit(paused))
	missed := p.missed
	p.missed = nil
	for i, do := range missed {
		if p.paused {
			p.missed = append(p.missed, missed[i:]...)
			return
		}
		p.later(do)
	}
	if !paused {
		for _, e := range p.m.ends() {
			e.pump()
		}
	}
}

// die ends everything at once.
func (p *process) die() {
	p.dead, p.missed = true, nil
	p.w.gathers += p.engine.Stats().Gathers
	for _, e := range p.m.ends() {
		e.close(true)
	}
}

// leave ends the process in order: its peers get what it published last, within
// a while, then it is gone.
func (p *process) leave() {
	if own := p.archive.Head(p.origin).Seq; own > 0 {
		p.engine.WantAck(p.at(), own)
		p.act()
	}
	p.after(between(p.w.rand.fault, 0, 300*time.Millisecond), func() {
		p.leaving = true
		if !p.busy {
			p.close()
		}
	})
}

// close commits what waits, leaves everything synced and noted, and ends.
func (p *process) close() {
	p.busy = true
	p.gather()
	if len(p.batch.drafts)+len(p.batch.arrivals)+len(p.batch.freezes)+len(p.batch.settles) > 0 {
		p.process()
	}
	if p.dead {
		return
	}
	p.core.Finish()
	p.act()
	_ = p.store.Close()
	p.die()
	p.m.left = true
	if p.m.durable {
		p.m.disk.crash(len(p.m.disk.pending))
	}
	p.m.ended(!p.m.durable)
}
