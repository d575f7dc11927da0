package gossip_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// describe prints a frame on a line.
func describe(f gossip.Frame, w *scriptWorld) string {
	switch f := f.(type) {
	case *gossip.Hello:
		s := fmt.Sprintf("hello own=%d yours=%d", f.Own.Seq, f.Yours.Seq)
		if !f.Durable {
			s += " memory"
		}
		if f.CatchingUp {
			s += " catching-up"
		}
		return s
	case *gossip.Push:
		s := "push " + printRuns(f.Runs)
		if f.AckWanted {
			s += " ack-wanted"
		}
		return s
	case *gossip.Served:
		s := fmt.Sprintf("served #%d %s", f.ID, printRuns(f.Runs))
		if f.Done {
			s += " done"
		}
		return s
	case *gossip.Pull:
		var ranges []string
		for _, r := range f.Ranges {
			ranges = append(ranges, fmt.Sprintf("%s.%d-%d", originName(r.Origin), r.From, r.To))
		}
		return fmt.Sprintf("pull #%d %s", f.ID, strings.Join(ranges, " "))
	case *gossip.Heads:
		s := "heads " + printHeads(f.Heads)
		if f.End {
			s += " end"
		}
		return s
	case *gossip.Digest:
		if !f.Full {
			return "digest changed " + printHeads(f.Heads)
		}
		return fmt.Sprintf("digest full (%s,%s] %s", originName(f.After), originName(f.UpTo), printHeads(f.Heads))
	case *gossip.Ack:
		return fmt.Sprintf("ack %d", f.Seq)
	case *gossip.AckWanted:
		return fmt.Sprintf("ack-wanted %d", f.Seq)
	case *gossip.AppliedWanted:
		return "applied-wanted " + printHeads(f.Held)
	case *gossip.Applied:
		return "applied " + printHeads(f.Heads)
	case *gossip.Freeze:
		v, err := chain.DecodeFreeze(f.Encoded)
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf("freeze %s after %d", originName(v.Origin), v.After)
	case *gossip.Frozen:
		s := "frozen " + printHeads(f.Ends)
		if f.Answer {
			s += " answer"
		}
		return s
	case *gossip.Hashes:
		var out []string
		for _, h := range f.Heads {
			out = append(out, fmt.Sprintf("%s.%d", originName(h.Origin), h.Seq))
		}
		return "hashes " + strings.Join(out, " ")
	case *gossip.Ping:
		return fmt.Sprintf("ping yours=%d at %v", f.Yours, w.now)
	}
	return f.Kind().String()
}

func printRuns(runs []gossip.Run) string {
	if len(runs) == 0 {
		return "nothing"
	}
	// Runs that follow each other are printed as one.
	type span struct {
		name        string
		first, last chain.Seq
		runs        int
	}
	var spans []span
	for _, r := range runs {
		name := originName(r.Origin)
		if k := len(spans) - 1; k >= 0 && spans[k].name == name && spans[k].last+1 == r.First {
			spans[k].last, spans[k].runs = r.Last, spans[k].runs+1
			continue
		}
		spans = append(spans, span{name, r.First, r.Last, 1})
	}
	var out []string
	for _, s := range spans {
		text := fmt.Sprintf("%s.%d-%d", s.name, s.first, s.last)
		if s.runs > 1 {
			text += fmt.Sprintf(" (%d runs)", s.runs)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func printHeads(heads []chain.ID) string {
	if len(heads) == 0 {
		return "none"
	}
	var out []string
	for _, h := range heads {
		out = append(out, fmt.Sprintf("%s.%d", originName(h.Origin), h.Seq))
	}
	return strings.Join(out, " ")
}

// print prints what a node knows.
func (n *scriptNode) print() {
	w := n.world
	var has []string
	for _, h := range n.heads() {
		has = append(has, fmt.Sprintf("%s.%d", originName(h.Origin), h.Seq))
	}
	var live []chain.Origin
	for _, p := range n.engine.Peers() {
		if p.Connected {
			live = append(live, p.Origin)
		}
	}
	progress, clock := n.engine.Progress(), n.engine.Clock(n.at(), live)
	w.printf("%s has %s, %d of %d, converged: %v, clocks: %d, own off by %v", n.name, strings.Join(has, " "), progress.Have, progress.Want,
		n.engine.Converged(n.at(), 0, live, len(live)+1), clock.Count, clock.Offset.Round(time.Millisecond))
	for _, p := range n.engine.Peers() {
		s := fmt.Sprintf("  %s: rtt %v, behind by %d", originName(p.Origin), p.RTT, p.Behind)
		for _, x := range []struct {
			on   bool
			text string
		}{{!p.Connected, "down"}, {p.Lagging, "lagging"}, {p.Queued > 0, fmt.Sprintf("%d runs queued", p.Queued)}, {p.CatchingUp, "catching up"}} {
			if x.on {
				s += ", " + x.text
			}
		}
		w.printf("%s", s)
	}
}

func (n *scriptNode) stats() string {
	s := n.engine.Stats()
	fields := []string{
		fmt.Sprintf("pushed %d", s.RunsPushed), fmt.Sprintf("dropped %d", s.RunsDropped), fmt.Sprintf("gathers %d", s.Gathers), fmt.Sprintf("received %d", s.RunsReceived),
		fmt.Sprintf("duplicates %d", s.Duplicates), fmt.Sprintf("gaps %d", s.Gaps), fmt.Sprintf("pulls %d", s.Pulls),
		fmt.Sprintf("timeouts %d", s.PullTimeouts), fmt.Sprintf("digests %d", s.Digests), fmt.Sprintf("full %d", s.FullDigests),
		fmt.Sprintf("beacons %d", s.Beacons), fmt.Sprintf("unknown %d", s.UnknownFrames), fmt.Sprintf("errors %d", s.ProtocolErrors),
	}
	return strings.Join(slices.DeleteFunc(fields, func(f string) bool { return strings.HasSuffix(f, " 0") }), ", ")
}
