package chain

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HLC is a hybrid logical clock reading: 48 bits of Unix milliseconds and 16
// bits of counter (Kulkarni et al., "Logical Physical Clocks", 2014). Its text
// is 16 lower-case hex digits, which sort as the readings do. The zero value
// is before every update.
type HLC uint64

const hlcCounterBits = 16

// MaxMillis is the last wall clock that an HLC can hold: the year 10889.
const MaxMillis = int64(1)<<48 - 1

// HLCOf returns the first reading of a wall clock in Unix milliseconds, which
// it bounds to what an HLC can hold.
func HLCOf(millis int64) HLC {
	return HLC(min(max(millis, 0), MaxMillis)) << hlcCounterBits
}

// ParseHLC reads 16 lower-case hex digits.
func ParseHLC(s string) (HLC, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || s != strings.ToLower(s) || s[0] == '+' {
		return 0, fmt.Errorf("hlc %q: want 16 lower-case hex digits: %w", clip(s), ErrMalformed)
	}
	return HLC(n), nil
}

func (h HLC) String() string { return string(h.appendText(nil)) }

func (h HLC) appendText(dst []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[h>>shift&15])
	}
	return dst
}

// IsZero reports whether h is before every update.
func (h HLC) IsZero() bool { return h == 0 }

// Millis is the wall-clock part, in Unix milliseconds.
func (h HLC) Millis() int64 { return int64(h >> hlcCounterBits) }

// Counter is the logical part.
func (h HLC) Counter() uint16 { return uint16(h) }

// Time is the wall-clock part, in UTC.
func (h HLC) Time() time.Time { return time.UnixMilli(h.Millis()).UTC() }

// AppendTime writes Time in TimeLayout.
func (h HLC) AppendTime(dst []byte) []byte {
	// The layout without milliseconds is one that package time is quick at.
	dst = h.Time().AppendFormat(dst, time.RFC3339)
	ms := h.Millis() % 1000
	return append(dst[:len(dst)-len("Z")], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
}

// MarshalText writes the form that String gives.
func (h HLC) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *HLC) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHLC(string(b))
	return err
}

// Next is the reading of an update that is made when the wall clock shows
// millis and h was the highest reading applied here. It is always above h;
// ok is false once the clock has run out.
func (h HLC) Next(millis int64) (next HLC, ok bool) {
	if wall := HLCOf(millis); wall > h {
		return wall, true
	}
	return h + 1, h+1 != 0
}

// Stamp is an update's place in stitched order: by HLC, then origin, then seq
// as a number. Stitched order extends causal order and is the same everywhere.
type Stamp struct {
	HLC HLC
	ID  ID
}

// Compare orders stamps.
func (s Stamp) Compare(other Stamp) int {
	if c := cmp.Compare(s.HLC, other.HLC); c != 0 {
		return c
	}
	return s.ID.Compare(other.ID)
}

func (s Stamp) later(other Stamp) Stamp {
	if s.Compare(other) < 0 {
		return other
	}
	return s
}

// IsZero reports whether s is the place before every update.
func (s Stamp) IsZero() bool { return s == Stamp{} }
