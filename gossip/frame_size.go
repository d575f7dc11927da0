package gossip

// compressFrom is the number of updates from which a frame is compressed: below
// it there is little to gain, and latency to lose.
const compressFrom = 4

// runsOf returns the runs that a frame carries.
func runsOf(f Frame) []Run {
	switch f := f.(type) {
	case *Push:
		return f.Runs
	case *Served:
		return f.Runs
	}
	return nil
}

func updatesIn(f Frame) int {
	n := 0
	for _, r := range runsOf(f) {
		n += r.Updates()
	}
	return n
}

// encodedSize is the size of a frame, or a little more: closely enough to
// allocate and to account by.
func encodedSize(f Frame) int {
	const head = 32
	switch f := f.(type) {
	case *Hello:
		return 160
	case *Ping:
		return 72
	case *Heads:
		return head + maxHeadSize*len(f.Heads)
	case *Freeze:
		return head + len(f.Encoded)
	case *Frozen:
		return head + 36 + maxHeadSize*len(f.Ends)
	case *Hashes:
		return head + 36 + maxHashSize*len(f.Heads)
	case *Digest:
		return head + 36 + maxHeadSize*len(f.Heads)
	case *AppliedWanted:
		return head + maxHeadSize*len(f.Held)
	case *Applied:
		return head + maxHeadSize*len(f.Heads)
	case *Pull:
		return head + (18+2*9)*len(f.Ranges)
	case *Ack:
		return head + 34
	}
	n := head + 36 // a cover
	for _, r := range runsOf(f) {
		n += len(r.Encoded) + 5
	}
	return n
}
