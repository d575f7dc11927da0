package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// What a user would pick instead: a cluster of 3 embedded NATS servers, node i
// a client of server i mod 3 over loopback TCP. A stream of 3 replicas in
// files, each append synced; Publish waits for the stream's ack. Each node has
// an ordered push consumer.
var natsStreamSync = harness.Spec{
	Name:       "nats-js-r3-sync",
	Durable:    "fsynced (sync_interval: always) on 2 of 3 servers when Publish returns",
	Loss:       "at least once into the stream, ordered to each consumer",
	Synced:     true,
	Windows:    []int{256},
	Publishers: 192,
	Settle:     time.Second,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startNATS(env, true, false)
	},
}

// The same as it comes: an append is in the page cache when Publish returns, and
// is synced within two minutes.
var natsStream = harness.Spec{
	Name:       "nats-js-r3",
	Durable:    "in the page cache of 2 of 3 servers when Publish returns, synced every 2 min",
	Loss:       natsStreamSync.Loss,
	Windows:    natsStreamSync.Windows,
	Publishers: natsStreamSync.Publishers,
	Settle:     natsStreamSync.Settle,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startNATS(env, false, false)
	},
}

// The same, synced, without waiting for the ack of one update before the next is sent.
var natsStreamSyncQueue = harness.Spec{
	Name:       "nats-js-r3-sync-queue",
	Durable:    "nothing when PublishAsync returns; fsynced on 2 of 3 servers before it is delivered",
	Loss:       natsStreamSync.Loss,
	Synced:     true,
	Windows:    natsStreamSync.Windows,
	Publishers: natsStreamSync.Publishers,
	Settle:     natsStreamSync.Settle,
	Start:      func(env harness.Env) (harness.Mesh, error) { return startNATS(env, true, true) },
}

type natsMesh struct {
	queue   bool
	servers []*server.Server
	conns   []*nats.Conn
	streams []nats.JetStreamContext
}

func startNATS(env harness.Env, syncAlways, queue bool) (harness.Mesh, error) {
	m := &natsMesh{queue: queue}
	if err := m.startServers(env.Dir, syncAlways); err != nil {
		return nil, err
	}
	for i := range env.N {
		c, err := nats.Connect(m.servers[i%len(m.servers)].ClientURL(), nats.Name(fmt.Sprint("n", i)))
		if err != nil {
			return nil, err
		}
		m.conns = append(m.conns, c)
		js, err := c.JetStream(nats.MaxWait(10 * time.Second))
		if err != nil {
			return nil, err
		}
		m.streams = append(m.streams, js)
	}
	return m, m.startStream(env)
}

func (m *natsMesh) startServers(dir string, syncAlways bool) error {
	const cluster = 3
	ports, err := harness.FreePorts(cluster)
	if err != nil {
		return err
	}
	var routes []*url.URL
	for _, p := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: harness.Loopback(p)})
	}
	for i := range cluster {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("s", i),
			Host:       "127.0.0.1",
			Port:       server.RANDOM_PORT,
			Cluster:    server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]},
			Routes:     routes,
			JetStream:  true,
			StoreDir:   filepath.Join(dir, fmt.Sprint("s", i)),
			SyncAlways: syncAlways,
			NoLog:      true,
			NoSigs:     true,
		})
		if err != nil {
			return err
		}
		go s.Start()
		m.servers = append(m.servers, s)
	}
	for _, s := range m.servers {
		if !s.ReadyForConnections(10 * time.Second) {
			return fmt.Errorf("%s is not ready", s.Name())
		}
	}
	return waitFor(15*time.Second, func() bool {
		for _, s := range m.servers {
			if s.NumRoutes() == 0 {
				return false
			}
		}
		return true
	})
}

func (m *natsMesh) startStream(env harness.Env) error {
	var last error
	if err := waitFor(20*time.Second, func() bool {
		_, last = m.streams[0].AddStream(&nats.StreamConfig{
			Name: "UPD", Subjects: []string{"upd.>"}, Replicas: 3, Storage: nats.FileStorage,
		}, nats.MaxWait(2*time.Second))
		return last == nil
	}); err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	for i, js := range m.streams {
		_, err := js.Subscribe("upd.>", func(msg *nats.Msg) { env.Deliver(i, msg.Data) }, nats.OrderedConsumer())
		if err != nil {
			return fmt.Errorf("consumer %d: %w", i, err)
		}
	}
	return nil
}

func (m *natsMesh) Publish(node int, payload []byte) error {
	if m.queue {
		_, err := m.streams[node].PublishAsync(fmt.Sprint("upd.", node), payload)
		return err
	}
	_, err := m.streams[node].Publish(fmt.Sprint("upd.", node), payload)
	return err
}

func (m *natsMesh) Close() {
	for _, c := range m.conns {
		c.Close()
	}
	for _, s := range m.servers {
		s.Shutdown()
	}
}
