package main

import (
	"bytes"
	"testing"
)

func TestTableAlignsAndEscapes(t *testing.T) {
	var out bytes.Buffer
	tab := newTable(&out, false, "A", "LONGER")
	tab.row("é\u202e\x1b[31m", "x")
	tab.row("", "\u0085\n\t\U000e0001")
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	want := "A                  LONGER\n" +
		`é\u202e\u001b[31m  x` + "\n" +
		`-                  \u0085\u000a\u0009\U000e0001` + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestAge(t *testing.T) {
	for ms, want := range map[int64]string{0: "0s", 1500: "1.5s", 61_000: "1m1s", 7_200_000: "2h0m0s", 200_000_000: "2d"} {
		if got := age(ms); got != want {
			t.Errorf("age(%d) = %s, want %s", ms, got, want)
		}
	}
}
