package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// fault is something that goes wrong with a mesh for a while.
type fault struct {
	name string
	// silent are the agents that nothing is published on meanwhile.
	silent []int
	// hurt lasts as long as the fault does; heal puts everything right again
	// and returns at once.
	hurt func(m *mesh, hold time.Duration)
	heal func(m *mesh)
	// bit says what the fault did, so that one that did nothing is found: an
	// error says so.
	bit func(m *mesh) (string, error)
}

func (m *mesh) everybody() (all []int) {
	for i := range m.agents {
		all = append(all, i)
	}
	return all
}

// halves splits the agents by lot, none of them empty.
func (m *mesh) halves() (some, others []int) {
	all := m.everybody()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	cut := 1 + rand.IntN(len(all)-1)
	return all[:cut], all[cut:]
}

func healNetwork(m *mesh) { m.heal() }
func nothing(*mesh)       {}

func hold(_ *mesh, d time.Duration) { time.Sleep(d) }

func dropped(m *mesh) (string, error) {
	n := m.dropped() - m.droppedBefore
	m.droppedBefore += n
	if n == 0 {
		return "", fmt.Errorf("no frame was dropped")
	}
	return fmt.Sprintf("%d frames dropped", n), nil
}

var partition = fault{
	name: "partition",
	hurt: func(m *mesh, d time.Duration) {
		a, b := m.halves()
		m.mark("cut", a, b)
		m.mark("cut", b, a)
		hold(m, d)
	},
	heal: healNetwork, bit: dropped,
}

var oneWayPartition = fault{
	name: "one-way partition",
	hurt: func(m *mesh, d time.Duration) {
		a, b := m.halves()
		m.mark("cut", a, b)
		hold(m, d)
	},
	heal: healNetwork, bit: dropped,
}

var loss = fault{
	name: "30 % loss",
	hurt: func(m *mesh, d time.Duration) {
		m.mark("lossy", m.everybody(), m.everybody())
		hold(m, d)
	},
	heal: healNetwork, bit: dropped,
}

// relayed is a fault that the relay makes.
func relayed(name string, c conduct) fault {
	return fault{
		name: name,
		hurt: func(m *mesh, d time.Duration) {
			m.relay.begin(c)
			hold(m, d)
		},
		heal: healNetwork,
		bit: func(m *mesh) (string, error) {
			frames, overtook, twice := m.relay.frames.Swap(0), m.relay.overtook.Swap(0), m.relay.twice.Swap(0)
			switch {
			case frames == 0:
				return "", fmt.Errorf("no frame went through the relay")
			case c.twice > 0 && (twice == 0 || overtook == 0):
				return "", fmt.Errorf("of %d frames %d were doubled and %d overtook another", frames, twice, overtook)
			}
			return fmt.Sprintf("%d frames, %d overtook another, %d doubled", frames, overtook, twice), nil
		},
	}
}

var (
	delay  = relayed("delay of 100 ms", conduct{least: 100 * time.Millisecond, most: 100 * time.Millisecond})
	jumble = relayed("duplicates and reordering", conduct{most: 30 * time.Millisecond, twice: 20})
)

// kills ends one agent after the other as a crash does, and starts it again at
// once, a number of times.
func kills(n int) fault {
	return fault{
		name: "kill -9",
		hurt: func(m *mesh, _ time.Duration) {
			for range n {
				time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
				a := m.agents[rand.IntN(len(m.agents))]
				a.kill()
				a.run()
			}
		},
		heal: nothing,
		bit:  func(*mesh) (string, error) { return fmt.Sprintf("%d kills", n), nil },
	}
}

// pause stops the process of one agent or two, as a machine that hangs does.
var pause = fault{
	name: "SIGSTOP",
	hurt: func(m *mesh, d time.Duration) {
		all := m.everybody()
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		m.paused = slices.Clone(all[:1+rand.IntN(2)])
		for _, i := range m.paused {
			m.signal(i, syscall.SIGSTOP)
		}
		hold(m, d)
	},
	heal: func(m *mesh) {
		for _, i := range m.paused {
			m.signal(i, syscall.SIGCONT)
		}
	},
	bit: func(m *mesh) (string, error) {
		return fmt.Sprintf("%d of %d paused", len(m.paused), len(m.agents)), nil
	},
}

func (m *mesh) signal(i int, s syscall.Signal) {
	if err := m.agents[i].cmd.Process.Signal(s); err != nil {
		m.t.Errorf("%s to %s: %v", s, m.agents[i].name, err)
	}
}

// rolling has every agent leave and come back, one after the other, as an
// upgrade does.
var rolling = fault{
	name: "rolling restart",
	hurt: func(m *mesh, _ time.Duration) {
		for _, a := range m.agents {
			if err := a.stop(); err != nil {
				m.t.Errorf("%s: %v", a.name, err)
			}
			a.run()
		}
	},
	heal: nothing,
	bit:  func(m *mesh) (string, error) { return fmt.Sprintf("%d restarts", len(m.agents)), nil },
}

// churn has a node join, one leave and come back, and others die.
var churn = fault{
	name: "churn",
	hurt: func(m *mesh, d time.Duration) {
		if len(m.agents) < maxAgents {
			latecomer.hurt(m, d/2)
		}
		kills(2).hurt(m, 0)
		a := m.agents[rand.IntN(len(m.agents))]
		if err := a.stop(); err != nil {
			m.t.Errorf("%s: %v", a.name, err)
		}
		hold(m, d/2)
		a.run()
	},
	heal: nothing,
	bit: func(m *mesh) (string, error) {
		return fmt.Sprintf("2 kills, one left and came back, %d nodes now", len(m.agents)), nil
	},
}

// during is a fault while another one lasts.
func during(outer, inner fault) fault {
	return fault{
		name: inner.name + " during " + outer.name, silent: inner.silent,
		hurt: func(m *mesh, d time.Duration) {
			outer.hurt(m, 0)
			inner.hurt(m, d)
		},
		heal: func(m *mesh) {
			inner.heal(m)
			outer.heal(m)
		},
		bit: func(m *mesh) (string, error) {
			a, err := outer.bit(m)
			b, other := inner.bit(m)
			return a + ", " + b, errors.Join(err, other)
		},
	}
}
