package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// Defect is a bug that is planted into the simulated nodes, to see that the
// checkers catch it.
type Defect uint8

// The defects that can be planted.
const (
	NoDefect            Defect = iota
	LazySync                   // own updates are acknowledged and sent before they are synced
	SendBeforeSync             // own updates are sent before they are synced; callers wait
	SyncErrorSwallowed         // a sync that failed is taken for done
	DurableBeforeSync          // applied heads are reported as durable
	AcksMiscounted             // one node more than there is
	RecoverySkipped            // after a start the own chain is appended to at once
	NoteIgnored                // the note of heads is not read
	KnownForgotten             // the known members are not stored
	KeysForgotten              // idempotency keys are, at each start
	GapSkipped                 // a run that leaves a gap is taken as if it left none
	ForkAccepted               // what differs from what is here is cut off, the rest taken
	QueueDrops                 // runs are dropped now and then, and nobody is told
	RepairIgnored              // peers' heads and digests are not looked at
	AppliedTwice               // an update counts again
	PublishedTwice             // a draft is appended again
	FalseUnchanged             // a draft is said to change nothing, by an old view
	FeedByOrigin               // a page is in the order of origins
	HeldDelivered              // held updates are delivered
	ArrivalCursor              // a cursor is a place in a node's own order
	CursorPastPage             // a cursor covers what was applied, not what was delivered
	CursorGoesBack             // a node that is behind takes the cursor back to its own end
	LostPollAdvances           // a poll whose answer was lost counts as delivered
	AtLeastIgnored             // reads are answered as things are
	ViewByArrival              // a late update is folded last
	HistoryByArrival           // a history is in the order of arrival
	ClockRefusalIgnored        // a node whose clock is off publishes
	HalfBatches                // a crash leaves half of a batch
	FreezeIgnored              // what others froze is not looked at
	RetractionForgotten        // consumers are not told what was taken back
	RepublishForgotten         // what a freeze took back is not published again
	RepublishTwice             // it is again at each start
	PlaceFirst                 // a reaction's place is committed, and then its answer
	PlaceForgotten             // places of reactions are kept in memory
	AnswersIgnored             // whether a trigger was answered is not looked up
	LostPlaceAtEnd             // a reaction whose place was lost leaves out all that is there
	ReportsIgnored             // a node says that it is converged, whatever it was told of

	defectsEnd
)

var defectNames = [defectsEnd]string{
	"none", "lazy sync", "send before sync", "sync error swallowed", "durable before sync", "acks miscounted",
	"recovery skipped", "note ignored", "known forgotten", "keys forgotten", "gap skipped", "fork accepted", "queue drops",
	"repair ignored", "applied twice", "published twice", "false unchanged", "feed by origin", "held delivered",
	"arrival cursor", "cursor past page", "cursor goes back", "lost poll advances", "at_least ignored", "view by arrival",
	"history by arrival", "clock refusal ignored", "half batches", "freeze ignored", "retraction forgotten", "republish forgotten",
	"republish twice", "place first", "place forgotten", "answers ignored", "lost place at end", "reports ignored",
}

// sendBeforeSync is how long after a commit its sync comes with that defect.
const sendBeforeSync = 100 * time.Millisecond

func (d Defect) String() string { return defectNames[d] }

func parseDefect(s string) (Defect, error) {
	for d, name := range defectNames {
		if strings.ReplaceAll(name, " ", "-") == s {
			return Defect(d), nil
		}
	}
	return 0, fmt.Errorf("no defect %q", s)
}

// has reports whether a defect is planted.
func (w *world) has(d Defect) bool { return w.opt.Defect == d }

// spoil is what planted defects make of runs on their way into the ledger.
func (p *process) spoil(runs []*chain.Run) []*chain.Run {
	if !p.w.has(GapSkipped) && !p.w.has(ForkAccepted) {
		return runs
	}
	heads := map[chain.Origin]chain.Head{}
	out := slices.Clone(runs)
	for i, r := range runs {
		head, ok := heads[r.Origin]
		if !ok {
			head = p.ledger.Head(r.Origin)
		}
		c := *r
		switch {
		case head.Seq == 0:
		case p.w.has(GapSkipped) && r.First > head.Seq+1:
			c.First, c.Prev = head.Seq+1, head.Hash
		case p.w.has(ForkAccepted) && r.First <= head.Seq && r.Last() > head.Seq && r.Entries[head.Seq-r.First].Hash != head.Hash:
			c.First, c.Prev, c.Entries = head.Seq+1, head.Hash, r.Entries[head.Seq-r.First+1:]
		case p.w.has(ForkAccepted) && r.First == head.Seq+1 && r.Prev != head.Hash:
			c.Prev = head.Hash
		case p.w.has(ForkAccepted) && r.Last() == head.Seq && r.Head().Hash != head.Hash:
			c.Entries = slices.Clone(c.Entries)
			c.Entries[len(c.Entries)-1].Hash = head.Hash
		}
		out[i], heads[r.Origin] = &c, c.Head()
	}
	return out
}

// deaf reports whether a planted defect makes the node pass over a frame.
func (p *process) deaf(f gossip.Frame) bool {
	switch f.(type) {
	case *gossip.Heads, *gossip.Digest:
		return p.w.has(RepairIgnored)
	case *gossip.Freeze, *gossip.Frozen:
		return p.w.has(FreezeIgnored)
	}
	return false
}

// mangle is what planted defects make of a page of the feed.
func (p *process) mangle(c *consumer, since chain.Cursor, page *chain.Feed) {
	w := p.w
	switch {
	case w.has(FeedByOrigin):
		slices.SortStableFunc(page.Updates, func(a, b *chain.Update) int {
			return cmp.Or(b.ID.Origin.Compare(a.ID.Origin), cmp.Compare(a.ID.Seq, b.ID.Seq))
		})
	case w.has(HeldDelivered):
		for _, info := range p.chains() {
			o := info.Received.Origin
			if page.Cursor.Frontier[o] != info.Applied.Seq || info.Applied == info.Received || len(c.filter.Authorities) > 0 {
				continue
			}
			_, updates, _, err := p.archive.Page(o, info.Applied.Seq+1, 1)
			p.must(err)
			if u := &updates[0].Update; c.filter.Admits(u.Subject, info.Genesis.Authority) {
				page.Updates = append(page.Updates, u)
			}
			page.Cursor.Frontier[o] = info.Applied.Seq + 1
		}
	case w.has(CursorPastPage):
		for o, seq := range p.archive.Frontier() {
			page.Cursor.Frontier[o] = max(page.Cursor.Frontier[o], seq)
		}
	case w.has(CursorGoesBack):
		applied := p.archive.Frontier()
		for _, o := range page.Behind {
			page.Cursor.Frontier[o] = applied[o]
		}
	case w.has(RetractionForgotten):
		page.Retracted = nil
	case w.has(ArrivalCursor):
		page.Updates, page.Cursor.Frontier = nil, since.Frontier.Clone()
		if page.Cursor.Frontier == nil {
			page.Cursor.Frontier = chain.Frontier{}
		}
		for c.place < len(p.arrived) && len(page.Updates) < 10 {
			u := p.arrived[c.place]
			c.place++
			page.Cursor.Frontier[u.ID.Origin] = max(page.Cursor.Frontier[u.ID.Origin], u.ID.Seq)
			if u.Kind == chain.KindStatus && c.filter.Admits(u.Subject, p.archive.Authority(u.ID.Origin)) {
				page.Updates = append(page.Updates, u)
			}
		}
		page.UpToDate = c.place >= len(p.arrived)
	}
}

// distort is what planted defects make of a node's views and histories.
func (p *process) distort(f *Final) {
	place := map[chain.ID]int{}
	for i, u := range p.arrived {
		place[u.ID] = i
	}
	for subject, history := range f.Histories {
		byArrival := slices.Clone(history)
		slices.SortStableFunc(byArrival, func(a, b Update) int { return cmp.Compare(place[a.ID], place[b.ID]) })
		switch {
		case p.w.has(HistoryByArrival):
			f.Histories[subject] = byArrival
		case p.w.has(ViewByArrival):
			f.Views[subject] = fmt.Sprintf(`{"d":%d}`, byArrival[len(byArrival)-1].Draft)
		}
	}
}
