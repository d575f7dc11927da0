package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain/wire"
)

var edges = []uint64{0, 1, 1<<7 - 1, 1 << 7, 1<<8 - 1, 1 << 8, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// The bytes are those that vmihailenco's encoder writes, and its decoder reads
// them as the same values.
func checkUint(t interface{ Fatalf(string, ...any) }, v uint64) {
	got := wire.AppendUint(nil, v)
	var buf bytes.Buffer
	if err := msgpack.NewEncoder(&buf).EncodeUint(v); err != nil {
		t.Fatalf("encode %d: %v", v, err)
	}
	if !bytes.Equal(got, buf.Bytes()) {
		t.Fatalf("%d: %x, msgpack writes %x", v, got, buf.Bytes())
	}
	if len(got) != wire.SizeUint(v) {
		t.Fatalf("%d: SizeUint %d, wrote %d", v, wire.SizeUint(v), len(got))
	}
	if back, err := msgpack.NewDecoder(&buf).DecodeUint64(); err != nil || back != v {
		t.Fatalf("%d: msgpack reads %d, %v", v, back, err)
	}
	d := wire.NewDecoder(got)
	if back := d.Uint(); d.End() != nil || back != v {
		t.Fatalf("%d: read %d, %v", v, back, d.End())
	}
}

func TestUintIsMsgpack(t *testing.T) {
	for _, v := range edges {
		checkUint(t, v)
	}
	rapid.Check(t, func(t *rapid.T) { checkUint(t, rapid.Uint64().Draw(t, "v")>>rapid.IntRange(0, 63).Draw(t, "shift")) })
}

func TestBinAndArrayAreMsgpack(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 255, 256, 65535, 65536, 70000} {
		v := bytes.Repeat([]byte{7}, n)
		var bin, array bytes.Buffer
		if err := msgpack.NewEncoder(&bin).EncodeBytes(v); err != nil {
			t.Fatal(err)
		}
		if err := msgpack.NewEncoder(&array).EncodeArrayLen(n); err != nil {
			t.Fatal(err)
		}
		got := wire.AppendBin(nil, v)
		if !bytes.Equal(got, bin.Bytes()) || len(got) != wire.SizeBin(n) {
			t.Fatalf("bin of %d differs", n)
		}
		if got := wire.AppendArray(nil, n); !bytes.Equal(got, array.Bytes()) {
			t.Fatalf("array of %d: %x, msgpack %x", n, got, array.Bytes())
		}
		d := wire.NewDecoder(got)
		if back := d.BinLen(n); d.End() != nil || !bytes.Equal(back, v) {
			t.Fatalf("bin of %d: %v", n, d.End())
		}
		d = wire.NewDecoder(append(wire.AppendArray(nil, n), v...))
		if back := d.Array(); d.Err() != nil || back != n {
			t.Fatalf("array of %d: read %d, %v", n, back, d.Err())
		}
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		b    []byte
		read func(*wire.Decoder)
	}{
		"empty":              {nil, func(d *wire.Decoder) { d.Uint() }},
		"cut":                {[]byte{0xcd, 1}, func(d *wire.Decoder) { d.Uint() }},
		"one byte too long":  {[]byte{0xcc, 0x7f}, func(d *wire.Decoder) { d.Uint() }},
		"two for one":        {[]byte{0xcd, 0, 0xff}, func(d *wire.Decoder) { d.Uint() }},
		"four for two":       {[]byte{0xce, 0, 0, 0xff, 0xff}, func(d *wire.Decoder) { d.Uint() }},
		"eight for four":     {[]byte{0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, func(d *wire.Decoder) { d.Uint() }},
		"negative":           {[]byte{0xff}, func(d *wire.Decoder) { d.Uint() }},
		"text":               {[]byte{0xa1, 'a'}, func(d *wire.Decoder) { d.Bin(9) }},
		"bin16 for bin8":     {[]byte{0xc5, 0, 1, 1}, func(d *wire.Decoder) { d.Bin(9) }},
		"bin over its bound": {[]byte{0xc4, 3, 1, 2, 3}, func(d *wire.Decoder) { d.Bin(2) }},
		"bin of 4 GiB":       {[]byte{0xc6, 0xff, 0xff, 0xff, 0xff}, func(d *wire.Decoder) { d.Bin(1 << 40) }},
		"array of 4 billion": {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, func(d *wire.Decoder) { d.Array() }},
		"array16 for fix":    {append([]byte{0xdc, 0, 15}, make([]byte, 15)...), func(d *wire.Decoder) { d.Array() }},
		"other length":       {[]byte{0x91, 0}, func(d *wire.Decoder) { d.ArrayLen(2) }},
		"trailing":           {[]byte{0, 0}, func(d *wire.Decoder) { d.Uint() }},
	} {
		t.Run(name, func(t *testing.T) {
			d := wire.NewDecoder(test.b)
			test.read(d)
			if err := d.End(); !errors.Is(err, wire.ErrEncoding) {
				t.Fatalf("%x: %v, want ErrEncoding", test.b, err)
			}
		})
	}
}

// FuzzAgainstMsgpack reads a sequence of values both ways: where this decoder
// accepts, msgpack's primitives read the same, and writing again gives the
// same bytes.
func FuzzAgainstMsgpack(f *testing.F) {
	f.Add([]byte{0x00, 0xcc, 0x80, 0xc4, 1, 9, 0x92, 1, 2})
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		theirs := msgpack.NewDecoder(bytes.NewReader(b))
		var again []byte
		for d.Remaining() > 0 {
			switch c := b[len(b)-d.Remaining()]; {
			case c < 0x80 || c >= 0xcc && c <= 0xcf:
				v := d.Uint()
				if d.Err() != nil {
					return
				}
				if w, err := theirs.DecodeUint64(); err != nil || v != w {
					t.Fatalf("uint %d, msgpack %d, %v", v, w, err)
				}
				again = wire.AppendUint(again, v)
			case c >= 0xc4 && c <= 0xc6:
				v := d.Bin(len(b))
				if d.Err() != nil {
					return
				}
				// Its length was checked above, so reading it is safe here.
				if w, err := theirs.DecodeBytes(); err != nil || !bytes.Equal(v, w) {
					t.Fatalf("bin %x, msgpack %x, %v", v, w, err)
				}
				again = wire.AppendBin(again, v)
			case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
				n := d.Array()
				if d.Err() != nil {
					return
				}
				if w, err := theirs.DecodeArrayLen(); err != nil || n != w {
					t.Fatalf("array %d, msgpack %d, %v", n, w, err)
				}
				again = wire.AppendArray(again, n)
			default:
				return
			}
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}
