package main

import (
	"runtime"
	"runtime/debug"
	"sync"
)

type versionCmd struct{}

// buildInfo is what the program was built from.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints what the program was built from.
func (*versionCmd) Run(s *session) error {
	b := build()
	if s.json() {
		return s.printJSON(b)
	}
	t := s.newTable()
	t.row("tidings", b.Version)
	revision := b.Revision
	if b.Modified {
		revision += " (modified)"
	}
	t.row("revision", revision)
	t.row("time", b.Time)
	t.row("go", b.Go)
	t.row("platform", b.Platform)
	return t.flush()
}

// build reads what the Go toolchain recorded.
var build = sync.OnceValue(func() buildInfo {
	b := buildInfo{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
})
