package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

func TestExpectationsCheck(t *testing.T) {
	ok := Expectation{Prefix: "order/", Authorities: []string{"fleet"}, Within: time.Second}
	for _, c := range []struct {
		name string
		e    Expectations
		says string // empty: nothing is wrong
	}{
		{"none", nil, ""},
		{"one", Expectations{ok}, ""},
		{"all subjects, no deadline", Expectations{{Authorities: []string{"fleet"}}}, ""},
		{"one prefix, two authorities", Expectations{ok, {Prefix: "order/", Authorities: []string{"payments"}}}, ""},
		{"one authority, two prefixes", Expectations{ok, {Prefix: "order", Authorities: []string{"fleet"}}}, ""},
		{"bad prefix", Expectations{ok, {Prefix: "a//b", Authorities: []string{"fleet"}}}, `expectation 2: prefix "a//b": `},
		{"no authorities", Expectations{{Prefix: "order/"}}, "expectation 1: it names no authorities"},
		{"empty authority", Expectations{{Authorities: []string{"fleet", ""}}}, `expectation 1: authority "": `},
		{"authority twice", Expectations{{Authorities: []string{"fleet", "a", "fleet"}}}, `expectation 1: authority "fleet" is named twice`},
		{"authority twice for a prefix", Expectations{ok, ok}, `expectation 2: authority "fleet" is named for the prefix "order/" by expectation 1 already`},
		{"negative", Expectations{{Authorities: []string{"fleet"}, Within: -time.Second}}, "expectation 1: within -1s: negative"},
	} {
		err := c.e.Check()
		if c.says == "" {
			require.NoError(t, err, c.name)
			continue
		}
		require.ErrorContains(t, err, c.says, c.name)
	}
}

func TestExpectationsOf(t *testing.T) {
	e := Expectations{
		{Prefix: "order", Authorities: []string{"warehouse", "fleet"}, Within: time.Minute},
		{Prefix: "order/export/", Authorities: []string{"fleet"}, Within: time.Hour},
		{Prefix: "order/", Authorities: []string{"payments"}, Within: time.Second},
		{Authorities: []string{"audit"}},
		{Prefix: "order/export/", Authorities: []string{"customs"}, Within: time.Second},
	}
	for subject, want := range map[string]string{
		"order":          "[{audit 0s} {fleet 1m0s} {warehouse 1m0s}]",
		"order/1":        "[{audit 0s} {fleet 1m0s} {payments 1s} {warehouse 1m0s}]",
		"order/export":   "[{audit 0s} {fleet 1m0s} {payments 1s} {warehouse 1m0s}]",
		"order/export/1": "[{audit 0s} {customs 1s} {fleet 1h0m0s} {payments 1s} {warehouse 1m0s}]",
		"order-2":        "[{audit 0s}]",
	} {
		require.Equal(t, want, fmt.Sprint(e.Of(subject)), subject)
	}
	require.Empty(t, e[:3].Of("parcel/1"))
}

func TestAttend(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	expected := []Expected{{"audit", 0}, {"fleet", 30 * time.Second}, {"payments", 10 * time.Second}, {"warehouse", time.Hour}}
	for _, c := range []struct {
		spoke string
		after time.Duration
		want  string
	}{
		{"warehouse", 0, "missing [audit fleet payments] late [] next 10s"},
		{"warehouse", -time.Minute, "missing [audit fleet payments] late [] next 1m10s"}, // its author's clock is ahead
		{"warehouse", 10*time.Second - 1, "missing [audit fleet payments] late [] next 1ns"},
		{"warehouse", 10 * time.Second, "missing [audit fleet payments] late [payments] next 20s"},
		{"warehouse", time.Hour, "missing [audit fleet payments] late [fleet payments] next 0s"},
		{"payments warehouse", 10 * time.Second, "missing [audit fleet] late [] next 20s"},
		{"fleet payments", 2 * time.Hour, "missing [audit warehouse] late [warehouse] next 0s"},
		{"audit customs fleet payments warehouse", 2 * time.Hour, "missing [] late [] next 0s"},
		{"customs", 1 << 62, "missing [audit fleet payments warehouse] late [fleet payments warehouse] next 0s"},
	} {
		a := Attend(expected, strings.Fields(c.spoke), since, since.Add(c.after))
		require.Equal(t, []string{"audit", "fleet", "payments", "warehouse"}, a.Expected)
		require.Equal(t, c.want, fmt.Sprintf("missing %v late %v next %s", a.Missing, a.Late, a.Next), "%s after %s", c.spoke, c.after)
	}
	require.Zero(t, Attend(nil, []string{"fleet"}, since, since))
}

// Of random expectations and speakers: each authority is judged as a trivial
// model judges it alone, and nothing changes before Next, but something does at it.
func TestAttendProperties(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		var e Expectations
		for range rapid.IntRange(0, 5).Draw(t, "expectations") {
			e = append(e, Expectation{
				Prefix:      rapid.SampledFrom([]chain.Prefix{"", "x", "x/", "x/y", "z"}).Draw(t, "prefix"),
				Authorities: rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(t, "authorities"),
				Within:      time.Duration(rapid.IntRange(0, 5).Draw(t, "within")) * time.Second,
			})
		}
		if e.Check() != nil {
			t.Skip("it names one authority twice for a prefix")
		}
		subject := rapid.SampledFrom([]string{"x", "x/y", "x/y/1", "z/1", "w"}).Draw(t, "subject")
		spoke := slices.DeleteFunc(slices.Clone(names), func(string) bool { return rapid.Bool().Draw(t, "silent") })
		since := time.UnixMilli(1_000_000)
		at := func(now time.Time) Attendance { return Attend(e.Of(subject), spoke, since, now) }

		now := since.Add(time.Duration(rapid.IntRange(-2000, 7000).Draw(t, "now")) * time.Millisecond)
		a := at(now)
		for _, name := range names {
			longest, within := -1, time.Duration(0)
			for _, x := range e {
				if x.Prefix.Contains(subject) && slices.Contains(x.Authorities, name) && len(x.Prefix) > longest {
					longest, within = len(x.Prefix), x.Within
				}
			}
			expected := longest >= 0
			missing := expected && !slices.Contains(spoke, name)
			late := missing && within > 0 && !now.Before(since.Add(within))
			got := [3]bool{slices.Contains(a.Expected, name), slices.Contains(a.Missing, name), slices.Contains(a.Late, name)}
			if got != [3]bool{expected, missing, late} {
				t.Fatalf("%s: expected, missing, late are %v in %+v", name, got, a)
			}
		}
		for _, list := range [][]string{a.Expected, a.Missing, a.Late} {
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Fatalf("%v is not ascending", list)
			}
		}
		if a.Next == 0 {
			if later := at(now.Add(time.Hour)); !slices.Equal(later.Late, a.Late) {
				t.Fatalf("nobody was to be late any more, and %v are", later.Late)
			}
			return
		}
		if before := at(now.Add(a.Next - 1)); !slices.Equal(before.Late, a.Late) {
			t.Fatalf("%v are late before %s have passed", before.Late, a.Next)
		}
		if then := at(now.Add(a.Next)); len(then.Late) <= len(a.Late) {
			t.Fatalf("%v are late after %s", then.Late, a.Next)
		}
	})
}
