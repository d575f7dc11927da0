package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// agentFlags are the flags of a node.
type agentFlags struct {
	Name      string   `placeholder:"N" help:"The node's name; by default that of the data directory, else the host's name and the port of --bind, or of --http if that is 0."`
	Authority string   `placeholder:"A" help:"The service that it speaks for; by default its name."`
	Bind      string   `default:"127.0.0.1:7946" placeholder:"HOST:PORT" help:"Where it talks to other nodes; port 0 picks one."`
	HTTP      string   `name:"http" default:"127.0.0.1:7980" placeholder:"HOST:PORT" help:"Where it serves HTTP; port 0 picks one."`
	Advertise string   `placeholder:"HOST:PORT" help:"Where other nodes reach it, if not at --bind."`
	Join      []string `placeholder:"HOST:PORT" help:"Nodes to join; tried for ever."`
	DataDir   string   `placeholder:"DIR" help:"Where it keeps its key and all updates; without, in memory."`
	Zone      string   `placeholder:"Z" help:"The zone that it runs in."`

	MeshKeyFile  string        `placeholder:"FILE" help:"The mesh's keys, from tidings key new; needed off loopback."`
	InsecureHTTP bool          `name:"insecure-http" help:"Serve HTTP off loopback, to anyone, without tokens."`
	AddrFile     string        `placeholder:"FILE" help:"File to write the addresses to, as JSON, once it listens."`
	RecoverWait  time.Duration `default:"10s" placeholder:"D" help:"How long to wait at a start for peers that know its chain."`
	MaxWaiters   int           `placeholder:"N" help:"How many HTTP requests may wait at a time, event streams included; by default what the limit of open files leaves room for, 20,000 at most."`
	LogLevel     string        `default:"info" enum:"debug,info,warn,error" placeholder:"L" help:"Least level to log: debug, info, warn or error."`

	Expect node.Expectations `kong:"-"` // from the configuration file alone
}

// check finds what is wrong with the flags before anything is opened.
func (f *agentFlags) check() error {
	for _, name := range []struct{ flag, value string }{
		{"name", f.Name}, {"authority", f.Authority}, {"zone", f.Zone},
	} {
		if name.value == "" {
			continue
		}
		if err := chain.CheckName(name.value); err != nil {
			return usagef("--%s: %w", name.flag, err)
		}
	}
	bind, _, err := splitAddress("bind", f.Bind)
	if err != nil {
		return err
	}
	http, _, err := splitAddress("http", f.HTTP)
	if err != nil {
		return err
	}
	if f.Advertise != "" {
		host, port, err := splitAddress("advertise", f.Advertise)
		if err != nil {
			return err
		}
		if host == "" || port == 0 {
			return usagef("--advertise %s: want the host and port at which others reach this node", f.Advertise)
		}
	}
	for _, peer := range f.Join {
		host, port, err := splitAddress("join", peer)
		if err != nil {
			return err
		}
		if host == "" || port == 0 {
			return usagef("--join %s: want the host and port of another node", peer)
		}
	}
	if f.AddrFile != "" {
		if err := checkReplaceable(f.AddrFile); err != nil {
			return usagef("--addr-file: %w", err)
		}
	}
	if f.RecoverWait < 0 {
		return usagef("--recover-wait: want 0 or more, got %s", f.RecoverWait)
	}
	if f.MaxWaiters < 0 {
		return usagef("--max-waiters: want 1 or more, got %d", f.MaxWaiters)
	}
	if !loopback(bind) && f.MeshKeyFile == "" {
		return usagef("--bind %s is off loopback, which needs --mesh-key-file (make one with: tidings key new FILE)", f.Bind)
	}
	if !loopback(http) && !f.InsecureHTTP {
		return usagef("--http %s is off loopback, where anyone could publish: give --insecure-http if that is meant", f.HTTP)
	}
	return nil
}

// splitAddress reads host:port. An empty host is every interface.
func splitAddress(flag, address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, usagef("--%s %q: want HOST:PORT", flag, address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, usagef("--%s %q: port: want a number from 0 to 65535", flag, address)
	}
	if strings.ContainsAny(host, " /\\\t\r\n") {
		return "", 0, usagef("--%s %q: want HOST:PORT", flag, address)
	}
	return host, uint16(n), nil
}

// loopback reports whether a host is this machine only. A name other than
// localhost may resolve to anything, now or later, so it is not.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// logger writes the node's log as text.
func (f *agentFlags) logger(p *process) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		level = slog.LevelInfo // the grammar admits no other text
	}
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: level}))
}

// defaultName names a node after its host and the port that it talks on.
func defaultName(port uint16) string {
	host, err := os.Hostname()
	if err != nil || chain.CheckName(host) != nil || len(host) > chain.MaxName-len("-65535") {
		host = "node"
	}
	return fmt.Sprintf("%s-%d", host, port)
}
