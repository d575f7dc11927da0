package sim

import (
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node/core"
)

// sighting is what a node believes of another machine. Membership learns late
// who is there, and later who is not; sometimes it is wrong.
type sighting struct {
	member gossip.Member
	lost   time.Duration // since when it does not answer, 0 while it does
	wrong  time.Duration // until when it is taken for failed though it answers
}

// watchMembers looks around at random moments.
func (p *process) watchMembers() {
	w := p.w
	var look func()
	look = func() {
		changed := false
		var gone []chain.Origin
		for _, m := range w.machines {
			if m == p.m {
				continue
			}
			was := p.seen[m.index]
			is := p.look(m, was)
			if is == nil || was != nil && *is == *was {
				continue
			}
			p.seen[m.index] = is
			if was == nil || is.member != was.member {
				changed = true
				w.note("member", p.m.index, uint64(m.index), uint64(is.member.Status), is.member.Epoch)
			}
			if was != nil && was.member.Origin != is.member.Origin {
				gone = append(gone, was.member.Origin)
			}
		}
		if changed {
			for _, o := range gone {
				p.engine.Forget(o)
			}
			p.known.Note(p.origin, p.m.name, p.members())
			p.checkAcks()
		}
		p.after(between(w.rand.member, 100*time.Millisecond, 500*time.Millisecond), look)
	}
	look() // who starts joins those that answer
}

// look is what is believed of a machine after a look at it, nil if nothing is
// known.
func (p *process) look(m *machine, was *sighting) *sighting {
	w := p.w
	q := m.proc
	if m.runs() && w.net.reaches(p.m.index, m.index) {
		is := &sighting{member: gossip.Member{
			Origin: q.origin, Epoch: uint64(q.began) + 1, Status: gossip.StatusAlive,
			Tags: gossip.Tags{Name: m.name, Authority: m.authority, Durable: m.durable},
		}}
		if was != nil {
			is.wrong = was.wrong
		}
		if w.opt.Faults.Has(Suspicions) && w.troubled() && chance(w.rand.member, 60) {
			is.wrong = w.now + between(w.rand.member, 500*time.Millisecond, 3*time.Second)
		}
		if w.now < is.wrong && w.troubled() {
			is.member.Status = gossip.StatusFailed
		}
		return is
	}
	if was == nil {
		return nil
	}
	is := *was
	switch {
	case q == nil && m.left && w.net.reaches(p.m.index, m.index):
		is.member.Status = gossip.StatusLeft
	case is.member.Status != gossip.StatusAlive:
	case is.lost == 0:
		is.lost = w.now
	case w.now-is.lost > between(w.rand.member, time.Second, 4*time.Second):
		is.member.Status = gossip.StatusFailed
	}
	return &is
}

// members are the members as the node sees them, itself included.
func (p *process) members() []gossip.Member {
	var members []gossip.Member
	for i, m := range p.w.machines {
		if m == p.m {
			members = append(members, gossip.Member{
				Origin: p.origin, Epoch: uint64(p.began) + 1, Status: gossip.StatusAlive,
				Tags: gossip.Tags{Name: m.name, Authority: m.authority, Durable: m.durable},
			})
		} else if s := p.seen[i]; s != nil {
			members = append(members, s.member)
		}
	}
	return members
}

// live are the members that are alive, without this node.
func (p *process) live() []chain.Origin {
	var live []chain.Origin
	for i := range p.w.machines {
		if s := p.seen[i]; s != nil && s.member.Status == gossip.StatusAlive {
			live = append(live, s.member.Origin)
		}
	}
	return live
}

// voters are the members whose clocks count.
func (p *process) voters() []chain.Origin {
	var out []chain.Origin
	for _, m := range p.members() {
		if m.Status != gossip.StatusLeft {
			out = append(out, m.Origin)
		}
	}
	return out
}

// stageKnown puts the known members into the writer's batch.
func (p *process) stageKnown() error {
	record, changed, err := p.known.Encode()
	if err == nil && changed && !p.w.has(KnownForgotten) {
		p.ledger.PutPrivate(core.KnownRecord, record)
	}
	return err
}
