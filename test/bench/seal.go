package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/tidings-mesh/tidings/chain/ed25519table"
	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// The floor of what Tidings promises of an update: it is synced at its publisher
// before anybody is sent it, signed, and verified by each node before it counts there.
// Updates that wait for one sync share it, and the signature. Receivers store nothing.
var tcpSealFloor = harness.Spec{
	Name:       "tcp-seal-floor",
	Durable:    "fsynced at the publisher before it is sent, nothing at a receiver",
	Loss:       "none while every connection lives",
	Synced:     true,
	Windows:    []int{1024},
	Publishers: 192,
	Start:      startSeal,
}

type sealMesh struct {
	*tcpMesh
	nodes []*sealNode
}

type sealNode struct {
	key     ed25519.PrivateKey
	public  ed25519.PublicKey
	waiting chan sealDraft
}

type sealDraft struct {
	payload []byte
	done    *sync.WaitGroup
}

// sealMost bounds the updates of a run.
const sealMost = 4096

func startSeal(env harness.Env) (harness.Mesh, error) {
	m := &sealMesh{}
	for range env.N {
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		m.nodes = append(m.nodes, &sealNode{key, public, make(chan sealDraft, sealMost)})
	}
	var err error
	if m.tcpMesh, err = startTCP(env, true, m.arrive); err != nil {
		return nil, err
	}
	for i := range m.nodes {
		go m.commit(i)
	}
	return m, nil
}

// commit syncs what waits as one run, signs it meanwhile, and only then sends it.
func (m *sealMesh) commit(node int) {
	n := m.nodes[node]
	synced := make(chan struct{})
	for d := range n.waiting {
		run := []sealDraft{d}
		for len(run) < sealMost && len(n.waiting) > 0 {
			run = append(run, <-n.waiting)
		}
		frame := make([]byte, 1+ed25519.SignatureSize)
		frame[0] = byte(node)
		for _, d := range run {
			frame = binary.LittleEndian.AppendUint32(frame, uint32(len(d.payload)))
			frame = append(frame, d.payload...)
		}
		hash := sha256.Sum256(frame[1+ed25519.SignatureSize:])
		m.logs[node].Append(frame[1+ed25519.SignatureSize:], func() { synced <- struct{}{} })
		copy(frame[1:], ed25519.Sign(n.key, hash[:])) // meanwhile
		<-synced
		for _, d := range run {
			m.env.Deliver(node, d.payload)
			d.done.Done()
		}
		m.send(node, frame)
	}
}

// arrive verifies a run, and delivers what is in it.
func (m *sealMesh) arrive(node int, frame []byte) {
	from, seal, body := m.nodes[frame[0]], frame[1:1+ed25519.SignatureSize], frame[1+ed25519.SignatureSize:]
	hash := sha256.Sum256(body)
	if !ed25519table.Verify(from.public, hash[:], seal) {
		panic("a run that nobody signed")
	}
	for len(body) > 0 {
		end := 4 + binary.LittleEndian.Uint32(body)
		m.env.Deliver(node, body[4:end])
		body = body[end:]
	}
}

func (m *sealMesh) Publish(node int, payload []byte) error {
	var done sync.WaitGroup
	done.Add(1)
	m.nodes[node].waiting <- sealDraft{payload, &done}
	done.Wait()
	return nil
}
