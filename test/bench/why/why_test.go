package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// What was true when it was read is old from when the next change came.
func TestAge(t *testing.T) {
	began := time.Now()
	a := &authority{changed: [][]time.Time{{began, began.Add(time.Second), began.Add(3 * time.Second)}}}
	at := began.Add(4 * time.Second)
	for version, want := range map[int]time.Duration{1: 3 * time.Second, 2: time.Second, 3: 0} {
		if got := a.age(0, version, at); got != want {
			t.Errorf("version %d: age %s, want %s", version, got, want)
		}
	}
	if got := a.age(0, 1, began); got != 0 {
		t.Errorf("before the change: age %s", got)
	}
}

func TestQuantile(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(100-i)*time.Millisecond)
	}
	if p50, p99 := quantile(d, 0.5), quantile(d, 0.99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if q := quantile(nil, 0.5); q != 0 {
		t.Errorf("of nothing: %v", q)
	}
}

// The picture is XML, and has each figure of the table.
func TestDraw(t *testing.T) {
	picture := string(draw([]Result{
		{Scenario: "one hangs", Consumer: "asks", P50ms: 5001, P99ms: 5003, Served: 148},
		{Scenario: "one hangs", Consumer: "polls", Whole: 1, P50ms: 0.31, P99ms: 2.34, Age99ms: 1700, Served: 0.33},
	}))
	for d := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"one hangs", ">5 s<", "0.31 ms – 2.3 ms", "0 – 1.7 s", "no answer", ">100 %<", ">0 %<", ">148<", ">0.33<"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture has no %q", want)
		}
	}
}
