package virtual

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// On one processor: a timer of a bubble that is due when it is set runs in the goroutine
// that sets it, all of them in one context of the race detector (runtime/time.go,
// modify and unlockAndRun), which two at once corrupt until it dies of SIGSEGV. As of
// Go 1.26.8 time.AfterFunc(0, f) in eight goroutines does it within a second. See
// golang/go#78156, which may be the same.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// world is a mesh on a network in memory.
type world struct {
	t     *testing.T
	net   *gossip.MemNetwork
	key   gossip.MeshKeys
	began time.Time
	nodes []*member // open
	stops []func()  // of what runs meanwhile
	path  path
	off   map[netip.AddrPort]bool // taken off the network
	dir   string                  // for stores on disk
}

// member is one node of a world.
type member struct {
	*node.Node
	addr  netip.AddrPort
	ahead *atomic.Int64 // what its clock is wrong by, a time.Duration
	log   *journal
}

const (
	// settling is how long what memberlist leaves behind may take to end.
	settling = time.Minute
	// realLimit is what a test may take by the clock on the wall. It is many
	// times what one does, for machines that are busy.
	realLimit = 2 * time.Minute
)

// inBubble runs a test in virtual time and closes what it opened.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	began := time.Now()
	var virtual time.Duration
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: gossip.NewMemNetwork(), key: gossip.NewMeshKey(), began: time.Now(), dir: t.TempDir(), off: map[netip.AddrPort]bool{}}
		defer func() { // also of a test that failed
			virtual = time.Since(w.began)
			for _, stop := range w.stops {
				stop()
			}
			clear(w.off)
			w.setPath(nil)
			for len(w.nodes) > 0 {
				w.close(w.nodes[0])
			}
			time.Sleep(settling)
		}()
		test(t, w)
	})
	t.Logf("%.1f s of virtual time in %.1f s", virtual.Seconds(), time.Since(began).Seconds())
	require.Less(t, time.Since(began), realLimit)
}

// open opens node number i, told to join node 1, at an address that is its own.
func (w *world) open(i int, change ...func(*node.Config)) *member {
	w.t.Helper()
	m, err := w.start(i, change...)
	require.NoError(w.t, err)
	w.nodes = append(w.nodes, m)
	return m
}

// start is open for the caller to keep what comes of it.
func (w *world) start(i int, change ...func(*node.Config)) (*member, error) {
	ahead, log := new(atomic.Int64), new(journal)
	c := node.Config{
		Name: fmt.Sprintf("n%d", i), Authority: fmt.Sprintf("a%d", i), Bind: address(i), Network: w.net, MeshKeys: w.key,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Clock:  func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}
	if i > 1 {
		c.Join = []string{address(1)}
	}
	for _, f := range change {
		f(&c)
	}
	n, err := node.Open(w.t.Context(), c)
	if err != nil {
		return nil, err
	}
	return &member{Node: n, addr: netip.MustParseAddrPort(n.Addr()), ahead: ahead, log: log}, nil
}

func address(i int) string { return fmt.Sprintf("127.0.0.%d:7946", i) }

// onDisk gives a node a directory of its own, by its name.
func (w *world) onDisk(c *node.Config) { c.DataDir = filepath.Join(w.dir, c.Name) }

// mesh opens nodes 1 to n at the same moment, and waits until they have found
// each other.
func (w *world) mesh(n int, change ...func(*node.Config)) []*member {
	w.t.Helper()
	nodes, errs := make([]*member, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { nodes[i], errs[i] = w.start(i+1, change...) })
	}
	wg.Wait()
	for i, m := range nodes {
		require.NoError(w.t, errs[i])
		w.nodes = append(w.nodes, m)
	}
	w.within(rejoining, "the mesh is whole", func() bool { return whole(nodes...) })
	return nodes
}

// whole reports whether each sees all others alive, and is ready and converged.
func whole(nodes ...*member) bool {
	for _, m := range nodes {
		if len(m.alive()) != len(nodes) || m.get("/readyz").Code != http.StatusOK || !m.mesh().Converged {
			return false
		}
	}
	return true
}

func (w *world) close(m *member) {
	w.t.Helper()
	for i, o := range w.nodes {
		if o == m {
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
		}
	}
	if err := m.Close(); err != nil {
		w.t.Errorf("close %s: %v", m.Name(), err)
	}
}

// path is what gossip.MemNetwork.SetPath takes.
type path = func(from, to netip.AddrPort) (time.Duration, bool)

// setPath gives the network this path, but for those that are off it; nil is a
// perfect one.
func (w *world) setPath(p path) {
	w.path = p
	off := maps.Clone(w.off)
	w.net.SetPath(func(from, to netip.AddrPort) (time.Duration, bool) {
		if off[from] || off[to] {
			return 0, false
		}
		if p == nil {
			return 0, true
		}
		return p(from, to)
	})
}

// pull takes a node off the network, as a crash of its machine does.
func (w *world) pull(m *member) {
	w.off[m.addr] = true
	w.setPath(w.path)
}

// crash takes a node off the network and ends it there: nobody hears of it. Its
// address is free then.
func (w *world) crash(m *member) {
	w.t.Helper()
	w.pull(m)
	w.close(m)
	delete(w.off, m.addr)
	w.setPath(w.path)
}

// within waits until something is so, and returns how long that took.
func (w *world) within(limit time.Duration, what string, ok func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			w.show()
			require.FailNow(w.t, "after "+limit.String()+" still not: "+what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// show logs what each node says of the mesh.
func (w *world) show() {
	for _, m := range w.nodes {
		w.t.Logf("%s: /readyz %s /v1/mesh %s\n%s", m.Name(), m.get("/readyz").Body, m.get("/v1/mesh").Body, m.log.last(100))
	}
}

// journal is a node's log.
type journal struct {
	mu    sync.Mutex // protects lines
	lines []string
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(b))
	return len(b), nil
}

func (j *journal) last(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-n):], "")
}

// answer is the answer of a handler.
type answer struct {
	*httptest.ResponseRecorder
}

// call calls a handler; headers are names and values by turns.
func (m *member) call(method, path, body string, headers ...string) answer {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	m.Handler().ServeHTTP(w, r)
	return answer{w}
}

func (m *member) get(path string, headers ...string) answer {
	return m.call(http.MethodGet, path, "", headers...)
}

// into reads a JSON answer, which must have this status.
func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	require.Equal(t, status, a.Code, "%s", a.Body)
	require.NoError(t, json.Unmarshal(a.Body.Bytes(), v), "%s", a.Body)
}

// picture is what a node says of the mesh.
type picture struct {
	Converged bool
	Root      string
	Members   []struct{ Name, Addr, Status string }
	Held      []struct {
		ID, Reason string
		AgeMs      int64 `json:"age_ms"`
	}
	Chains []struct {
		Origin              string
		Head, Applied, Held int
	}
}

func (m *member) mesh() (p picture) {
	a := m.get("/v1/mesh")
	if err := json.Unmarshal(a.Body.Bytes(), &p); err != nil {
		panic(fmt.Sprintf("%s: /v1/mesh: %d %s", m.Name(), a.Code, a.Body))
	}
	return p
}

// status is the status of a member by its name, "" if it is none.
func (p picture) status(name string) string {
	for _, m := range p.Members {
		if m.Name == name {
			return m.Status
		}
	}
	return ""
}

// alive are the names of the members that are alive.
func (m *member) alive() (names []string) {
	for _, o := range m.mesh().Members {
		if o.Status == gossip.StatusAlive.String() {
			names = append(names, o.Name)
		}
	}
	return names
}

// problem is an answer that says why not.
type problem struct {
	Code, Detail, Reason string
	Progress             *struct{ Have, Want int }
}

func (m *member) ready(t testing.TB) (is bool, p problem) {
	a := m.get("/readyz")
	if a.Code != http.StatusOK {
		a.into(t, http.StatusServiceUnavailable, &p)
	}
	return a.Code == http.StatusOK, p
}
