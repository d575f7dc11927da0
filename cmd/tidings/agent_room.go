package main

import "fmt"

// room is how many HTTP connections and waiting requests an agent takes, so that
// neither its store nor its mesh ever lacks a file, and producers find a place
// while consumers wait.
type room struct {
	connections, waiters int
}

const (
	// ownFiles are those that connections leave to the store, which opens up to
	// 1,000, and to a mesh of some hundred members; half of them all at most.
	ownFiles = 2048
	// forOthers is the share of connections that waiting requests leave to others.
	forOthers = 8
	// mostConnections and mostWaiters bound what they take in memory, some 30 KB each.
	mostConnections = 64 << 10
	mostWaiters     = 20_000
	// fewFiles is below what a large store and a mesh may need.
	fewFiles = 2 * ownFiles
)

// roomFor divides the files that the process may open, 0 for no limit. asked are
// the requests that shall be able to wait, 0 for as many as there is room for.
func roomFor(files uint64, asked int) (room, error) {
	r := room{connections: mostConnections}
	if files > 0 {
		own := min(ownFiles, files/2)
		r.connections = int(min(files-own, mostConnections))
	}
	most := max(r.connections-r.connections/forOthers, 1)
	switch {
	case asked == 0:
		r.waiters = min(most, mostWaiters)
	case asked > most:
		return room{}, usagef("--max-waiters %d: the limit of open files, %s, leaves room for %d; raise it (ulimit -n), or ask for fewer",
			asked, filesText(files), most)
	default:
		r.waiters = asked
	}
	return r, nil
}

func filesText(files uint64) string {
	if files == 0 {
		return "none"
	}
	return fmt.Sprint(files)
}
