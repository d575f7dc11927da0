package main

import "testing"

func TestRoomFor(t *testing.T) {
	for _, c := range []struct {
		files uint64
		asked int
		want  room
		says  string
	}{
		{20_000, 0, room{17_952, 15_708}, ""},
		{20_000, 10, room{17_952, 10}, ""},
		{20_000, 15_708, room{17_952, 15_708}, ""},
		{20_000, 15_709, room{}, "leaves room for 15708"},
		{1 << 20, 0, room{64 << 10, 20_000}, ""},
		{1 << 20, 50_000, room{64 << 10, 50_000}, ""},
		{1024, 0, room{512, 448}, ""},
		{4, 0, room{2, 2}, ""},
		{0, 0, room{64 << 10, 20_000}, ""},
		{0, 60_000, room{}, "none"},
	} {
		got, err := roomFor(c.files, c.asked)
		if got != c.want {
			t.Errorf("%d files, %d asked: %+v, want %+v", c.files, c.asked, got, c.want)
		}
		if c.says == "" && err != nil {
			t.Errorf("%d files, %d asked: %v", c.files, c.asked, err)
		}
		if c.says != "" {
			(outcome{exitStatus(err), "", describe(err)}).want(t, exitUsage, "", c.says)
		}
	}
}
