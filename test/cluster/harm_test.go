package cluster

import (
	"context"
	"crypto/rand"
	bigendian "encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
)

// last is the highest seq that a frame can hold.
const last = chain.Seq(1<<63 - 1)

// harm is one way to use a stream against the node at its other end. It goes on
// until the stream breaks or the context ends.
type harm struct {
	name  string
	deaf  bool // it reads no answers
	fresh bool // it takes a new key for each stream
	flood bool // its updates are good, and stored
	do    func(ctx context.Context, h *intruder, w *wire) error
}

var harms = []harm{
	{name: "garbage", do: garbage},
	{name: "garbage from ever new nodes", fresh: true, do: garbage},
	{name: "frames of the largest size", do: largeFrames},
	{name: "claims of size", fresh: true, do: falseSizes},
	{name: "phantom chains", do: phantoms},
	{name: "phantom chains of ever new nodes", fresh: true, do: phantomsAndGone},
	{name: "endless comparing", deaf: true, do: comparing},
	{name: "pulls without end", deaf: true, do: pulls},
	{name: "pulls that are read", do: pulls},
	{name: "spam of large updates", fresh: true, flood: true, do: spam(7, func(i int) *chain.Update {
		return status(fmt.Sprintf("spam/large/%d", i%100), `{"a":"`+strings.Repeat("x", chain.MaxDelta-8)+`"}`)
	})},
	{name: "spam of long subjects", fresh: true, flood: true, do: spam(500, func(i int) *chain.Update {
		s := fmt.Sprintf("spam/long/%d/", i)
		return status(s+strings.Repeat("s", chain.MaxSubject-len(s)), `{"a":1}`)
	})},
	{name: "spam of tiny updates", fresh: true, flood: true, do: spam(2000, func(i int) *chain.Update {
		return status(fmt.Sprintf("spam/tiny/%d", i%1000), `{"a":1}`)
	})},
	{name: "updates that wait for ever", fresh: true, flood: true, do: spam(100, func(int) *chain.Update {
		return status("spam/held", `{"a":1}`, manyDeps()...)
	})},
	{name: "invalid updates", fresh: true, do: invalid},
	{name: "forks", fresh: true, do: forks},
	{name: "forged freezes", do: forgedFreezes},
	{name: "wrong signatures", do: wrongSignatures},
	{name: "replay", do: replay},
	{name: "false acknowledgements", do: falseAcks},
	{name: "a lie about the receiver's own chain", do: falseHello},
	{name: "a clock far ahead", do: falseClock},
	{name: "one byte at a time", do: fragments},
	{name: "opened and dropped", fresh: true, do: func(context.Context, *intruder, *wire) error { return nil }},
}

func randomOrigin() (o chain.Origin) { rand.Read(o[:]); return o }

func randomHash() (h chain.Hash) { rand.Read(h[:]); return h }

func randomIDs(n int, seq chain.Seq) []chain.ID {
	ids := make([]chain.ID, n)
	for i := range ids {
		ids[i] = chain.ID{Origin: randomOrigin(), Seq: seq}
	}
	slices.SortFunc(ids, chain.ID.Compare)
	return ids
}

func manyDeps() []chain.ID { return randomIDs(chain.MaxDeps, 7) }

func (h *intruder) hello() *gossip.Hello {
	return &gossip.Hello{Version: gossip.Version, Epoch: 1, Durable: true, Wall: uint64(time.Now().UnixMilli()), Root: randomHash()}
}

// over repeats until something fails or the time is up.
func over(ctx context.Context, again func() error) error {
	for ctx.Err() == nil {
		if err := again(); err != nil {
			return err
		}
	}
	return nil
}

func garbage(ctx context.Context, h *intruder, w *wire) error {
	if mathrand.IntN(2) == 0 {
		if err := w.send(h.hello()); err != nil {
			return err
		}
	}
	return over(ctx, func() error {
		b := make([]byte, 1+mathrand.IntN(5000))
		rand.Read(b)
		if mathrand.IntN(2) == 0 {
			// The beginning is good: an array of a known kind, then five bytes
			// that claim four billion elements.
			b = append([]byte{0x93, byte(1 + mathrand.IntN(14)), 0xdd, 0xff, 0xff, 0xff, 0xff}, b...)
		}
		return w.frames(b)
	})
}

func largeFrames(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	b := make([]byte, gossip.MaxFrame)
	copy(b, []byte{0x92, 99}) // a kind of a later version
	return over(ctx, func() error { return w.frames(b) })
}

func falseSizes(ctx context.Context, h *intruder, w *wire) error {
	claims := [][]byte{
		{0xff, 0xff, 0xff, 0xff, 0},
		{0, 0, 0, 0, 0},
		{0, 0, 0, 5, 7, 1, 2, 3, 4, 5},
		// A block that claims to be four gigabytes, and one that is a bomb.
		{0, 0, 0, 6, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		append([]byte{0, 0, 0, 9, 1}, 0x80, 0x80, 0x40, 0, 'a', 0xfe, 1, 0, 0xfe),
	}
	if err := w.send(h.hello()); err != nil {
		return err
	}
	if err := w.raw(claims[mathrand.IntN(len(claims))]); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func phantoms(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	return over(ctx, func() error {
		ids := randomIDs(16_000, last)
		hashes := make([]chain.Head, 8000)
		for i := range hashes {
			hashes[i] = chain.Head{Origin: ids[i].Origin, Seq: last, Hash: randomHash()}
		}
		return w.send(&gossip.Heads{Heads: ids}, &gossip.Hashes{Heads: hashes}, &gossip.Digest{Full: true, Heads: ids})
	})
}

// phantomsAndGone leaves as soon as it was heard.
func phantomsAndGone(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello(), &gossip.Digest{Full: true, Heads: randomIDs(16_000, last)}); err != nil {
		return err
	}
	sleep(ctx, 50*time.Millisecond)
	return nil
}

func comparing(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	ends := randomIDs(1, 5)
	return over(ctx, func() error {
		var fs []gossip.Frame
		for range 200 {
			fs = append(fs, &gossip.Digest{Full: true}, &gossip.Frozen{Ends: ends}, &gossip.AppliedWanted{Held: randomIDs(3, 5)})
		}
		return w.send(fs...)
	})
}

func pulls(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	// Again and again all that the node has written itself.
	own := chain.OriginOf(w.peer)
	all := &gossip.Pull{Bytes: 1 << 62}
	for range 1024 {
		all.Ranges = append(all.Ranges, gossip.Range{Origin: own, From: 1, To: last})
	}
	one := &gossip.Pull{Bytes: 1 << 62, Ranges: all.Ranges[:1]}
	if err := w.send(all); err != nil {
		return err
	}
	return over(ctx, func() error {
		fs := make([]gossip.Frame, 500)
		for i := range fs {
			fs[i] = one
		}
		return w.send(fs...)
	})
}

// spam pushes runs of the intruder's own chain, each of n updates, as fast as
// they are taken.
func spam(n int, made func(i int) *chain.Update) func(context.Context, *intruder, *wire) error {
	return func(ctx context.Context, h *intruder, w *wire) error {
		f := newForgery(h.key)
		if err := w.send(h.hello(), push(f.run(f.genesis()))); err != nil {
			return err
		}
		i := 0
		return over(ctx, func() error {
			updates := []*chain.Update{}
			for range n {
				updates = append(updates, made(i))
				i++
			}
			return w.send(push(f.run(updates...)))
		})
	}
}

func invalid(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	bad := []*chain.Update{
		status("spam//", `{"a":1}`),
		status("spam/invalid", `{"a": 1}`),
		status("spam/invalid", "{\"a\":\"\xff\"}"),
		status("spam/invalid", `{"a":1,"a":2}`),
		status("spam/invalid", strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000)),
		status("spam/invalid\x00", `{}`),
		status("spam/invalid", `{"a":1}`, chain.ID{Origin: h.origin, Seq: 1 << 40}),
		{Kind: chain.KindGenesis, Delta: []byte{1}},
	}
	f := newForgery(h.key)
	if err := w.send(push(f.run(f.genesis(), status("spam/invalid", `{"a":1}`)), f.run(bad[mathrand.IntN(len(bad))]))); err != nil {
		return err
	}
	sleep(ctx, 20*time.Millisecond)
	return nil
}

func forks(ctx context.Context, h *intruder, w *wire) error {
	f := newForgery(h.key)
	begun := f.run(f.genesis(), status("spam/fork", `{"a":0}`))
	g := f.copy()
	one, other := f.run(status("spam/fork", `{"a":1}`)), g.run(status("spam/fork", `{"a":2}`))
	if err := w.send(h.hello(), push(begun, one), push(other)); err != nil {
		return err
	}
	sleep(ctx, 20*time.Millisecond)
	return nil
}

func forgedFreezes(ctx context.Context, h *intruder, w *wire) error {
	own := chain.OriginOf(w.peer)
	seal := chain.SignSeal(h.key, chain.Head{Origin: own, Seq: 2, Hash: randomHash()})
	seal.Key = w.peer
	f := newForgery(h.key)
	fork := &chain.Freeze{Key: w.peer, Origin: own, After: 1, Reason: chain.FreezeFork, Proof: [][]byte{
		f.run(f.genesis(), status("spam/a", `{"a":1}`)).Append(nil), f.run(status("spam/a", `{"a":2}`)).Append(nil),
	}}
	forged := []*chain.Freeze{seal, fork, {Key: w.peer, Origin: own, After: 1, Reason: chain.FreezeInvalid, Proof: fork.Proof[:1]}}
	if err := w.send(h.hello(), &gossip.Freeze{Encoded: forged[mathrand.IntN(len(forged))].Append(nil)}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// wrongSignatures goes on from the receiver's chain without its key.
func wrongSignatures(ctx context.Context, h *intruder, w *wire) error {
	f := &forgery{h.key, &chain.Tail{Head: chain.Head{Origin: chain.OriginOf(w.peer), Seq: 1, Hash: randomHash()}}}
	if err := w.send(h.hello(), push(f.run(status("order/a/1", `{"forged":1}`)))); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func replay(ctx context.Context, h *intruder, w *wire) error {
	own := chain.OriginOf(w.peer)
	if err := w.send(h.hello(), &gossip.Pull{ID: 1, Bytes: 1 << 18, Ranges: []gossip.Range{{Origin: own, From: 1, To: last}}}); err != nil {
		return err
	}
	return over(ctx, func() error {
		sleep(ctx, 5*time.Millisecond)
		frames := w.heard()
		mathrand.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		return w.frames(frames...)
	})
}

func falseAcks(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	seq := chain.Seq(1)
	return over(ctx, func() error {
		seq++
		return w.send(&gossip.Ack{Seq: seq, Hash: randomHash()}, &gossip.AckWanted{Seq: last}, &gossip.Ack{Seq: last, Hash: randomHash()},
			&gossip.Applied{Heads: randomIDs(100, last)})
	})
}

func falseHello(ctx context.Context, h *intruder, w *wire) error {
	lie := h.hello()
	lie.Yours = gossip.HeadHash{Seq: last, Hash: randomHash()}
	lie.Own = gossip.HeadHash{Seq: last, Hash: randomHash()}
	return over(ctx, func() error { sleep(ctx, time.Millisecond); return w.send(lie) })
}

func falseClock(ctx context.Context, h *intruder, w *wire) error {
	if err := w.send(h.hello()); err != nil {
		return err
	}
	return over(ctx, func() error {
		sleep(ctx, 10*time.Millisecond)
		return w.send(&gossip.Ping{Echo: mathrand.Uint32(), Wall: 1<<48 - 1, Root: randomHash(), Yours: last})
	})
}

func fragments(ctx context.Context, h *intruder, w *wire) error {
	var b []byte
	for _, f := range []gossip.Frame{h.hello(), &gossip.Heads{Heads: randomIDs(50, 3)}, &gossip.Digest{}} {
		p := gossip.AppendFrame(nil, f)
		b = append(append(bigendian.BigEndian.AppendUint32(b, uint32(len(p))), 0), p...)
	}
	i := 0
	return over(ctx, func() error {
		i++
		return w.raw(b[(i-1)%len(b) : (i-1)%len(b)+1])
	})
}
