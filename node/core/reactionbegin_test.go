package core_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
	"github.com/tidings-mesh/tidings/node/core"
)

// A name that is new begins with what comes; one that was told to, with all; one
// whose authority has answered, after that.
func TestWhereReactionsBegin(t *testing.T) {
	peer := newOrders(t, 5)
	s := store.Memory()
	r := newReactor(t, s, false)
	require.Equal(t, core.FromNow, r.from)
	r.take(peer.runs)
	r.react()
	once(t, 5, r.answers(), "what came")
	again := newReactor(t, s, false)
	require.Equal(t, core.GoesOn, again.from)
	again.next(false)

	late := newReactor(t, store.Memory(), true)
	require.Equal(t, core.FromFirst, late.from)
	late.take(peer.runs)
	require.Equal(t, chain.Seq(2), late.next(true).Update.ID.Seq)

	// A directory that was lost: the answers come back from peers, as another
	// chain of the authority.
	peer.publish("order/9", `{"n":9}`)
	lost := newNode(t, store.Memory(), 3)
	lost.take(runsOf(t, r.archive, peer.ledger.Origin(), r.ledger.Origin()))
	lost.take(peer.runs[len(peer.runs)-1:])
	lost.begin(false)
	require.Equal(t, core.FromAnswers, lost.from)
	require.Equal(t, `{"n":9}`, string(lost.next(true).Update.Delta), "neither what is answered, nor what needed none before it")
}

// A directory that was lost takes with it what was dealt with. What came too late
// for an answer gets one all the same, though what is later by its time has one.
// What comes before an answered update on its chain, or is what that depends on,
// was dealt with; so was, at a guess, what is older than all that was answered.
func TestLateTriggersOfALostDirectory(t *testing.T) {
	fleet, warehouse, carrier := newAuthor(t, 5, "fleet"), newAuthor(t, 2, "warehouse"), newAuthor(t, 7, "carrier")
	at := int64(reactorStart - 100)
	say := func(o *orders, subject string) chain.ID {
		at++
		o.now = at
		return o.publish(subject, fmt.Sprintf(`{"at":%d}`, at))
	}
	say(fleet, "order/1") // before all that is answered
	first := say(warehouse, "order/1")
	late := say(fleet, "order/2")
	say(carrier, "order/3") // gets no answer, and the next depends on it
	warehouse.hear(carrier.runs...)
	say(warehouse, "order/3")
	silent := say(carrier, "order/4") // gets none, as nothing shows
	say(warehouse, "order/5")         // gets none, and the next has one
	last := say(warehouse, "order/6")

	r := newReactor(t, store.Memory(), false)
	r.take(carrier.runs)
	r.take(warehouse.runs)
	for range 6 {
		trigger := r.next(true)
		r.now++
		if trigger.Authority == "warehouse" && trigger.Update.Subject != "order/5" {
			s, err := r.way.Settle(trigger, answerTo(trigger))
			require.NoError(t, err)
			require.True(t, r.settle(s).Moved)
		}
		r.way.Pass()
	}
	r.next(false)
	require.Contains(t, r.answers(), first)
	require.Contains(t, r.answers(), last)
	require.Len(t, r.answers(), 3)

	lost := newNode(t, store.Memory(), 3)
	for _, runs := range [][]*chain.Run{fleet.runs, carrier.runs, warehouse.runs, runsOf(t, r.archive, r.ledger.Origin())} {
		lost.take(runs)
	}
	lost.begin(false)
	require.Equal(t, core.FromAnswers, lost.from)
	var asked []chain.ID
	for range 2 {
		asked = append(asked, lost.next(true).Update.ID)
		lost.way.Pass()
	}
	lost.next(false)
	require.Equal(t, []chain.ID{late, silent}, asked)
}

func runsOf(t *testing.T, a *chain.Archive, origins ...chain.Origin) (runs []*chain.Run) {
	t.Helper()
	for _, o := range origins {
		encoded, err := a.Runs(o, 1, 1<<20)
		require.NoError(t, err)
		for _, b := range encoded {
			r, err := chain.DecodeRun(b)
			require.NoError(t, err)
			runs = append(runs, r)
		}
	}
	return runs
}
