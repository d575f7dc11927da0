package gossip

import (
	"encoding/binary"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// What a node tells without being asked it tells in rounds, beaconEvery apart and at
// a moment of its own: else all nodes would tell each other in the same moment, some
// time after the update that all of them received, and who publishes just then would
// wait behind that. In each round it pings a part of its peers.
const pingRounds = int(pingEvery / beaconEvery)

// phaseOf is when a node's rounds are, of beaconEvery.
func phaseOf(o chain.Origin) time.Duration {
	return time.Duration(binary.BigEndian.Uint64(o[:]) % uint64(beaconEvery))
}

// nextRound is when the next round is.
func (e *Engine) nextRound() time.Duration { return nextMoment(e.at.Mono, beaconEvery, e.phase) }

// nextPing is when the next of those rounds is in which a peer is pinged.
func (e *Engine) nextPing(p *peer) time.Duration {
	round := (int(e.self[8]) + int(p.origin[8])) % pingRounds
	return nextMoment(e.at.Mono, pingEvery, e.phase+time.Duration(round)*beaconEvery)
}

// nextMoment is the first after now that is a multiple of every, and phase.
func nextMoment(now, every, phase time.Duration) time.Duration {
	since := (now - phase) % every
	if since < 0 {
		since += every
	}
	return now + every - since
}
