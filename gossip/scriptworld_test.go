package gossip_test

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// scriptWorld is a few engines whose every message the script moves. Nodes have
// names of one letter. A frame waits where it was sent until "deliver" or "run".
type scriptWorld struct {
	now   time.Duration
	nodes []*scriptNode
	queue []scriptFrame
	out   strings.Builder
	pings bool // print pings too
}

type scriptFrame struct {
	from, to *scriptNode
	bytes    []byte
	era      int
}

type scriptNode struct {
	world   *scriptWorld
	name    string
	origin  chain.Origin
	engine  *gossip.Engine
	conf    gossip.EngineConfig
	skew    time.Duration
	logs    map[string][]gossip.Run // by the chain's name
	root    chain.Root
	eras    map[string]int // of the stream to a node; odd while it is open
	stalled map[string]bool
	deaf    bool // its ledger refuses everything
	ends    map[string]chain.Seq
}

func newScriptWorld() *scriptWorld { return &scriptWorld{now: time.Second} }

func (w *scriptWorld) flush() string {
	s := w.out.String()
	w.out.Reset()
	return s
}

func (w *scriptWorld) printf(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

func (w *scriptWorld) node(name string) *scriptNode {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	panic("no node " + name)
}

// scriptOrigin is the origin of a name. That of a chain whose name begins with @
// has a key, so that it can be ended by a seal.
func scriptOrigin(name string) (o chain.Origin) {
	if strings.HasPrefix(name, "@") {
		return chain.OriginOf(forkKey(name).Public().(ed25519.PublicKey))
	}
	copy(o[:], name)
	return o
}

// keyedNames are the names of the origins that have keys.
var keyedNames = map[chain.Origin]string{scriptOrigin("@f"): "@f", scriptOrigin("@g"): "@g"}

func originName(o chain.Origin) string {
	if name, ok := keyedNames[o]; ok {
		return name
	}
	return strings.TrimRight(string(o[:]), "\x00")
}

// do runs one command.
func (w *scriptWorld) do(args []string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	switch args[0] {
	case "node": // NAME [CHAIN=SEQ...] [wall=D] [memory] [queue=BYTES] [vector=BYTES] [pull=BYTES]
		w.add(args[1], args[2:])
	case "connect": // A B
		w.node(args[1]).up(w.node(args[2]))
		w.node(args[2]).up(w.node(args[1]))
	case "disconnect": // A B
		w.node(args[1]).down(w.node(args[2]))
		w.node(args[2]).down(w.node(args[1]))
	case "local": // A UPDATES [ack] [size=BYTES] [dep=CHAIN.SEQ]
		w.node(args[1]).publish(atoi(args[2]), args[3:])
	case "want-ack": // A SEQ
		n := w.node(args[1])
		n.engine.WantAck(n.at(), chain.Seq(atoi(args[2])))
		n.act()
	case "durable": // A: all that is here is synced
		n := w.node(args[1])
		n.engine.Durable(n.at(), n.heads())
		n.act()
	case "waited": // A FROM D: a push of that peer waited for so long there
		n := w.node(args[1])
		n.engine.Waited(n.at(), scriptOrigin(args[2]), duration(args[3]))
		n.act()
	case "deliver": // [FROM TO]: what is queued now
		w.deliver(args[1:])
	case "drop": // FROM TO
		w.queue = slices.DeleteFunc(w.queue, func(f scriptFrame) bool { return f.from.name == args[1] && f.to.name == args[2] })
	case "stall", "unstall": // FROM TO: the stream's writer does not get on
		n := w.node(args[1])
		n.stalled[args[2]] = args[0] == "stall"
		if args[0] == "unstall" {
			n.engine.Wrote(n.at(), scriptOrigin(args[2]), math.MaxInt32)
			n.act()
		}
	case "applied": // A CHAIN SEQ: so much of it
		n := w.node(args[1])
		n.engine.Applied(n.at(), []chain.Head{{Origin: scriptOrigin(args[2]), Seq: chain.Seq(atoi(args[3]))}})
		n.act()
	case "clock-held": // A [CHAIN SEQ]: it is held back there; prints who has applied it
		n := w.node(args[1])
		var held []chain.ID
		if len(args) > 2 {
			held = []chain.ID{{Origin: scriptOrigin(args[2]), Seq: chain.Seq(atoi(args[3]))}}
		}
		for _, of := range n.engine.ClockHeld(n.at(), held) {
			for _, p := range w.nodes {
				if seq := of[p.origin]; seq > 0 {
					w.printf("%s has applied %s.%d", p.name, args[2], seq)
				}
			}
		}
		n.act()
	case "fetch": // A FROM CHAIN SEQ
		n := w.node(args[1])
		seq := chain.Seq(atoi(args[4]))
		n.engine.Fetch(n.at(), scriptOrigin(args[2]), gossip.Range{Origin: scriptOrigin(args[3]), From: seq, To: seq})
		n.act()
	case "freeze": // A CHAIN SEQ: its ledger finds that the chain ends there
		n := w.node(args[1])
		n.freeze(args[2], chain.Seq(atoi(args[3])))
		n.act()
	case "other": // A CHAIN SEQ UPDATES: it has others from there on than the rest
		n := w.node(args[1])
		n.cut(args[2], chain.Seq(atoi(args[3])-1))
		for range atoi(args[4]) {
			n.add(scriptRun(args[2], n.head(args[2]), 1, 40, "other"))
		}
		n.conf.Heads, n.conf.Root = n.heads(), n.root.Hash()
		n.engine = gossip.NewEngine(n.at(), n.conf) // no stream is open yet
	case "refuse": // A: its ledger refuses what comes
		w.node(args[1]).deaf = true
	case "tick": // D: time passes, nothing arrives
		w.tick(w.now + duration(args[1]))
	case "run": // D: time passes, frames arrive after 5 ms
		for end := w.now + duration(args[1]); w.now < end; {
			w.tick(min(w.now+5*time.Millisecond, end))
			w.deliver(nil)
		}
	case "unknown": // FROM TO: a frame of a later version
		w.queue = append(w.queue, scriptFrame{w.node(args[1]), w.node(args[2]), []byte{0x92, 0x78, 0xc0}, w.node(args[1]).eras[args[2]]})
	case "pings": // print them from now on
		w.pings = true
	case "state": // A
		w.node(args[1]).print()
	case "stats": // A
		w.printf("%s: %s", args[1], w.node(args[1]).stats())
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

func (w *scriptWorld) add(name string, args []string) {
	n := &scriptNode{world: w, name: name, origin: scriptOrigin(name), logs: map[string][]gossip.Run{}, eras: map[string]int{}, stalled: map[string]bool{}}
	n.conf = gossip.EngineConfig{Self: n.origin, Epoch: 1, Durable: true}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "wall":
			n.skew = duration(value)
		case "memory":
			n.conf.Durable = false
		case "queue":
			n.conf.Limits.QueueBytes = atoi(value)
		case "vector":
			n.conf.Limits.VectorBytes = atoi(value)
		case "pull":
			n.conf.Limits.PullBytes = atoi(value)
		default:
			for i := range atoi(value) {
				n.add(scriptRun(key, n.head(key), 1, 40, fmt.Sprint(i)))
			}
		}
	}
	n.conf.Heads, n.conf.Root = n.heads(), n.root.Hash()
	n.engine = gossip.NewEngine(n.at(), n.conf)
	w.nodes = append(w.nodes, n)
}

// tick lets time pass: engines are ticked when they want to be.
func (w *scriptWorld) tick(until time.Duration) {
	for {
		var first *scriptNode
		for _, n := range w.nodes {
			if next := n.engine.NextTick(); next <= until && (first == nil || next < first.engine.NextTick()) {
				first = n
			}
		}
		if first == nil {
			break
		}
		w.now = max(w.now, first.engine.NextTick())
		first.engine.Tick(first.at())
		first.act()
		if first.engine.NextTick() <= w.now {
			panic(first.name + " wants to be ticked for ever")
		}
	}
	w.now = max(w.now, until)
}

// deliver hands over the frames that are queued, in the order in which they
// were sent.
func (w *scriptWorld) deliver(of []string) {
	queued := w.queue
	w.queue = nil
	for _, f := range queued {
		if len(of) == 2 && (f.from.name != of[0] || f.to.name != of[1]) {
			w.queue = append(w.queue, f)
			continue
		}
		if f.from.eras[f.to.name] == f.era {
			f.to.receive(f.from, f.bytes)
		}
	}
}

func (n *scriptNode) at() gossip.At {
	return gossip.At{Mono: n.world.now, Wall: 1_700_000_000_000 + (n.world.now + n.skew).Milliseconds()}
}

func (n *scriptNode) up(to *scriptNode) {
	n.eras[to.name] |= 1
	n.engine.PeerUp(n.at(), to.origin)
	n.act()
}

func (n *scriptNode) down(to *scriptNode) {
	n.eras[to.name] += n.eras[to.name] & 1
	n.engine.PeerDown(n.at(), to.origin)
	n.act()
}

func (n *scriptNode) head(name string) chain.Head {
	runs := n.logs[name]
	if len(runs) == 0 {
		return chain.Head{Origin: scriptOrigin(name)}
	}
	return chain.Head{Origin: scriptOrigin(name), Seq: runs[len(runs)-1].Last, Hash: runs[len(runs)-1].Hash}
}

func (n *scriptNode) heads() (heads []chain.Head) {
	for name := range n.logs {
		heads = append(heads, n.head(name))
	}
	slices.SortFunc(heads, func(a, b chain.Head) int { return a.Origin.Compare(b.Origin) })
	return heads
}

func (n *scriptNode) add(r gossip.Run) {
	name := originName(r.Origin)
	n.root.Replace(n.head(name), chain.Head{Origin: r.Origin, Seq: r.Last, Hash: r.Hash})
	n.logs[name] = append(n.logs[name], r)
}

// scriptRun makes a run; its first body holds the text.
func scriptRun(name string, after chain.Head, updates, size int, text string) gossip.Run {
	r := chain.Run{Origin: scriptOrigin(name), First: after.Seq + 1, Prev: after.Hash}
	for i := range updates {
		body := make([]byte, size)
		if i == 0 {
			copy(body, text)
		}
		r.Entries = append(r.Entries, chain.Entry{Header: []byte{1}, Body: body})
	}
	return simRun(&r)
}

func (n *scriptNode) publish(updates int, args []string) {
	ack, size, dep := false, 40, ""
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "ack":
			ack = true
		case "size":
			size = atoi(value)
		case "dep":
			dep = "dep=" + value + " "
		}
	}
	run := scriptRun(n.name, n.head(n.name), updates, size, dep)
	n.add(run)
	n.engine.Local(n.at(), []gossip.Run{run}, ack)
	n.engine.Committed(n.at(), []chain.Head{n.head(n.name)}, n.root.Hash())
	n.act()
}

func (n *scriptNode) receive(from *scriptNode, b []byte) {
	f, err := gossip.DecodeFrame(b)
	if err != nil {
		panic(err)
	}
	if f, ok := f.(*gossip.Freeze); ok {
		if f.Verified, err = chain.DecodeFreeze(f.Encoded); err == nil {
			err = f.Verified.Verify()
		}
		if err != nil {
			panic(err)
		}
	}
	for i, runs := 0, framesRuns(f); i < len(runs); i++ {
		r, err := chain.DecodeRun(runs[i].Encoded)
		if err != nil {
			panic(err)
		}
		runs[i] = simRun(r)
	}
	n.engine.Message(n.at(), from.origin, f)
	n.act()
}

// act carries out what the engine wants, and prints it.
func (n *scriptNode) act() {
	w := n.world
	out := n.engine.Take()
	for _, c := range out.Close {
		w.printf("%s closes %s: %s", n.name, originName(c.Peer), c.Reason)
		n.down(w.node(originName(c.Peer)))
	}
	for _, s := range out.Send {
		for _, to := range s.To {
			peer := w.node(originName(to))
			if s.Frame.Kind() != gossip.KindPing || w.pings {
				w.printf("%s>%s %s", n.name, peer.name, describe(s.Frame, w))
			}
			w.queue = append(w.queue, scriptFrame{n, peer, gossip.AppendFrame(nil, s.Frame), n.eras[peer.name]})
			if !n.stalled[peer.name] {
				n.engine.Wrote(n.at(), to, s.Size)
			}
		}
	}
	for _, a := range out.Accept {
		n.accept(a)
	}
	for _, r := range out.Read {
		runs, rest, err := gossip.ReadRanges(n.serve, r.Ranges, r.Bytes)
		n.engine.ReadDone(n.at(), r, runs, rest, err)
		n.act()
	}
	for _, r := range out.Evidence {
		name := originName(r.Origin)
		seal := chain.SignSeal(forkKey(name), chain.Head{Origin: r.Origin, Seq: n.ends[name], Hash: n.head(name).Hash})
		n.engine.EvidenceRead(n.at(), r, seal.Append(nil))
		n.act()
	}
	if out.SyncSoon {
		w.printf("%s is to sync soon", n.name)
	}
	for _, a := range out.Acked {
		w.printf("%s hears that %s has %s.%d", n.name, originName(a.Peer), n.name, a.Head.Seq)
	}
	for _, o := range out.OwnHeads {
		if o.Head.Seq > 0 || o.Answered() {
			w.printf("%s hears that its chain ends at %d with %s, an answer: %v", n.name, o.Head.Seq, originName(o.Peer), o.Answered())
		}
	}
	if out.CaughtUp {
		w.printf("%s has caught up", n.name)
	}
	if len(out.Send)+len(out.Read)+len(out.Close) > 0 {
		n.act() // what there is now room for
	}
}

func (n *scriptNode) accept(a gossip.Accept) {
	if f := a.Freeze; f != nil {
		n.world.printf("%s takes the freeze of %s after %d", n.name, originName(f.Origin), f.After)
		n.freeze(originName(f.Origin), f.After)
		n.engine.Outcome(n.at(), a.ID, []chain.Outcome{{Verdict: chain.Accepted}})
		n.act()
		return
	}
	var outcomes []chain.Outcome
	var heads []chain.Head
	took := map[chain.Verdict][]gossip.Run{}
	for _, r := range a.Runs {
		name := originName(r.Origin)
		head := n.head(name)
		o := chain.Outcome{Verdict: chain.Accepted}
		switch {
		case n.deaf:
			o.Verdict = chain.Refused
		case r.First > head.Seq+1:
			o.Verdict = chain.Gap
		case n.parts(name, r):
			o.Verdict, o.From = chain.Diverged, max(r.First-1, 1)
		case r.Last <= head.Seq:
			o.Verdict, o.Duplicates = chain.Duplicate, r.Updates()
		default:
			n.add(r)
			heads = append(heads, n.head(name))
			o.Missing = n.missing(r)
		}
		outcomes = append(outcomes, o)
		took[o.Verdict] = append(took[o.Verdict], r)
	}
	for v := chain.Accepted; v <= chain.Diverged; v++ {
		if len(took[v]) > 0 {
			n.world.printf("%s takes %s: %s", n.name, printRuns(took[v]), v)
		}
	}
	n.engine.Committed(n.at(), heads, n.root.Hash())
	n.engine.Outcome(n.at(), a.ID, outcomes)
	n.act()
}

// parts reports whether a run follows on, or is, another update than is here.
func (n *scriptNode) parts(name string, r gossip.Run) bool {
	decoded, err := chain.DecodeRun(r.Encoded)
	if err != nil {
		panic(err)
	}
	for _, have := range n.logs[name] {
		if have.Last == r.First-1 && have.Hash != decoded.Prev || have.Last == r.Last && have.Hash != r.Hash {
			return true
		}
	}
	return false
}

// cut drops what is here of a chain after a seq.
func (n *scriptNode) cut(name string, after chain.Seq) {
	was := n.head(name)
	runs := n.logs[name]
	for len(runs) > 0 && runs[len(runs)-1].Last > after {
		runs = runs[:len(runs)-1]
	}
	n.logs[name] = runs
	n.root.Replace(was, n.head(name))
}

// freeze ends a chain, and puts that into the sync root, as a head of its own.
func (n *scriptNode) freeze(name string, after chain.Seq) {
	n.cut(name, after)
	if n.ends == nil {
		n.ends = map[string]chain.Seq{}
	}
	n.ends[name] = after
	n.root.Add(chain.Head{Origin: scriptOrigin(name), Seq: after + 1})
	n.engine.Frozen(n.at(), []chain.ID{{Origin: scriptOrigin(name), Seq: after}})
	n.engine.Committed(n.at(), []chain.Head{n.head(name)}, n.root.Hash())
}

func (n *scriptNode) missing(r gossip.Run) []chain.ID {
	_, rest, ok := strings.Cut(string(r.Encoded), "dep=")
	if !ok {
		return nil
	}
	dep, _, _ := strings.Cut(rest, " ")
	name, seq, _ := strings.Cut(dep, ".")
	if id := (chain.ID{Origin: scriptOrigin(name), Seq: chain.Seq(atoi(seq))}); n.head(name).Seq < id.Seq {
		return []chain.ID{id}
	}
	return nil
}

func (n *scriptNode) serve(o chain.Origin, from chain.Seq, size int) (runs [][]byte, err error) {
	total := 0
	for _, r := range n.logs[originName(o)] {
		if r.Last < from {
			continue
		}
		if total += len(r.Encoded); total > size && len(runs) > 0 {
			break
		}
		runs = append(runs, r.Encoded)
	}
	return runs, nil
}
