package sim

import "time"

// Shrink takes from a run's options as long as it still fails: whole kinds of
// faults, then nodes, drafts and time. It runs the seed at most most times.
func Shrink(seed uint64, o Options, most int, fails func(Result) bool) Options {
	runs := 0
	try := func(smaller Options) bool {
		if runs >= most || smaller == o || !fails(Run(seed, smaller)) {
			runs++
			return false
		}
		runs++
		o = smaller
		return true
	}
	for again := true; again && runs < most; {
		again = false
		for _, k := range o.Faults.Each() {
			smaller := o
			smaller.Faults &^= k
			again = try(smaller) || again
		}
		for _, by := range []int{2, 1} {
			smaller := o
			smaller.Nodes = max(o.Nodes-by, 2)
			again = try(smaller) || again
		}
		for _, part := range []int{4, 2} { // a quarter of it, then a half
			smaller := o
			smaller.Drafts = max(o.Drafts/part, 1)
			again = try(smaller) || again
			smaller = o
			smaller.Duration = max(o.Duration/time.Duration(part), 100*time.Millisecond).Round(time.Millisecond)
			again = try(smaller) || again
		}
		smaller := o
		smaller.Drafts = max(o.Drafts-1, 1)
		again = try(smaller) || again
		smaller = o
		smaller.Duration = max(o.Duration*9/10, 100*time.Millisecond).Round(time.Millisecond)
		again = try(smaller) || again
	}
	return o
}
