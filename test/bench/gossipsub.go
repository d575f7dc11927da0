package main

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// gossipsub at its best on loopback: TCP, no encryption, no signatures, mesh
// degree 6, queues of 16 Ki to each peer and to the subscriber. It keeps
// nothing.
var gossipsubTuned = harness.Spec{
	Name:    "gossipsub-tuned",
	Durable: "nothing",
	Loss:    "drops when a queue of 16 Ki is full; IHAVE/IWANT repairs the last 3 to 5 heartbeats (1 s)",
	Windows: []int{256},
	Settle:  4 * time.Second,
	Start: func(env harness.Env) (harness.Mesh, error) {
		return startGossipsub(env, []libp2p.Option{libp2p.NoSecurity}, []pubsub.Option{
			pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
			pubsub.WithNoAuthor(),
			pubsub.WithMessageIdFn(func(m *pb.Message) string { return string(harness.PayloadID(m.GetData())) }),
			pubsub.WithPeerOutboundQueueSize(1 << 14),
			pubsub.WithValidateQueueSize(1 << 14),
		}, pubsub.WithBufferSize(1<<14))
	},
}

type gossipsubMesh struct {
	stop   context.CancelFunc
	ctx    context.Context
	hosts  []host.Host
	topics []*pubsub.Topic
}

func startGossipsub(env harness.Env, hostOpts []libp2p.Option, opts []pubsub.Option, subOpts ...pubsub.SubOpt) (harness.Mesh, error) {
	ctx, stop := context.WithCancel(context.Background())
	m := &gossipsubMesh{ctx: ctx, stop: stop}
	for i := range env.N {
		h, err := libp2p.New(append([]libp2p.Option{
			libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
			libp2p.ResourceManager(&network.NullResourceManager{}),
			libp2p.DisableRelay(),
		}, hostOpts...)...)
		if err != nil {
			return nil, err
		}
		ps, err := pubsub.NewGossipSub(ctx, h, opts...)
		if err != nil {
			return nil, err
		}
		topic, err := ps.Join("updates")
		if err != nil {
			return nil, err
		}
		sub, err := topic.Subscribe(subOpts...)
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				msg, err := sub.Next(ctx)
				if err != nil {
					return
				}
				env.Deliver(i, msg.Data)
			}
		}()
		m.hosts, m.topics = append(m.hosts, h), append(m.topics, topic)
	}
	for i, a := range m.hosts {
		for _, b := range m.hosts[:i] {
			if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
				return nil, err
			}
		}
	}
	return m, waitFor(20*time.Second, func() bool {
		for _, t := range m.topics {
			if len(t.ListPeers()) != env.N-1 {
				return false
			}
		}
		return true
	})
}

func (m *gossipsubMesh) Publish(node int, payload []byte) error {
	return m.topics[node].Publish(m.ctx, payload)
}

func (m *gossipsubMesh) Close() {
	m.stop()
	for _, h := range m.hosts {
		h.Close()
	}
}
