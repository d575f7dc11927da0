package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/api"
)

// service is one of the three, as its flags say.
type service struct {
	node           node.Config
	http, addrFile string
}

// newService makes a service and the flags of it, for it to add its own.
func newService(authority string) (*service, *flag.FlagSet) {
	s := &service{node: node.Config{
		DefaultName: authority + "-1", Authority: authority, Expect: expectations,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)).With("service", authority),
	}}
	f := flag.NewFlagSet(authority, flag.ContinueOnError)
	f.StringVar(&s.node.DataDir, "data-dir", "", "where the node keeps its key and the chains; in memory without it")
	f.StringVar(&s.node.Bind, "bind", "127.0.0.1:0", "where the nodes talk to each other")
	f.Func("join", "where other nodes do, with commas between", func(join string) error {
		s.node.Join = append(s.node.Join, strings.Split(join, ",")...)
		return nil
	})
	f.StringVar(&s.http, "http", "127.0.0.1:0", "where it serves")
	f.StringVar(&s.addrFile, "addr-file", "", "file to write the addresses to, once it serves")
	return s, f
}

// serve opens the node, has begin add what the service itself does, and serves both
// over HTTP until ctx ends.
func (s *service) serve(ctx context.Context, begin func(*node.Node, *http.ServeMux) error) (err error) {
	listener, err := net.Listen("tcp", s.http)
	if err != nil {
		return err
	}
	s.node.AdvertiseHTTP = listener.Addr().String()
	n, err := node.Open(ctx, s.node)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", n.Handler()) // what consumers poll: /v1/subjects/order/42
	if err := begin(n, mux); err != nil {
		return errors.Join(err, n.Close(), listener.Close())
	}
	server := api.NewServer(mux, s.node.Logger)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer func() {
		// The node first, so that polls that wait are told and end.
		err = errors.Join(err, n.Close(), shutDown(server))
	}()
	if err := writeAddresses(s.addrFile, addresses{n.Addr(), listener.Addr().String()}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	case <-n.Failed():
		return n.FailedBy()
	}
}

// shutDown lets requests end, for a while.
func shutDown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return cmp.Or(server.Shutdown(ctx), server.Close())
}

// addresses are where a service is reached.
type addresses struct{ Bind, HTTP string }

// writeAddresses tells whoever started a service where it is, all at once.
func writeAddresses(path string, a addresses) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
