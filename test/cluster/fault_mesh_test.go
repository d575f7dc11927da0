package cluster

import "testing"

// The network between five agents fails in every way while they are published
// to, and heals.
func TestFaultsOfTheNetwork(t *testing.T) {
	t.Parallel()
	m := newMesh(t, nil)
	for _, f := range []fault{partition, oneWayPartition, loss, jumble, delay, during(partition, churn)} {
		m.suffer(f, *updates, *held)
	}
	m.check()
}

// Processes of five agents are killed, paused and restarted while they are
// published to.
func TestFaultsOfProcesses(t *testing.T) {
	t.Parallel()
	m := newMesh(t, nil)
	m.suffer(kills(*killed), *updates, *held)
	m.suffer(pause, *updates, *held)
	m.suffer(rolling, *updates, *held)
	m.check()
}
