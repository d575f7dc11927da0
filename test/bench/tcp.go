package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// The floor: one TCP connection per ordered pair of nodes, length-prefixed
// frames, no protocol at all.
var tcpFloor = harness.Spec{
	Name:    "tcp-floor",
	Durable: "nothing",
	Loss:    "none while every connection lives",
	Windows: []int{1024},
	Start:   func(env harness.Env) (harness.Mesh, error) { return startTCP(env, false, nil) },
}

// The durable floor: as above, but the publisher and every receiver append
// the update to a log of their own, and fsync in groups, before it counts.
var tcpLogFloor = harness.Spec{
	Name:       "tcp-log-floor",
	Durable:    "fsynced at the publisher when Publish returns, at each receiver when delivered",
	Loss:       "none while every connection lives",
	Synced:     true,
	Windows:    []int{1024},
	Publishers: 192,
	Start:      func(env harness.Env) (harness.Mesh, error) { return startTCP(env, true, nil) },
}

type tcpMesh struct {
	env   harness.Env
	conns []net.Conn
	lns   []net.Listener
	out   [][]chan []byte // out[from][to]
	logs  []*harness.GroupLog
	// arrive takes a frame that a node received.
	arrive func(node int, frame []byte)
}

// startTCP opens the connections, and logs if it is to be durable. A nil arrive
// delivers frames as they are.
func startTCP(env harness.Env, durable bool, arrive func(int, []byte)) (*tcpMesh, error) {
	m := &tcpMesh{env: env, out: make([][]chan []byte, env.N), arrive: arrive}
	if arrive == nil {
		m.arrive = m.deliver
	}
	for i := range env.N {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		m.lns = append(m.lns, l)
		go m.accept(i, l)
		if durable {
			g, err := harness.OpenGroupLog(filepath.Join(env.Dir, strconv.Itoa(i)+".log"))
			if err != nil {
				return nil, err
			}
			m.logs = append(m.logs, g)
		}
	}
	for from := range env.N {
		m.out[from] = make([]chan []byte, env.N)
		for to := range env.N {
			if to == from {
				continue
			}
			c, err := net.Dial("tcp", m.lns[to].Addr().String())
			if err != nil {
				return nil, err
			}
			m.conns = append(m.conns, c)
			ch := make(chan []byte, 1024)
			m.out[from][to] = ch
			go writeFrames(c, ch)
		}
	}
	return m, nil
}

func (m *tcpMesh) accept(node int, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go m.readFrames(node, c)
	}
}

// writeFrames batches: it flushes only when nothing more is waiting.
func writeFrames(c net.Conn, ch chan []byte) {
	w := bufio.NewWriterSize(c, 64<<10)
	var head [4]byte
	for p := range ch {
		binary.LittleEndian.PutUint32(head[:], uint32(len(p)))
		w.Write(head[:])
		w.Write(p)
		if len(ch) == 0 {
			if w.Flush() != nil {
				return
			}
		}
	}
}

func (m *tcpMesh) readFrames(node int, c net.Conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		p := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, p); err != nil {
			return
		}
		m.arrive(node, p)
	}
}

func (m *tcpMesh) deliver(node int, p []byte) {
	if m.logs == nil {
		m.env.Deliver(node, p)
		return
	}
	m.logs[node].Append(p, func() { m.env.Deliver(node, p) })
}

func (m *tcpMesh) Publish(node int, payload []byte) error {
	var local sync.WaitGroup
	if m.logs != nil {
		local.Add(1)
		m.logs[node].Append(payload, func() { m.env.Deliver(node, payload); local.Done() })
	} else {
		m.env.Deliver(node, payload)
	}
	m.send(node, payload)
	local.Wait()
	return nil
}

// send gives a frame to all other nodes.
func (m *tcpMesh) send(from int, frame []byte) {
	for to, ch := range m.out[from] {
		if to != from {
			ch <- frame
		}
	}
}

func (m *tcpMesh) Close() {
	for _, l := range m.lns {
		l.Close()
	}
	for _, c := range m.conns {
		c.Close()
	}
	for _, g := range m.logs {
		g.Close()
	}
}
