package recipe

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process starts a program that ends with the test, by SIGKILL.
func process(t *testing.T, log *os.File, name string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, c.Start())
	t.Cleanup(func() { end(c) })
	return c
}

func end(c *exec.Cmd) {
	if c.ProcessState == nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// agent starts an agent, and returns its addresses once it listens.
func agent(t *testing.T, log *os.File, binary, dir, authority, join string) (bind, endpoint string) {
	t.Helper()
	addrs := filepath.Join(dir, authority+".json")
	args := []string{
		"agent", "--name", authority + "-1", "--authority", authority, "--data-dir", filepath.Join(dir, authority),
		"--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--addr-file", addrs,
	}
	if join != "" {
		args = append(args, "--join", join)
	}
	process(t, log, binary, args...)
	var got struct{ Bind, HTTP string }
	until(t, "the agent listens", func() bool {
		b, err := os.ReadFile(addrs)
		return err == nil && json.Unmarshal(b, &got) == nil
	})
	return got.Bind, "http://" + got.HTTP
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// answers are how often each order was answered, by its cause.
func answers(t *testing.T, endpoint string) map[string]int {
	t.Helper()
	by := map[string]int{}
	for cursor, end := "start", false; !end; {
		resp, err := http.Get(endpoint + "/v1/changes?prefix=refund&limit=10000&since=" + cursor)
		require.NoError(t, err)
		var page struct {
			Updates []struct {
				Cause, Hook, Authority string
				Deps                   []string
			}
			Cursor   string
			UpToDate bool `json:"up_to_date"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&page))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		for _, u := range page.Updates {
			require.Equal(t, "payments", u.Authority)
			require.Equal(t, "refund", u.Hook)
			require.Contains(t, u.Deps, u.Cause)
			by[u.Cause]++
		}
		cursor, end = page.Cursor, page.UpToDate
	}
	return by
}

// The reaction in Python is killed in the middle, several times, and started again:
// each order is answered once.
func TestReactKilled(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3; CI has it by make tools")
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", b[max(0, len(b)-4000):])
		}
		log.Close()
	})
	binary := filepath.Join(dir, "tidings")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/tidings-mesh/tidings/cmd/tidings").CombinedOutput()
	require.NoError(t, err, "%s", out)
	bind, warehouse := agent(t, log, binary, dir, "warehouse", "")
	_, payments := agent(t, log, binary, dir, "payments", bind)

	const orders, kills = 300, 4
	var lines strings.Builder
	for i := range orders {
		fmt.Fprintf(&lines, `{"subject":"order/%d","delta":{"lost":%d}}`+"\n", i%50, i%3*(i+1))
	}
	wanted := orders - orders/3 // the others lost nothing
	resp, err := http.Post(warehouse+"/v1/updates", "application/x-ndjson", strings.NewReader(lines.String()))
	require.NoError(t, err)
	results, err := io.ReadAll(resp.Body) // they come while it reads: who hangs up ends the publishing
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, orders, strings.Count(string(results), `"status":201`), "%.500s", results)

	run := func() *exec.Cmd {
		return process(t, log, python, "react.py", "--endpoint", payments, "--cursor-file", filepath.Join(dir, "cursor"))
	}
	middle := 0
	for range kills {
		was := len(answers(t, payments))
		c := run()
		until(t, "it answers", func() bool { return len(answers(t, payments)) > was || was == wanted })
		time.Sleep(rand.N(30 * time.Millisecond))
		end(c)
		if n := len(answers(t, payments)); n > was && n < wanted {
			middle++
		}
	}
	require.Positive(t, middle, "it was killed in the middle")
	run()
	until(t, "all are answered", func() bool { return len(answers(t, payments)) == wanted })
	until(t, "the cursor is kept", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "cursor"))
		return err == nil && strings.HasPrefix(string(b), "c1.")
	})
	by := answers(t, payments)
	require.Len(t, by, wanted)
	for cause, times := range by {
		require.Equal(t, 1, times, cause)
	}
	t.Logf("%d kills, %d in the middle: %d answers, none twice, none missing", kills, middle, wanted)
}
