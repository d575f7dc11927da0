package chain

import (
	"fmt"
	"strings"
	"testing"
)

func benchDelta() []byte {
	d := `{"status": "in_transit", "location": {"lat": 52.52001, "lon": 13.40495, "name": "Berlin \u2013 Hub 7"}, "eta": "2024-05-01T12:00:00Z", "parcels": [1, 2, 3], "carrier": null, "note": "`
	return []byte(d + strings.Repeat("n", 256-len(d)-2) + `"}`)
}

func BenchmarkCompactDelta(b *testing.B) {
	in := benchDelta()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompactDelta(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckDelta(b *testing.B) {
	in, err := CompactDelta(benchDelta())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckDelta(in); err != nil {
			b.Fatal(err)
		}
	}
}

func benchState(b *testing.B) (*State, *Update) {
	s := NewState(modelSubject)
	u := modelUpdate(ID{modelOrigin(0), 2}, 1, "")
	for i := range 3 {
		delta, err := CompactDelta(benchDelta())
		if err != nil {
			b.Fatal(err)
		}
		v := modelUpdate(ID{modelOrigin(i), 2}, int64(i+1), string(delta), s.Heads()...)
		ctx, _, err := s.Context(v, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Add(v, modelAuthority(v.ID.Origin), ctx); err != nil {
			b.Fatal(err)
		}
	}
	u.HLC = HLCOf(100)
	u.Delta = []byte(`{"status":"delivered","location":{"lat":52.52,"lon":13.4},"carrier":"dhl"}`)
	return s, u
}

// An update that comes last, as most do.
func BenchmarkAddInPlace(b *testing.B) {
	s, u := benchState(b)
	b.ReportAllocs()
	for b.Loop() {
		u.ID.Seq++
		u.HLC++
		ctx, _, err := s.Context(u, nil)
		if err != nil {
			b.Fatal(err)
		}
		if late, err := s.Add(u, "fleet", ctx); late || err != nil {
			b.Fatal(late, err)
		}
	}
}

func BenchmarkStateAppend(b *testing.B) {
	s, _ := benchState(b)
	dst := s.Append(nil)
	b.ReportMetric(float64(len(dst)), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		dst = s.Append(dst[:0])
	}
}

func BenchmarkDecodeState(b *testing.B) {
	s, _ := benchState(b)
	enc := s.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeState(modelSubject, enc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendView(b *testing.B) {
	s, _ := benchState(b)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.AppendView(dst[:0])
	}
}

func BenchmarkRefold(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, u := benchState(b)
			us := make(modelUpdates, size)
			for i := range us {
				v := *u
				v.ID.Seq, v.HLC = Seq(i+2), HLC(i+1)
				us[i] = &v
			}
			s.updates = uint64(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Refold(nil, us.each()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
