package gossip_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// sampleFrames has one of each kind, and each kind's corners.
func sampleFrames() []gossip.Frame {
	origin := func(b byte) (o chain.Origin) {
		for i := range o {
			o[i] = byte(i)
		}
		o[15] = b
		return o
	}
	hash := chain.Hash(bytes.Repeat([]byte{0xab}, 32))
	run := func(n int) gossip.Run { return gossip.Run{Encoded: bytes.Repeat([]byte{0x51}, n)} }
	return []gossip.Frame{
		&gossip.Hello{Version: 1},
		&gossip.Hello{
			Version: 1, Epoch: 1<<64 - 1, Durable: true, CatchingUp: true, Sent: 1<<32 - 1, Wall: uint64(chain.MaxMillis), Root: hash,
			Own: gossip.HeadHash{Seq: 7, Hash: hash}, Yours: gossip.HeadHash{Seq: 1<<63 - 1, Hash: hash},
		},
		&gossip.Push{},
		&gossip.Push{AckWanted: true, Cover: gossip.Cover{From: origin(1), To: origin(9)}, Runs: []gossip.Run{run(112), run(70000)}},
		&gossip.Heads{},
		&gossip.Heads{End: true, Heads: []chain.ID{{Origin: chain.Origin{}, Seq: 1}, {Origin: origin(1), Seq: 300}, {Origin: origin(2), Seq: 1<<63 - 1}}},
		&gossip.Pull{ID: 1, Bytes: 1 << 20, Ranges: []gossip.Range{{Origin: origin(9), From: 1, To: 1}, {Origin: origin(3), From: 5, To: 70000}}},
		&gossip.Served{ID: 1, Done: true},
		&gossip.Served{ID: 1 << 40, Runs: []gossip.Run{run(200)}},
		&gossip.Ping{Sent: 1, Echo: 2, Delay: 65535, Wall: 3, Root: hash, Yours: 4},
		&gossip.Digest{Heads: []chain.ID{{Origin: origin(4), Seq: 4}}},
		&gossip.Digest{Full: true, After: origin(1), UpTo: origin(5), Heads: []chain.ID{{Origin: origin(2), Seq: 1}, {Origin: origin(5), Seq: 2}}},
		&gossip.Ack{Seq: 9, Hash: hash},
		&gossip.AckWanted{Seq: 1},
		&gossip.AppliedWanted{Held: []chain.ID{{Origin: chain.Origin{1}, Seq: 2}}}, &gossip.AppliedWanted{},
		&gossip.Applied{Heads: []chain.ID{{Origin: chain.Origin{1}, Seq: 1}, {Origin: chain.Origin{1, 1}, Seq: 9}}}, &gossip.Applied{},
		&gossip.Freeze{Encoded: bytes.Repeat([]byte{1}, 300)},
		&gossip.Freeze{Encoded: bytes.Repeat([]byte{1}, chain.MaxFreeze)},
		&gossip.Frozen{}, &gossip.Frozen{Answer: true, After: origin(1), UpTo: origin(5), Ends: []chain.ID{{Origin: origin(2), Seq: 0}, {Origin: origin(5), Seq: 7}}},
		&gossip.Hashes{}, &gossip.Hashes{After: origin(1), UpTo: origin(5), Heads: []chain.Head{{Origin: origin(2), Seq: 1, Hash: hash}, {Origin: origin(5), Seq: 2}}},
	}
}

func TestFramesRoundTrip(t *testing.T) {
	for _, f := range sampleFrames() {
		b := gossip.AppendFrame(nil, f)
		back, err := gossip.DecodeFrame(b)
		if err != nil {
			t.Errorf("%s: %v", f.Kind(), err)
			continue
		}
		if !reflect.DeepEqual(f, back) {
			t.Errorf("%s: wrote %+v, read %+v", f.Kind(), f, back)
		}
	}
}

func TestFrameSizes(t *testing.T) {
	root := chain.Hash(bytes.Repeat([]byte{1}, 32))
	ping := gossip.AppendFrame(nil, &gossip.Ping{Sent: 1<<32 - 1, Echo: 1<<32 - 1, Delay: 10000, Wall: 1_800_000_000_000, Root: root, Yours: 1 << 30})
	if len(ping) > 64 {
		t.Errorf("equal roots cost %d bytes, at most 64", len(ping))
	}
	var heads []chain.ID
	for i := range 20 {
		heads = append(heads, chain.ID{Origin: chain.Origin{byte(i)}, Seq: 1000})
	}
	if b := gossip.AppendFrame(nil, &gossip.Digest{Heads: heads}); len(b) > 600 {
		t.Errorf("20 changed chains cost %d bytes, at most 600", len(b))
	}
	run := gossip.Run{Encoded: make([]byte, 400)}
	if b := gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{run}}); len(b) > 408 {
		t.Errorf("a push adds %d bytes to a run", len(b)-400)
	}
}

// Random vectors survive, and are refused in any other order.
func TestVectors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[chain.Origin]bool{}
		var heads []chain.ID
		for _, b := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 16, 16), 0, 40).Draw(t, "origins") {
			o := chain.Origin(b)
			if rapid.Bool().Draw(t, "near") && len(heads) > 0 {
				o = heads[len(heads)-1].Origin
				o[rapid.IntRange(0, 15).Draw(t, "at")]++
			}
			if !seen[o] {
				seen[o] = true
				heads = append(heads, chain.ID{Origin: o, Seq: chain.Seq(rapid.Uint64Range(1, 1<<63-1).Draw(t, "seq"))})
			}
		}
		unsorted := gossip.AppendFrame(nil, &gossip.Heads{Heads: heads})
		sorted := true
		for i := 1; i < len(heads); i++ {
			sorted = sorted && heads[i-1].Compare(heads[i]) < 0
		}
		if _, err := gossip.DecodeFrame(unsorted); (err == nil) != sorted {
			t.Fatalf("sorted %v: %v", sorted, err)
		}
		sortIDs(heads)
		back, err := gossip.DecodeFrame(gossip.AppendFrame(nil, &gossip.Heads{Heads: heads}))
		if err != nil {
			t.Fatal(err)
		}
		if got := back.(*gossip.Heads).Heads; len(got) != len(heads) || (len(got) > 0 && !reflect.DeepEqual(got, heads)) {
			t.Fatalf("wrote %v, read %v", heads, got)
		}
	})
}

func TestFramesRefused(t *testing.T) {
	id := func(b byte, seq chain.Seq) chain.ID { return chain.ID{Origin: chain.Origin{b}, Seq: seq} }
	for name, b := range map[string][]byte{
		"empty":            {},
		"not an array":     {0x05},
		"no kind":          {0x90},
		"kind is bytes":    {0x91, 0xc4, 0},
		"too few items":    {0x92, 0x08, 0x01},
		"too many items":   {0x93, 0x09, 0x01, 0x01},
		"trailing":         append(gossip.AppendFrame(nil, &gossip.AckWanted{Seq: 1}), 0),
		"four billion":     {0xdd, 0xff, 0xff, 0xff, 0xff},
		"runs, 4 billion":  {0x94, 0x05, 1, 0, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"heads, 4 billion": {0x93, 0x03, 0, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"long number":      {0x92, 0x09, 0xcc, 0x01},
		"seq 0":            {0x92, 0x09, 0x00},
		"seq 2^63":         {0x92, 0x09, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0},
		"flags":            {0x93, 0x03, 0x02, 0x90},
		"head seq 0":       gossip.AppendFrame(nil, &gossip.Heads{Heads: []chain.ID{id(1, 0)}}),
		"heads twice":      gossip.AppendFrame(nil, &gossip.Heads{Heads: []chain.ID{id(1, 1), id(1, 1)}}),
		"no ranges":        gossip.AppendFrame(nil, &gossip.Pull{}),
		"range from 0":     gossip.AppendFrame(nil, &gossip.Pull{Ranges: []gossip.Range{{To: 1}}}),
		"range backwards":  gossip.AppendFrame(nil, &gossip.Pull{Ranges: []gossip.Range{{From: 2, To: 1}}}),
		"short run":        gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: make([]byte, 111)}}}),
		"huge run":         gossip.AppendFrame(nil, &gossip.Push{Runs: []gossip.Run{{Encoded: make([]byte, chain.MaxRun+1)}}}),
		"huge frame":       append([]byte{0x92, 0x70, 0xc6, 0, 0x10, 0, 0}, make([]byte, gossip.MaxFrame)...),
		"cover backwards":  gossip.AppendFrame(nil, &gossip.Push{Cover: gossip.Cover{From: chain.Origin{2}, To: chain.Origin{1}}}),
		"bounds":           gossip.AppendFrame(nil, &gossip.Digest{After: chain.Origin{1}}),
		"bounds crossed":   gossip.AppendFrame(nil, &gossip.Digest{Full: true, After: chain.Origin{2}, UpTo: chain.Origin{1}}),
		"head below":       gossip.AppendFrame(nil, &gossip.Digest{Full: true, After: chain.Origin{2}, Heads: []chain.ID{id(2, 1)}}),
		"head above":       gossip.AppendFrame(nil, &gossip.Digest{Full: true, UpTo: chain.Origin{2}, Heads: []chain.ID{id(3, 1)}}),
		"wall clock":       gossip.AppendFrame(nil, &gossip.Ping{Wall: 1 << 48}),
		"hash without seq": {0x93, 0x08, 0x00, 0xc4, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := gossip.DecodeFrame(b); !errors.Is(err, gossip.ErrFrame) {
				t.Errorf("%x: read %+v, %v", b[:min(len(b), 40)], f, err)
			}
		})
	}
	if f, err := gossip.DecodeFrame([]byte{0x92, 0x70, 0xc1}); err != nil || f.Kind() != 0x70 {
		t.Errorf("a frame of a later version: %v, %v", f, err)
	}
}

// FuzzDecodeFrame: what is read is written again with the same bytes.
func FuzzDecodeFrame(f *testing.F) {
	for _, frame := range sampleFrames() {
		// Small seeds: a large one is all that the fuzzer then works on.
		if b := gossip.AppendFrame(nil, frame); len(b) < 1000 {
			f.Add(b)
		}
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := gossip.DecodeFrame(b)
		if err != nil {
			if !errors.Is(err, gossip.ErrFrame) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if _, unknown := frame.(*gossip.Unknown); unknown {
			return
		}
		if again := gossip.AppendFrame(nil, frame); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}

// FuzzPeekRun agrees with the decoder of runs.
func FuzzPeekRun(f *testing.F) {
	f.Add(newMemLedger(0).sign(3).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := chain.DecodeRun(b)
		if err != nil {
			return
		}
		peeked, err := gossip.PeekRun(b)
		if err != nil || peeked.Origin != r.Origin || peeked.First != r.First || peeked.Last != r.Last() {
			t.Fatalf("run %s.%d-%d, peeked %+v, %v", r.Origin, r.First, r.Last(), peeked, err)
		}
	})
}

// FuzzEngine: no sequence of well-formed frames makes an engine panic, or send
// more than it has.
func FuzzEngine(f *testing.F) {
	var seed []byte
	for _, frame := range sampleFrames() {
		b := gossip.AppendFrame(nil, frame)
		if len(b) < 1000 {
			seed = append(append(seed, byte(len(b)>>8), byte(len(b))), b...)
		}
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var at gossip.At
		peer := chain.Origin{7}
		e := gossip.NewEngine(at, gossip.EngineConfig{Self: chain.Origin{9}, Durable: true})
		e.PeerUp(at, peer)
		for len(b) >= 2 {
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			frame, err := gossip.DecodeFrame(b[2 : 2+n])
			b = b[2+n:]
			at.Mono += 1e8
			if err == nil {
				runs := framesRuns(frame)
				for i := range runs {
					runs[i].Origin, runs[i].First, runs[i].Last = chain.Origin{byte(i)}, chain.Seq(n%5+1), chain.Seq(n%5+1+i)
				}
				if f, ok := frame.(*gossip.Freeze); ok {
					f.Verified = &chain.Freeze{Origin: chain.Origin{byte(n % 3)}, After: chain.Seq(n % 5)}
				}
				e.Message(at, peer, frame)
			}
			out := e.Take()
			for _, r := range out.Read {
				e.ReadDone(at, r, nil, nil, nil)
			}
			for _, a := range out.Accept {
				e.Outcome(at, a.ID, make([]chain.Outcome, max(len(a.Runs), 1)))
			}
			for _, r := range out.Evidence {
				e.EvidenceRead(at, r, nil)
			}
			for _, s := range out.Send {
				if back, err := gossip.DecodeFrame(gossip.AppendFrame(nil, s.Frame)); err != nil {
					t.Fatalf("sent %+v, which nobody can read: %v", back, err)
				}
			}
			if e.NextTick() <= at.Mono {
				e.Tick(at)
			}
		}
	})
}

func sortIDs(ids []chain.ID) {
	for i := range ids {
		for j := i; j > 0 && ids[j].Compare(ids[j-1]) < 0; j-- {
			ids[j], ids[j-1] = ids[j-1], ids[j]
		}
	}
}
