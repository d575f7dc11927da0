package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

type agentCmd struct{ agentFlags }

// Help is the long text of the command.
func (c *agentCmd) Help() string {
	return "It runs until SIGTERM or SIGINT, then leaves the mesh, writes out what waits, and exits 0; a second signal ends it at once." +
		" Without --data-dir all is in memory: each start is a new chain, and nothing is confirmed as durable." +
		" A data directory keeps the name and the authority that it began with."
}

const (
	// stopTime bounds an orderly stop.
	stopTime = 9 * time.Second
	// drainTime is what requests get to end in once the node has closed, when
	// none of them waits for anything any more.
	drainTime = 2 * time.Second
)

// processorsLeast is on how many threads an agent runs at least, unless GOMAXPROCS
// says it. With no more than one or two, what verifies and applies for peers may keep
// all of them, and Go's scheduler looks for requests once in 10 ms then; with more,
// one is free to wait for them, and the system gives it a processor.
const processorsLeast = 4

// Run runs a node until the first signal.
func (c *agentCmd) Run(s *session) error {
	if err := c.check(); err != nil {
		return err
	}
	manager, err := newNotifier(s.getenv)
	if err != nil {
		return err
	}
	if s.getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < processorsLeast {
		runtime.GOMAXPROCS(processorsLeast)
	}
	a := &agent{log: c.logger(s.process), manager: manager}
	if err := a.start(s.ctx, &c.agentFlags); err != nil {
		if s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			// The signal came before the node was open.
			a.log.Info("leaving")
			err = nil
		}
		return errors.Join(err, a.stopInTime())
	}
	select {
	case <-s.ctx.Done():
		a.log.Info("leaving")
		return a.stopInTime()
	case err := <-a.failed:
		return errors.Join(fmt.Errorf("serve HTTP: %w", err), a.stopInTime())
	case <-a.node.Failed():
		return errors.Join(a.node.FailedBy(), a.stopInTime())
	}
}

// agent is a node with an HTTP server around it.
type agent struct {
	log     *slog.Logger
	manager *notifier      // of services
	node    *node.Node     // once it is open
	stops   []func() error // in the order of the starts
	failed  chan error     // the HTTP server's
}

func (a *agent) start(ctx context.Context, f *agentFlags) error {
	a.stops = append(a.stops, a.manager.close)
	a.manager.tell("STATUS=starting")
	cfg, err := f.config(a.log)
	if err != nil {
		return err
	}
	files := openFiles()
	room, err := roomFor(files, f.MaxWaiters)
	if err != nil {
		return err
	}
	if files > 0 && files < fewFiles {
		a.log.Warn("few files may be open, so few connections are taken: raise the limit (ulimit -n)",
			slog.Uint64("limit", files), slog.Int("connections", room.connections), slog.Int("waiters", room.waiters))
	}
	cfg.MaxWaiters = room.waiters
	registry := processMetrics()
	cfg.Metrics = registry
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.HTTP)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	listener, err := api.NewListener(tcp, room.connections, registry)
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	// Until the server owns it; closing it twice is no failure.
	a.stops = append(a.stops, func() error { _ = listener.Close(); return nil })
	cfg.AdvertiseHTTP = f.advertiseHTTP(listener.Addr())
	cfg.DefaultName = f.nameFor(listener.Addr())
	if f.DataDir == "" {
		a.log.Warn("no --data-dir: all is in memory, is lost at the end, and this is a new origin")
	}
	front := &front{node: cmp.Or(nameIn(f.DataDir), cfg.Name, cfg.DefaultName)}
	a.serve(listener, front)
	// To open may take a while: salvage, and peers that have to be asked.
	a.log.Info("starting", slog.String("http", listener.Addr().String()), slog.String("data_dir", f.DataDir))
	cfg.OnHandler = front.open
	n, err := node.Open(ctx, cfg)
	if err != nil {
		if errors.Is(err, node.ErrConfig) {
			return &usageError{err}
		}
		return err
	}
	a.node = n
	a.stops = append(a.stops, n.Close)
	if f.DataDir != "" {
		a.control(f.DataDir)
	}
	a.log.Info("listening", slog.String("bind", n.Addr()), slog.String("http", listener.Addr().String()))
	if f.AddrFile != "" {
		if err := writeAddresses(f.AddrFile, n, listener.Addr()); err != nil {
			return err
		}
	}
	a.stops = append(a.stops, a.manager.ready(n.Readiness))
	return nil
}

// control lets a running agent be backed up. It goes on without where that cannot
// be, as where the directory's path is longer than a socket's may be.
func (a *agent) control(dir string) {
	c, err := openControl(dir, a.node, a.log)
	if err != nil {
		a.log.Warn("no control socket: this node can be backed up only while it is stopped", "err", err)
		return
	}
	a.stops = append(a.stops, c.close)
}

// serve starts the HTTP server. It is stopped after the node, so that whoever
// waits for an answer is told that the node is closing.
func (a *agent) serve(listener net.Listener, handler http.Handler) {
	server := api.NewServer(handler, a.log)
	a.failed = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	}()
	a.stops = append(a.stops, func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			a.log.Warn("requests are broken off: they did not end in time", slog.Duration("after", drainTime))
			err = server.Close()
		}
		<-done
		return err
	})
}

// stop takes the start back, from its end.
func (a *agent) stop() error {
	a.manager.tell("STOPPING=1\nSTATUS=leaving")
	var errs []error
	for i := len(a.stops) - 1; i >= 0; i-- {
		errs = append(errs, a.stops[i]())
	}
	a.stops = nil
	return errors.Join(errs...)
}

// stopInTime gives up on a stop that hangs: whoever sent the signal would kill
// the process next, without a word in the log.
func (a *agent) stopInTime() error {
	done := make(chan error, 1)
	go func() { done <- a.stop() }()
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("not stopped within %s", stopTime)
	}
}

// config is what the flags say of the node itself.
func (f *agentFlags) config(log *slog.Logger) (node.Config, error) {
	cfg := node.Config{
		Name: f.Name, Authority: f.Authority, Zone: f.Zone, DataDir: f.DataDir,
		Bind: f.Bind, Advertise: f.Advertise, Join: f.Join, Expect: f.Expect,
		// Zero would be the default.
		RecoverWait: max(f.RecoverWait, 1), Logger: log, Version: build().Version,
	}
	if f.MeshKeyFile != "" {
		keys, err := gossip.LoadMeshKeys(f.MeshKeyFile)
		if err != nil {
			return cfg, usagef("--mesh-key-file: %w", err)
		}
		cfg.MeshKeys = keys
	}
	return cfg, nil
}

// processMetrics is a registry with what is to be known of any process: memory,
// descriptors, garbage collection.
func processMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// begun reports whether a data directory has a name already.
func begun(dir string) bool {
	if dir == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(dir, "identity.json"))
	return err == nil
}

// nameFor names a node after its host and the port that tells it from others
// there: that of the mesh, or, where that is not known yet, that of HTTP.
func (f *agentFlags) nameFor(http net.Addr) string {
	_, port, err := splitAddress("bind", f.Bind)
	if tcp, ok := http.(*net.TCPAddr); ok && (err != nil || port == 0) {
		port = uint16(tcp.Port)
	}
	return defaultName(port)
}

// advertiseHTTP is where others reach the HTTP interface: for one that listens
// on every interface, the host at which the mesh reaches this node.
func (f *agentFlags) advertiseHTTP(listens net.Addr) string {
	tcp, ok := listens.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return listens.String()
	}
	for _, address := range []string{f.Advertise, f.Bind} {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			continue
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
		}
	}
	return listens.String()
}

// writeAddresses tells whoever started the node where it listens.
func writeAddresses(path string, n *node.Node, http net.Addr) error {
	text, err := json.Marshal(struct {
		Bind   string `json:"bind"`
		HTTP   string `json:"http"`
		Origin string `json:"origin"`
	}{n.Addr(), http.String(), n.Origin().String()})
	if err != nil {
		return err
	}
	if err := replaceFile(path, append(text, '\n')); err != nil {
		return fmt.Errorf("--addr-file: %w", err)
	}
	return nil
}
