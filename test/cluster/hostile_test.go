package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/gossip"
)

const (
	// hostileMemory is how much more memory an agent may take under attack than
	// what it then stores of validly signed updates.
	hostileMemory = 256 << 20
	// hostileSlowdown bounds the median publish, under one harm after the other and
	// under all at once, against that beside cores that are as busy. The target is
	// 2, which a quiet machine keeps; this is what a noisy one is held to.
	hostileSlowdown = 5
	// hostileLog bounds what an agent logs of an attack.
	hostileLog = 256 << 10
)

// Two agents are attacked in every way, in turn and at once, by peers that have
// the mesh key and by some that have not, while one is published to and the
// other polled.
func TestHostilePeer(t *testing.T) {
	key := filepath.Join(t.TempDir(), "mesh.key")
	require.NoError(t, os.WriteFile(key, []byte(command(t, "key", "new")), 0o600))
	first := start(t, "wh-1", "warehouse", "--mesh-key-file", key)
	agents := []*agent{first, start(t, "fl-1", "fleet", "--mesh-key-file", key, "--join", first.bind)}
	converged(t, 30*time.Second, agents...)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p, c := newProducer(first), newConsumer(agents[1])
	c.prefix = "order"
	var polls sync.WaitGroup
	polls.Go(func() { c.follow(ctx) })
	defer polls.Wait()
	defer stop()

	quiet := paced(ctx, t, p, 2*time.Second)
	rest := attackers(t, "busy", key, agents)
	beside := paced(ctx, t, p, 2*time.Second)
	rest()

	before := make([]memory, len(agents))
	logged, stored := make([]int, len(agents)), make([]int, len(agents))
	for i, a := range agents {
		before[i], logged[i], stored[i] = memoryOf(t, a), len(logOf(t, a)), sizeOf(t, a)
	}
	ready := watchReady(ctx, agents)
	lasts := 5 * time.Second
	if *soakFor > 0 {
		lasts = *soakFor / 2
	}
	during := func(mode string) times {
		end := attackers(t, mode, key, agents)
		defer end()
		return paced(ctx, t, p, lasts)
	}
	under, flooded := during("in turn"), during("at once")
	require.Zero(t, ready(), "times that an agent was not ready")

	for i, a := range agents {
		after := memoryOf(t, a)
		m, ok := a.mesh()
		require.True(t, ok)
		lines := logOf(t, a)[logged[i]:]
		kept := sizeOf(t, a) - stored[i]
		t.Logf("%s: resident %d MiB before, %d after, %d at most; %d MiB more stored, %d updates, %d held; %d lines, %d bytes logged", a.name, before[i].now>>20, after.now>>20, after.most>>20,
			kept>>20, m.Store.Updates, len(m.Held), bytes.Count(lines, []byte("\n")), len(lines))
		require.Less(t, after.most-before[i].now, hostileMemory+max(kept, 0), "%s", a.name)
		require.Less(t, len(lines), hostileLog, "%s logged:\n%s", a.name, tail(lines, 4000))
	}
	t.Logf("publish, median and 99th percentile: %s quiet, %s beside busy cores, %s attacked in turn (%.1f times quiet), %s attacked at once (%.1f times quiet)",
		quiet, beside, under, under.over(quiet), flooded, flooded.over(quiet))
	require.Less(t, under.at(50), hostileSlowdown*beside.at(50))
	require.Less(t, flooded.at(50), hostileSlowdown*beside.at(50))

	// Everything honest is on both, in order, and what is kept is sound.
	stop()
	polls.Wait()
	newest, ok := p.newest()
	require.True(t, ok)
	for _, c := range []*consumer{c, newConsumer(first)} {
		c.prefix = "order"
		until(t, 30*time.Second, c.agents[0].name+" gives the newest", func() bool {
			c.poll(0, 1000, "0")
			return slices.ContainsFunc(c.got, func(u update) bool { return u.ID == newest.id })
		})
		h := &history{copies: []replica{{node: c.agents[0].name, feed: c.got}}, streams: []stream{c.stream(true)}}
		h.take(p)
		require.Empty(t, h.faults())
	}
	for _, a := range agents {
		// The intruders' chains too: some end in the middle of what was signed.
		command(t, "verify", "--endpoints", a.url(""))
		require.NoError(t, a.stop())
	}
}

// times are how long publishes took, ascending.
type times []time.Duration

func (ts times) at(percent int) time.Duration { return ts[(len(ts)-1)*percent/100] }

// over says how many times as long as others they took, in the median.
func (ts times) over(others times) float64 { return float64(ts.at(50)) / float64(others.at(50)) }

func (ts times) String() string {
	return fmt.Sprintf("%s and %s of %d", ts.at(50).Round(10*time.Microsecond), ts.at(99).Round(10*time.Microsecond), len(ts))
}

// pace is the time between two publishes.
const pace = 10 * time.Millisecond

// paced publishes at a fixed rate, and measures each.
func paced(ctx context.Context, t *testing.T, p *producer, lasts time.Duration) (took times) {
	t.Helper()
	for began, n := time.Now(), len(p.items); time.Since(began) < lasts; n++ {
		at := time.Now()
		// None twice, for that is answered without a commit, and not those that
		// read before they publish, which is each fourth.
		p.one(ctx, t, "order", n/3*4+n%3+1)
		took = append(took, time.Since(at))
		sleep(ctx, time.Until(at.Add(pace)))
	}
	slices.Sort(took)
	return took
}

// busy keeps a core busy with what attackers spend theirs on.
func busy(ctx context.Context) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	for ctx.Err() == nil {
		ed25519.Sign(key, []byte("busy"))
	}
}

// watchReady asks for readiness until ctx ends. What it returns says how often
// an agent was not.
func watchReady(ctx context.Context, agents []*agent) func() int64 {
	var not atomic.Int64
	for _, a := range agents {
		go func() {
			for sleep(ctx, 100*time.Millisecond) {
				if !a.ready() && ctx.Err() == nil {
					not.Add(1)
				}
			}
		}()
	}
	return not.Load
}

// memory is a process's resident memory in bytes.
type memory struct{ now, most int }

func memoryOf(t *testing.T, a *agent) (m memory) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	require.NoError(t, err, "where there is no /proc, memory is not known")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			m.now = n << 10
		case "VmHWM:":
			m.most = n << 10
		}
	}
	require.NotZero(t, m.most)
	return m
}

// sizeOf is how many bytes an agent keeps on disk.
func sizeOf(t *testing.T, a *agent) (size int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join(a.dir, "data"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it goes on writing, and removing
		}
		if info, err := d.Info(); err == nil {
			size += int(info.Size())
		}
		return nil
	}))
	return size
}

func logOf(t *testing.T, a *agent) []byte {
	t.Helper()
	b, err := os.ReadFile(a.log.Name())
	require.NoError(t, err)
	return b
}

// attackEnv names how the attackers' process is to attack; attackKeyEnv holds
// the file of the mesh key and attackAtEnv whom.
const (
	attackEnv    = "TIDINGS_ATTACK"
	attackKeyEnv = "TIDINGS_ATTACK_KEY"
	attackAtEnv  = "TIDINGS_ATTACK_AT"
)

// attackers begins an attack from a process of its own, which takes what the
// others leave of the machine: an attacker has one of its own. The attack is over
// when the returned function returns, which the end of the test calls too.
func attackers(t *testing.T, mode, key string, agents []*agent) (end func()) {
	t.Helper()
	var at []string
	for _, a := range agents {
		at = append(at, a.bind)
	}
	cmd := exec.Command("nice", "-n", "19", os.Args[0], "-test.run", "^TestAttackers$", "-test.v", "-test.timeout", "10m")
	if *soakFor > 0 {
		cmd.Args[len(cmd.Args)-1] = (*soakFor + 10*time.Minute).String()
	}
	cmd.Env = append(os.Environ(), attackEnv+"="+mode, attackKeyEnv+"="+key, attackAtEnv+"="+strings.Join(at, ","))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end = sync.OnceFunc(func() {
		stdin.Close()
		err := cmd.Wait()
		t.Logf("attackers, %s:\n%s", mode, &out)
		require.NoError(t, err)
	})
	t.Cleanup(end)
	return end
}

// TestAttackers is the attackers' process.
func TestAttackers(t *testing.T) {
	mode := os.Getenv(attackEnv)
	if mode == "" {
		t.Skip("TestHostilePeer runs it, in a process of its own")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if mode == "busy" {
		ctx, stop := context.WithCancel(t.Context())
		var cores sync.WaitGroup
		for range runtime.NumCPU() {
			cores.Go(func() { busy(ctx) })
		}
		<-ended
		stop()
		cores.Wait()
		return
	}
	a := newAttack(t, os.Getenv(attackKeyEnv), strings.Split(os.Getenv(attackAtEnv), ","))
	switch mode {
	case "in turn":
		a.inTurn()
	case "at once":
		a.atOnce(t)
	default:
		t.Fatalf("no way to attack: %q", mode)
	}
	<-ended
	a.calm()
	a.waitRound()
	a.end()
	a.report(t)
}

// attack is everything that is done to the agents.
type attack struct {
	file   string // of the mesh key
	secret []byte
	addrs  []string
	harms  []harm
	ctx    context.Context
	stop   context.CancelFunc
	flood  context.Context // after it only what was not done once is done
	calm   context.CancelFunc
	wg     sync.WaitGroup
	round  sync.WaitGroup // each harm once

	mu     sync.Mutex // protects what follows
	counts map[string]*harmCount
}

// harmCount says that a harm was done.
type harmCount struct {
	opened, refused int
	err             error // the last
}

func newAttack(t *testing.T, file string, addrs []string) *attack {
	t.Helper()
	a := &attack{file: file, secret: meshSecret(t, file), addrs: addrs, counts: map[string]*harmCount{}}
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.flood, a.calm = context.WithCancel(a.ctx)
	t.Cleanup(a.end)
	return a
}

// inTurn has one stream at a time to each agent do one harm after the other, and
// each of them once, however little of a processor is left for that.
func (a *attack) inTurn() {
	for _, h := range harms {
		if !h.flood {
			a.harms = append(a.harms, h)
		}
	}
	for _, addr := range a.addrs {
		once := make(chan struct{})
		a.round.Go(func() { <-once })
		a.wg.Go(func() {
			for i := 0; a.ctx.Err() == nil; {
				if !a.once(newIntruder(a.secret), addr, a.harms[i%len(a.harms)], turn/10) {
					continue
				}
				if i++; i == len(a.harms) {
					close(once)
				}
			}
		})
	}
}

// atOnce has streams to each agent for all harms, joins the mesh besides, and
// comes to the port without a key. Each harm is done once to each agent, however
// little of a processor is left for that.
func (a *attack) atOnce(t *testing.T) {
	a.harms = harms
	a.join(t)
	for _, addr := range a.addrs {
		for _, h := range harms {
			once := make(chan struct{})
			a.round.Go(func() { <-once })
			a.wg.Go(func() { a.again(addr, h, sync.OnceFunc(func() { close(once) })) })
		}
		for _, o := range []func(context.Context, string){silence, noise, endlessHello, datagrams} {
			a.wg.Go(func() { o(a.flood, addr) })
		}
	}
}

// waitRound waits until each harm was done once; if one is never let in, report
// says which.
func (a *attack) waitRound() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.round.Wait()
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
	}
}

func (a *attack) end() {
	a.stop()
	a.wg.Wait()
}

// join makes the attacker a member, whom the agents dial: to them it plays one
// harm after the other.
func (a *attack) join(t *testing.T) {
	ring, err := gossip.LoadMeshKeys(a.file)
	require.NoError(t, err)
	h := newIntruder(a.secret)
	var turn atomic.Int64
	mesh, err := gossip.OpenMesh(a.ctx, gossip.MeshOptions{
		Key: h.key, Tags: gossip.Tags{Name: "intruder", Authority: "intruder", Durable: true},
		Bind: "127.0.0.1:0", Ring: ring, Join: a.addrs[:1],
		Serve: func(s *gossip.Stream) {
			a.count("as a member", nil)
			switch turn.Add(1) % 3 {
			case 0: // dropped at once
			case 1:
				_ = s.WriteFrames([]*gossip.OutFrame{
					gossip.NewOutFrame(gossip.AppendFrame(nil, h.hello()), true),
					gossip.NewOutFrame(gossip.AppendFrame(nil, &gossip.Heads{Heads: randomIDs(16_000, last)}), true),
				})
				select {
				case <-a.ctx.Done():
				case <-time.After(time.Second):
				}
			case 2:
				_ = s.WriteFrames([]*gossip.OutFrame{gossip.NewOutFrame(bytes.Repeat([]byte{0xdd}, gossip.MaxFrame), true)})
			}
		},
	})
	require.NoError(t, err)
	a.wg.Go(func() {
		<-a.ctx.Done()
		_ = mesh.Close(context.Background())
	})
}

// turn is how long one stream is used.
const turn = 2 * time.Second

// again opens stream after stream, at least until one was used, and says when.
func (a *attack) again(addr string, m harm, used func()) {
	h := newIntruder(a.secret)
	for done := false; a.ctx.Err() == nil && (!done || a.flood.Err() == nil); {
		if m.fresh {
			h = newIntruder(a.secret)
		}
		h.epoch++
		if a.once(h, addr, m, turn) {
			done = true
			used()
		}
	}
}

// once does one harm on one stream, and says whether it was let in.
func (a *attack) once(h *intruder, addr string, m harm, turn time.Duration) bool {
	w, err := h.dial(addr)
	a.count(m.name+" to "+addr, err)
	if err != nil {
		sleep(a.ctx, 10*time.Millisecond)
		return false
	}
	var reading sync.WaitGroup
	if !m.deaf {
		reading.Go(w.listen)
	}
	bounded, cancel := context.WithTimeout(a.ctx, turn)
	_ = m.do(bounded, h, w)
	cancel()
	w.close()
	reading.Wait()
	return true
}

func (a *attack) count(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.counts[name]
	if n == nil {
		n = &harmCount{}
		a.counts[name] = n
	}
	if err != nil {
		n.refused++
		n.err = err
		return
	}
	n.opened++
}

// report says how often each harm was done to each agent; one that never was is a failure.
func (a *attack) report(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names(a.harms) {
		for _, addr := range a.addrs {
			n := a.counts[name+" to "+addr]
			require.NotNil(t, n, "%s to %s", name, addr)
			t.Logf("%-40s to %s %5d streams, %5d refused (%v)", name, addr, n.opened, n.refused, n.err)
			require.NotZero(t, n.opened, "%s was never done to %s", name, addr)
		}
	}
}

func names(harms []harm) (all []string) {
	for _, h := range harms {
		all = append(all, h.name)
	}
	return all
}

// silence holds connections that send nothing.
func silence(ctx context.Context, addr string) {
	var held []net.Conn
	for ctx.Err() == nil && len(held) < 300 {
		if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			held = append(held, conn)
		}
	}
	<-ctx.Done()
	for _, conn := range held {
		conn.Close()
	}
}

// noise sends connections of bytes that mean nothing, some of which begin as
// membership's or a stream's do.
func noise(ctx context.Context, addr string) {
	b := make([]byte, 64<<10)
	for i := 0; sleep(ctx, 5*time.Millisecond); i++ {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		rand.Read(b)
		b[0] = []byte{0, 'G', 244, 0x16}[i%4]
		_, _ = conn.Write(b[:1+i%len(b)])
		conn.Close()
	}
}

// endlessHello begins TLS handshakes whose hello has no end.
func endlessHello(ctx context.Context, addr string) {
	for sleep(ctx, 50*time.Millisecond) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		for err == nil && ctx.Err() == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			// A record of 16 KiB of a handshake message of 16 MiB.
			_, err = conn.Write(append([]byte{0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 1<<14-4)...))
		}
		conn.Close()
	}
}

func datagrams(ctx context.Context, addr string) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	b := make([]byte, 1400)
	for i := 0; sleep(ctx, time.Millisecond); i++ {
		rand.Read(b)
		if i%2 == 0 {
			copy(b, "\xf4\x07tidings")
		}
		if _, err := conn.Write(b[:1+i%len(b)]); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}
