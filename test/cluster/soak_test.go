package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestSoak has one mesh after the other suffer from 50 kills and from faults by
// lot, of any length up to a minute, until the time is up.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("-args -soak 1h says how long")
	}
	defer figures.report(t)
	began := time.Now()
	for i := 1; time.Since(began) < *soakFor && !t.Failed(); i++ {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			m := newMesh(t, smallDisk)
			m.loseDisk()
			m.suffer(kills(50), *updates, *held)
			for _, f := range someFaults(4) {
				m.suffer(f, *updates, time.Second+rand.N(4*(*held)))
			}
			minute := *held
			if i%5 == 1 {
				minute = time.Minute
			}
			m.suffer(pause, *updates, minute)
			m.check()
		})
	}
}

// someFaults draws faults by lot, and puts those in order that need it.
func someFaults(n int) (drawn []fault) {
	groups := [][]fault{
		{partition},
		{oneWayPartition},
		{loss},
		{jumble},
		{delay},
		{rolling},
		{pause},
		{during(loss, jumble)},
		{backedUp, restored},
		{lostDisk},
		{diskFull},
		{latecomer},
		{latecomer, partition},
	}
	rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	for _, g := range groups[:n] {
		drawn = append(drawn, g...)
	}
	return drawn
}
