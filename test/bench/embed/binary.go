package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binaries builds the service with and without a node.
func binaries(r *report, dir string) error {
	for _, kind := range []struct{ what, ldflags string }{{"", ""}, {", stripped (`-ldflags '-s -w'`)", "-s -w"}} {
		var sizes [2]float64
		for i, name := range []string{"plain", "with"} {
			out := filepath.Join(dir, name)
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags", kind.ldflags, "-o", out, "./embed/"+name)
			if said, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s, from the folder test/bench: %w\n%s", name, err, said)
			}
			info, err := os.Stat(out)
			if err != nil {
				return err
			}
			sizes[i] = float64(info.Size()) / 1e6
		}
		r.add("binary of a minimal HTTP service"+kind.what, "%.1f MB, with a node %.1f MB", sizes[0], sizes[1])
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{.Module.Path}}{{end}}", "github.com/tidings-mesh/tidings/node").Output()
	if err != nil {
		return err
	}
	modules := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		modules[strings.TrimSpace(line)] = true
	}
	delete(modules, "")
	r.add("modules that package `node` is built from, its own included", "%d", len(modules))
	return nil
}
