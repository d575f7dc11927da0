package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The log lines that the runbook explains are those of the program.
func TestLogLinesAreThePrograms(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../../cmd", "../../node", "../../gossip", "../../chain"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			source.Write(b)
			return err
		}))
	}
	lines := regexp.MustCompile("(?m)^\\| (INFO|WARN|ERROR) \\| `([^`]+)` \\|").FindAllStringSubmatch(read(t, runbookFile), -1)
	require.Greater(t, len(lines), 10)
	for _, line := range lines {
		level := line[1][:1] + strings.ToLower(line[1][1:])
		require.True(t, strings.Contains(source.String(), level+`("`+line[2]), "%s %s", line[1], line[2])
	}
}

// Every link of the runbook within itself or to a file leads somewhere.
func TestRunbookLinks(t *testing.T) {
	text := read(t, runbookFile)
	anchors := map[string]bool{}
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		anchors[strings.ReplaceAll(name, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1)
	require.Greater(t, len(links), 20)
	for _, link := range links {
		if anchor, ok := strings.CutPrefix(link[1], "#"); ok {
			require.True(t, anchors[anchor], link[1])
			continue
		}
		require.FileExists(t, filepath.Join(filepath.Dir(runbookFile), link[1]))
	}
}
