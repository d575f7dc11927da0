package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/node"
	"github.com/tidings-mesh/tidings/node/client"
)

// demoMesh is three real nodes in one process: each has its directory, its
// sockets on loopback and its HTTP listener.
type demoMesh struct {
	dir   string
	log   *slog.Logger
	nodes []*demoNode // in the order of their first starts
}

// demoNode is one of them. It can be stopped and started again.
type demoNode struct {
	authority string
	origin    string
	bind      string // where it talks to the others
	http      string // where it serves
	agent     *agent // nil while stopped
}

// demoTimeout is how long a node may take for an answer.
const demoTimeout = 5 * time.Second

// start starts an authority's node, new or as it was stopped, and lets it join
// others.
func (m *demoMesh) start(ctx context.Context, authority string, join ...*demoNode) (*demoNode, error) {
	n := m.of(authority)
	if n == nil {
		n = &demoNode{authority: authority}
		m.nodes = append(m.nodes, n)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cfg := node.Config{
		Name: authority + "-1", Authority: authority, DataDir: filepath.Join(m.dir, authority), Bind: "127.0.0.1:0",
		AdvertiseHTTP: listener.Addr().String(), Logger: m.log, Version: build().Version,
	}
	for _, other := range join {
		cfg.Join = append(cfg.Join, other.bind)
	}
	opened, err := node.Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	n.agent = &agent{log: m.log, stops: []func() error{opened.Close}}
	n.agent.serve(listener, opened.Handler())
	n.origin, n.bind, n.http = opened.Origin().String(), opened.Addr(), "http://"+listener.Addr().String()
	return n, nil
}

// stop stops a node in order.
func (n *demoNode) stop() error {
	if n.agent == nil {
		return nil
	}
	err := n.agent.stopInTime()
	n.agent = nil
	return err
}

// stop stops all nodes side by side.
func (m *demoMesh) stop() error {
	errs := make([]error, len(m.nodes))
	var wg sync.WaitGroup
	for i, n := range m.nodes {
		wg.Go(func() { errs[i] = n.stop() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// of is an authority's node, nil if it was never started.
func (m *demoMesh) of(authority string) *demoNode {
	for _, n := range m.nodes {
		if n.authority == authority {
			return n
		}
	}
	return nil
}

// running are the nodes that are not stopped.
func (m *demoMesh) running() (up []*demoNode) {
	for _, n := range m.nodes {
		if n.agent != nil {
			up = append(up, n)
		}
	}
	return up
}

// client asks this node only.
func (n *demoNode) client() *client.Client {
	return client.New(client.Config{Endpoints: []string{n.http}, Timeout: demoTimeout, Transport: demoTransport})
}

// demoTransport keeps no connection, so that no stopped node is waited for.
var demoTransport = &http.Transport{DisableKeepAlives: true}

func (n *demoNode) get(ctx context.Context, path string, query url.Values) (*client.Answer, error) {
	return n.client().Do(ctx, client.Request{Path: path, Query: query, Wait: demoTimeout})
}

// settle waits until all running nodes know each other and are the same.
func (m *demoMesh) settle(ctx context.Context) (root string, err error) {
	up := m.running()
	for start := time.Now(); ; {
		var missing string
		for i, n := range up {
			mesh, err := n.client().Mesh(ctx)
			if err != nil {
				return "", err
			}
			alive := 0
			for _, member := range mesh.Members {
				if member.Status == "alive" {
					alive++
				}
			}
			if i == 0 {
				root = mesh.Root.String()
			}
			switch {
			case alive != len(up):
				missing = fmt.Sprintf("%s sees %d nodes of %d", n.authority, alive, len(up))
			case mesh.Root.String() != root:
				missing = "roots differ"
			case !mesh.Converged:
				missing = n.authority + " is not converged"
			}
		}
		if missing == "" {
			return root, nil
		}
		if time.Since(start) > 2*demoTimeout {
			return "", fmt.Errorf("the nodes did not become one mesh: %s", missing)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return "", err
		}
	}
}
