package sim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// plantings are the defects, each with what it takes to show and the invariants
// whose checkers are meant to catch it.
var plantings = []struct {
	defect Defect
	faults Fault
	meant  string // invariants; any of them
}{
	{LazySync, Crashes | TornTails, "C1 C2"},
	{SendBeforeSync, Crashes | TornTails | Partitions, "C2 C4"},
	{SyncErrorSwallowed, PowerCuts | TornTails | DiskErrors | Partitions, "C1"},
	{DurableBeforeSync, PowerCuts | TornTails | DiskLosses, "C1"}, // with two nodes: a third would have it too
	{AcksMiscounted, DiskLosses | Partitions, "C1"},
	{RecoverySkipped, Restores, "C2"},
	{NoteIgnored, TailLosses, "C2"},
	{KnownForgotten, Rollbacks, "C2"},
	{KeysForgotten, Crashes | LostAnswers, "C8"},
	{GapSkipped, Resets | TightQueues, "C2 C4"},
	{ForkAccepted, Restores, "C2"},
	{QueueDrops, noFaults, "C9"},
	{RepairIgnored, Crashes | DiskLosses | Partitions, "C9"},
	{AppliedTwice, noFaults, "C2"},
	{PublishedTwice, noFaults, "C8"},
	{FalseUnchanged, noFaults, "C1"},
	{FeedByOrigin, noFaults, "C3"},
	{HeldDelivered, Partitions | SlowLinks, "C3"},
	{ArrivalCursor, noFaults, "C6"},
	{CursorPastPage, noFaults, "C6"},
	{CursorGoesBack, Partitions, "C6"},
	{LostPollAdvances, LostAnswers, "C6"},
	{AtLeastIgnored, Partitions, "C7"},
	{ViewByArrival, Partitions, "C5"},
	{HistoryByArrival, Partitions, "C5"},
	{ClockRefusalIgnored, Jumps, "C9"},
	{HalfBatches, Crashes | TornTails, "C4 C5 broken:"},
	{FreezeIgnored, Forks, "C9"},
	{RetractionForgotten, Forks, "C6"},
	{RepublishForgotten, Forks, "C1"},
	{RepublishTwice, Forks | Crashes, "C8"},
	{PlaceFirst, Crashes | TornTails, "C10"},
	{PlaceForgotten, Crashes, "C10"},
	{AnswersIgnored, Restores, "C10"}, // with a node for each authority: else another one's answer shows it
	{LostPlaceAtEnd, DiskLosses | Partitions, "C10"},
	{ReportsIgnored, SlowLinks | Partitions, "C9"},
}

// Each defect is caught by the checker that is meant to, within some seeds;
// without it the same runs are good.
func TestDefectsAreCaught(t *testing.T) {
	planted := map[Defect]bool{NoDefect: true}
	for _, p := range plantings {
		planted[p.defect] = true
		t.Run(p.defect.String(), func(t *testing.T) {
			t.Parallel()
			catch(t, p.defect, p.faults, p.meant)
		})
	}
	for d := range defectsEnd {
		if !planted[d] {
			t.Errorf("%s is planted nowhere", d)
		}
	}
}

// catchSeeds is within how many seeds a defect has to show.
const catchSeeds = 150

func catch(t *testing.T, d Defect, faults Fault, meant string) {
	o := Options{Nodes: 4, Drafts: 60, Duration: 3 * time.Second, Faults: faults}
	switch d {
	case DurableBeforeSync:
		o.Nodes = 2
	case AnswersIgnored:
		o.Nodes = authorities
	}
	others := map[string]int{}
	for seed := uint64(1); seed <= catchSeeds; seed++ {
		o.Defect = d
		caught := invariants(Run(seed, o))
		for _, invariant := range caught {
			if !slices.Contains(strings.Fields(meant), invariant) {
				others[invariant]++
				continue
			}
			o.Defect = NoDefect
			if wrong := fault(Run(seed, o)); wrong != "" {
				t.Errorf("seed %d is bad without it: %s", seed, wrong)
			}
			t.Logf("caught as %s by seed %d", caught, seed)
			return
		}
	}
	t.Errorf("%d seeds with %s did not show it as %s, but as %v", catchSeeds, o, meant, others)
}

// invariants are those that a run breaks.
func invariants(r Result) (broken []string) {
	if r.Broken != "" {
		broken = append(broken, "broken:")
	}
	seen := map[string]bool{}
	for _, v := range Check(&r.History) {
		if !seen[v.Invariant] {
			seen[v.Invariant] = true
			broken = append(broken, v.Invariant)
		}
	}
	return broken
}
