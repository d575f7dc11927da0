package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaceMark begins the name of every network namespace, and is the source
// of every mount, of this package's tests. What follows it names the process
// that made it, so that what a killed run left behind can be told.
const namespaceMark = "tidings-cluster-"

// namespaces counts the networks of this process.
var namespaces atomic.Int64

// thisRun is this process in names: its id and the moment that it started, as
// an id comes again.
func thisRun() string {
	return fmt.Sprintf("%d.%s", os.Getpid(), startOf(os.Getpid()))
}

// startOf returns when a process started, in clock ticks since boot, or "" if
// there is none.
func startOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in brackets may hold anything; 20 fields follow it to the start.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// alive reports whether the run that made a name still goes on.
func alive(name string) bool {
	run, _, _ := strings.Cut(strings.TrimPrefix(name, namespaceMark), "-")
	id, start, _ := strings.Cut(run, ".")
	pid, err := strconv.Atoi(id)
	return err == nil && start != "" && startOf(pid) == start
}

// needNamespaces skips the test, with the reason, where this process may not
// make network namespaces, and removes what runs that were killed left behind.
func needNamespaces(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "bridge", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: make tools installs it", tool)
		}
	}
	removeStale(t)
	probe := fmt.Sprintf("%s%s-probe-%d", namespaceMark, thisRun(), namespaces.Add(1))
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %s", out)
	}
	defer removeNamespace(t, probe)
	if out, err := exec.Command("ip", "netns", "exec", probe, "nft", "add", "table", "bridge", "probe").CombinedOutput(); err != nil {
		t.Skipf("no nftables for bridges here: %s", out)
	}
}

func removeStale(t *testing.T) {
	names, err := filepath.Glob("/run/netns/" + namespaceMark + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range names {
		if name := filepath.Base(path); !alive(name) {
			removeNamespace(t, name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[0], namespaceMark) && !alive(fields[0]) {
			_ = unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
}

// removeNamespace ends what still runs in a namespace, and then that.
func removeNamespace(t *testing.T, name string) {
	t.Helper()
	out, _ := exec.Command("ip", "netns", "pids", name).Output()
	for _, id := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(id); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("No such file")) {
		t.Logf("ip netns del %s: %v: %s", name, err, out)
	}
}

// inNamespace calls do on a thread that is in a network namespace: the sockets
// that do opens and the processes that it starts are in that from then on. An
// empty name is the namespace of the test itself.
func inNamespace(name string, do func() error) error {
	if name == "" {
		return do()
	}
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	other, err := os.Open("/run/netns/" + name)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("setns %s: %w", name, err)
	}
	defer func() {
		// A thread that cannot go back must never run anything else.
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("setns back: %v", err))
		}
		runtime.UnlockOSThread()
	}()
	return do()
}

// tool runs a command of the system that must succeed.
func tool(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdin, out)
	}
	return string(out)
}
