package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reactor is a process of test/cluster/reactor.
type reactor struct {
	t      *testing.T
	binary string
	dir    string
	join   string
	log    *os.File
	cmd    *exec.Cmd
}

func newReactor(t *testing.T, join string) *reactor {
	t.Helper()
	r := &reactor{t: t, dir: t.TempDir(), join: join}
	r.binary = filepath.Join(r.dir, "reactor")
	out, err := exec.Command("go", "build", "-o", r.binary, "github.com/tidings-mesh/tidings/test/cluster/reactor").CombinedOutput()
	require.NoError(t, err, "%s", out)
	r.log, err = os.Create(filepath.Join(r.dir, "log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		r.kill()
		if b, err := os.ReadFile(r.log.Name()); err == nil && t.Failed() {
			t.Logf("log of the reactor:\n%s", tail(b, 4000))
		}
		r.log.Close()
	})
	return r
}

func (r *reactor) run() {
	r.t.Helper()
	r.cmd = exec.Command(r.binary, "-data-dir", filepath.Join(r.dir, "data"), "-join", r.join)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(r.t, r.cmd.Start())
}

func (r *reactor) kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// answered is what a node has of the orders, but those that want no answer, and how
// often each hook answered each of them.
func answered(t *testing.T, a *agent) (orders []string, by map[string]map[string]int) {
	t.Helper()
	by = map[string]map[string]int{}
	for cursor := "start"; ; {
		var page struct {
			Updates []struct {
				ID, Subject, Cause, Hook string
				Deps                     []string
				Delta                    struct{ N int }
			}
			Cursor   string
			UpToDate bool `json:"up_to_date"`
		}
		require.True(t, a.get("/v1/changes?limit=10000&since="+cursor, &page))
		for _, u := range page.Updates {
			switch {
			case u.Hook != "":
				require.Contains(t, u.Deps, u.Cause)
				if by[u.Hook] == nil {
					by[u.Hook] = map[string]int{}
				}
				by[u.Hook][u.Cause]++
			case u.Delta.N > 0:
				orders = append(orders, u.ID)
			}
		}
		if cursor = page.Cursor; page.UpToDate {
			return orders, by
		}
	}
}

// A service that is killed while it reacts answers each order once, whatever its
// reactions were doing: none is answered twice, and none is left out.
func TestReactionsKilled(t *testing.T) {
	kills := count("TIDINGS_REACT_KILLS", 10)
	a := start(t, "wh-1", "warehouse", "--recover-wait", "100ms")
	r := newReactor(t, a.bind)
	published, lives := 0, 0
	var lines strings.Builder
	before := 0
	for kill := range kills {
		lines.Reset()
		for range 20 {
			fmt.Fprintf(&lines, `{"subject":"order/%d","delta":{"n":%d,"kill":%d}}`+"\n", published%17, published%5, published)
			published++
		}
		file := filepath.Join(r.dir, "orders")
		require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
		command(t, "publish", "--ndjson", file, "--endpoints", a.url(""))
		r.run()
		// It works, in most lives, and is killed in the middle of that.
		deadline := time.Now().Add(10 * time.Second)
		for time.Now().Before(deadline) {
			_, by := answered(t, a)
			if n := total(by); n > before {
				before = n
				lives++
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(rand.N(40 * time.Millisecond))
		r.kill()
		if kill%50 == 49 {
			t.Logf("%d kills, %d orders, %d answers", kill+1, published, before)
		}
	}
	require.Greater(t, lives, kills*2/3, "it was killed while it answered")
	r.run()
	orders, by := answered(t, a)
	until(t, 30*time.Second, "all answered", func() bool {
		orders, by = answered(t, a)
		return total(by) >= 3*len(orders)
	})
	time.Sleep(300 * time.Millisecond) // for what should not come
	orders, by = answered(t, a)
	require.Len(t, orders, published-published/5)
	for _, hook := range []string{"refund", "notify", "restock"} {
		require.Len(t, by[hook], len(orders), hook)
		for id, n := range by[hook] {
			require.Equal(t, 1, n, "%s answered %s", hook, id)
			require.True(t, slices.Contains(orders, id))
		}
	}
	t.Logf("%d kills, %d of them while it answered: %d orders, %d answers, none twice, none missing", kills, lives, len(orders), total(by))
}

func total(by map[string]map[string]int) (n int) {
	for _, causes := range by {
		for _, times := range causes {
			n += times
		}
	}
	return n
}
