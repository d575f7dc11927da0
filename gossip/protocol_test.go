package gossip

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// TestProtocolExamples reads PROTOCOL.md: every example is what the codec
// writes for the frame that it names.
func TestProtocolExamples(t *testing.T) {
	fill := func(b byte) (o chain.Origin) { return chain.Origin(bytes.Repeat([]byte{b}, 16)) }
	second := fill(1)
	second[15] = 2
	hash := chain.Hash(bytes.Repeat([]byte{0xab}, 32))
	frames := map[string]Frame{
		"heads, end: chain `01…01` at 5, `01…0102` at 300":     &Heads{End: true, Heads: []chain.ID{{Origin: fill(1), Seq: 5}, {Origin: second, Seq: 300}}},
		"pull 7, 64 KiB: chain `02…02` from 3 to 9":            &Pull{ID: 7, Bytes: 64 << 10, Ranges: []Range{{fill(2), 3, 9}}},
		"served 7, done, nothing":                              &Served{ID: 7, Done: true},
		"push, ack wanted, no cover, no runs":                  &Push{AckWanted: true},
		"ping":                                                 &Ping{Sent: 1_000_000, Echo: 2000, Delay: 100, Wall: 1_700_000_000_000, Root: hash, Yours: 9},
		"digest of what changed, empty":                        &Digest{},
		"digest, full, above `01…01`":                          &Digest{Full: true, After: fill(1)},
		"ack 2":                                                &Ack{Seq: 2, Hash: hash},
		"ack wanted 2":                                         &AckWanted{Seq: 2},
		"applied wanted: `01…01` at 5":                         &AppliedWanted{Held: []chain.ID{{Origin: fill(1), Seq: 5}}},
		"freeze of a chain by an encoded freeze, here 3 bytes": &Freeze{Encoded: []byte{1, 2, 3}},
		"frozen, answer: chain `01…01` after 0":                &Frozen{Answer: true, Ends: []chain.ID{{Origin: fill(1)}}},
		"hashes above `01…01`, to the end: chain `02…02` at 3": &Hashes{After: fill(1), Heads: []chain.Head{{Origin: fill(2), Seq: 3, Hash: hash}}},
		"applied, nothing":                                     &Applied{},
		"hello, of a durable node with an empty chain":         &Hello{Version: 1, Epoch: 42, Durable: true, Root: hash},
		"of a later version: counted, ignored":                 &Unknown{Type: 0x78, Size: 3},
	}
	rows := protocolTable(t, "### Examples")
	for name, text := range rows {
		f := frames[name]
		if f == nil {
			t.Errorf("no frame for the example %q", name)
			continue
		}
		delete(frames, name)
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "`", "").Replace(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := DecodeFrame(b)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%s: read %+v, %v, want %+v", name, got, err, f)
		}
		if _, unknown := f.(*Unknown); !unknown {
			if w := AppendFrame(nil, f); !bytes.Equal(w, b) {
				t.Errorf("%s: written as %x", name, w)
			}
		}
	}
	for name := range frames {
		t.Errorf("PROTOCOL.md lacks the example %q", name)
	}
	for k := KindHello; uint64(k) < uint64(len(frameNames)); k++ {
		if newFrame(k) == nil || protocolTable(t, "## Frames")[fmt.Sprint(uint64(k))] != strings.ReplaceAll(k.String(), "_", " ") {
			t.Errorf("PROTOCOL.md has another name for kind %d, %s", k, k)
		}
	}
}

// TestProtocolTimers holds the tables of timers and bounds to the code.
func TestProtocolTimers(t *testing.T) {
	span := func(a, b time.Duration) string { return a.String() + " to " + b.String() }
	want := map[string]string{
		"ping": pingEvery.String(), "beacon": beaconEvery.String(), "gather": fmt.Sprintf("%d times, %s at most", gatherTimes, gatherMost), "behind": gatherFrom.String(), "a peer's wait": gatherKeep.String(), "grace": span(graceLeast, graceMost), "grace of what gathers": gatherMost.String() + " more", "patience": gatherPatience.String(), "dependency grace": span(graceLeast, depGraceMost),
		"pull timeout": pullTimeout.String(), "slow": slowFor.String(), "refused": refusedFor.String(), "hunt again": huntAgain.String(), "look again": wantsEach.String(), "rest of strangers": fmt.Sprintf("%d times, %s at most", strangersRest, strangersRestMost), "place of a stranger": strangersLinger.String(), "quiet": quietFor.String(),
		"digest timeout": digestTimeout.String(), "digest backoff": span(quietFor, digestBackoff), "digest under load": digestLatest.String(),
		"live": liveFor.String(), "settled": settledAfter.String(), "pause": pausedFor.String(),
	}
	if got := protocolTable(t, "## Timers"); !reflect.DeepEqual(got, want) {
		t.Errorf("timers in PROTOCOL.md:\n%v\nin the code:\n%v", got, want)
	}
	l := Limits{}.withDefaults()
	size := func(n int) string {
		if n >= 1<<20 {
			return fmt.Sprintf("%d MiB", n>>20)
		}
		return fmt.Sprintf("%d KiB", n>>10)
	}
	bounds := map[string]string{
		"own runs that wait for a peer":      fmt.Sprintf("%s, %d", size(l.QueueBytes), l.QueueRuns),
		"bytes with a stream's writer":       size(queueRoom),
		"the same, with answers":             size(answerRoom),
		"of these before the log is read on": size(serveRoom),
		"a frame of runs":                    size(l.FrameBytes) + ", or one run",
		"early peers":                        fmt.Sprint(earlyPeers),
		"own runs that gather":               size(gatherBytes),
		"a frame of heads":                   size(l.VectorBytes),
		"a pull":                             fmt.Sprintf("%s; %s at first, %s at least", size(l.PullBytes), size(pullFirst), size(pullLeast)),
		"pulls outstanding with a peer":      fmt.Sprint(l.PullsPerPeer),
		"pulls served to a peer":             fmt.Sprint(servesMost),
	}
	if got := protocolTable(t, "## Bounds"); !reflect.DeepEqual(got, bounds) {
		t.Errorf("bounds in PROTOCOL.md:\n%v\nin the code:\n%v", got, bounds)
	}
}

// protocolTable returns the first two columns of the table below a heading.
func protocolTable(t *testing.T, heading string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, below, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no %q", heading)
	}
	rows := map[string]string{}
	row := regexp.MustCompile(`^\| (.*?) \| (.*?) \|`)
	for i, line := range strings.Split(below[strings.Index(below, "\n|")+1:], "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			break
		}
		if i >= 2 {
			rows[m[1]] = m[2]
		}
	}
	if len(rows) == 0 {
		t.Fatalf("no table below %q", heading)
	}
	return rows
}
