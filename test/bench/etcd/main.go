// Command etcd is the row of etcd, in a program of its own: etcd and gossipsub
// each register a protobuf file rpc.proto, so they cannot share one. The
// comparison asks it for its row and runs it like itself.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

func main() { os.Exit(harness.Main([]harness.Spec{etcd})) }

const (
	members   = 3
	readyTime = 30 * time.Second
)

// A cluster of 3 embedded members. Node i puts under a key of its own at member
// i mod 3, over loopback TCP, and watches all nodes' keys there.
var etcd = harness.Spec{
	Name:       "etcd",
	Durable:    "fsynced on 2 of 3 members when Publish returns",
	Loss:       "none; a watch resumes by revision",
	Synced:     true,
	Windows:    []int{256},
	Publishers: 192,
	Settle:     time.Second,
	Start:      startEtcd,
}

type mesh struct {
	ctx     context.Context
	stop    context.CancelFunc
	members []*embed.Etcd
	clients []*clientv3.Client
}

func startEtcd(env harness.Env) (harness.Mesh, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &mesh{ctx: ctx, stop: stop}
	ports, err := harness.FreePorts(2 * members)
	if err != nil {
		return nil, err
	}
	if err := m.startMembers(env.Dir, ports); err != nil {
		return nil, err
	}
	for i := range env.N {
		if err := m.startClient(i, ports[members+i%members], env.Deliver); err != nil {
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
	}
	return m, nil
}

func loopback(port int) url.URL { return url.URL{Scheme: "http", Host: harness.Loopback(port)} }

// startMembers starts the cluster: its own ports are the first ones, clients'
// follow.
func (m *mesh) startMembers(dir string, ports []int) error {
	var initial []string
	for i := range members {
		u := loopback(ports[i])
		initial = append(initial, fmt.Sprintf("m%d=%s", i, u.String()))
	}
	started := make(chan error, members)
	m.members = make([]*embed.Etcd, members)
	for i := range members {
		c := embed.NewConfig()
		c.Name = fmt.Sprint("m", i)
		c.Dir = filepath.Join(dir, c.Name)
		c.ListenPeerUrls = []url.URL{loopback(ports[i])}
		c.AdvertisePeerUrls = c.ListenPeerUrls
		c.ListenClientUrls = []url.URL{loopback(ports[members+i])}
		c.AdvertiseClientUrls = c.ListenClientUrls
		c.InitialCluster = strings.Join(initial, ",")
		c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		go func() {
			e, err := embed.StartEtcd(c)
			if err == nil {
				m.members[i] = e
				select {
				case <-e.Server.ReadyNotify():
				case <-time.After(readyTime):
					err = fmt.Errorf("%s is not ready after %s", c.Name, readyTime)
				}
			}
			started <- err
		}()
	}
	for range members {
		if err := <-started; err != nil {
			return err
		}
	}
	return nil
}

func (m *mesh) startClient(node, port int, deliver harness.Deliver) error {
	u := loopback(port)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{u.String()}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	m.clients = append(m.clients, c)
	watch := c.Watch(m.ctx, "u/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := <-watch; !r.Created {
		return fmt.Errorf("watch: %w", r.Err())
	}
	go func() {
		for r := range watch {
			for _, e := range r.Events {
				deliver(node, e.Kv.Value)
			}
		}
	}()
	return nil
}

func (m *mesh) Publish(node int, payload []byte) error {
	_, err := m.clients[node].Put(m.ctx, fmt.Sprint("u/", node), string(payload))
	return err
}

func (m *mesh) Close() {
	m.stop()
	for _, c := range m.clients {
		_ = c.Close() // its context has ended, which it reports
	}
	for _, e := range m.members {
		e.Close()
	}
}
