package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// After TLS, the dialler sends a hello and the acceptor an answer, both of fixed
// size, integers big-endian:
//
//	hello   version(1) purpose(1) epoch(8) proof(32)
//	answer  version(1) verdict(1) flags(1) epoch(8) proof(32)
//
// version, purpose and verdict keep their places in every later version, so
// that two versions can tell each other so. An answer that refuses has zeros
// after its verdict, and the acceptor closes the connection after it.
const (
	helloSize  = 1 + 1 + 8 + proofSize
	answerSize = 1 + 1 + 1 + 8 + proofSize
)

// What a dialler wants.
const (
	purposeStream = 1 // frames, until one end closes
	purposeProbe  = 2 // the answer only: who is there, and since when
)

// What an acceptor says.
const (
	verdictWelcome   = 0
	verdictVersion   = 1 // another version than mine
	verdictMeshKey   = 2
	verdictDuplicate = 3 // the stream that is open stays
	verdictStale     = 4 // a newer start of you is connected
	verdictSelf      = 5 // you are me
	verdictTwin      = 6 // you have my key and are another start
	verdictBusy      = 7
	verdictClosing   = 8
	verdictStarting  = 9 // not serving yet
	verdictLast      = verdictStarting
)

// flagSettled says that the acceptor has been here for a while: of two twins it
// is the first.
const flagSettled = 1

var errHello = errors.New("malformed hello")

type hello struct {
	version, purpose byte
	epoch            uint64
	proof            [proofSize]byte
}

func (h hello) encode() []byte {
	b := append(make([]byte, 0, helloSize), h.version, h.purpose)
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	return append(b, h.proof[:]...)
}

// decodeHello reads exactly helloSize bytes. Another version than
// StreamVersion is no error here: nothing after it is read then.
func decodeHello(b []byte) (hello, error) {
	if len(b) != helloSize {
		return hello{}, fmt.Errorf("%d bytes, want %d: %w", len(b), helloSize, errHello)
	}
	h := hello{version: b[0]}
	if h.version != StreamVersion {
		return h, nil
	}
	h.purpose, h.epoch = b[1], binary.BigEndian.Uint64(b[2:])
	copy(h.proof[:], b[10:])
	if h.purpose != purposeStream && h.purpose != purposeProbe {
		return hello{}, fmt.Errorf("purpose %d: %w", h.purpose, errHello)
	}
	return h, nil
}

type answer struct {
	version, verdict, flags byte
	epoch                   uint64
	proof                   [proofSize]byte
}

func (a answer) encode() []byte {
	b := append(make([]byte, 0, answerSize), a.version, a.verdict, a.flags)
	b = binary.BigEndian.AppendUint64(b, a.epoch)
	return append(b, a.proof[:]...)
}

// decodeAnswer reads exactly answerSize bytes, as decodeHello does.
func decodeAnswer(b []byte) (answer, error) {
	if len(b) != answerSize {
		return answer{}, fmt.Errorf("%d bytes, want %d: %w", len(b), answerSize, errHello)
	}
	a := answer{version: b[0], verdict: b[1]}
	if a.version != StreamVersion {
		return a, nil
	}
	a.flags, a.epoch = b[2], binary.BigEndian.Uint64(b[3:])
	copy(a.proof[:], b[11:])
	switch {
	case a.verdict > verdictLast:
		return answer{}, fmt.Errorf("verdict %d: %w", a.verdict, errHello)
	case a.verdict != verdictWelcome && a != (answer{version: a.version, verdict: a.verdict}):
		return answer{}, fmt.Errorf("a refusal with more than its verdict: %w", errHello)
	case a.flags&^flagSettled != 0:
		return answer{}, fmt.Errorf("flags %#x: %w", a.flags, errHello)
	}
	return a, nil
}

// verdictFailure is what a refusal means to the one refused.
func verdictFailure(verdict byte) *StreamError {
	switch verdict {
	case verdictVersion:
		return streamFailure(ReasonVersion, "the peer refuses protocol version %d", StreamVersion)
	case verdictMeshKey:
		return streamFailure(ReasonMeshKey, "the peer refuses this node's mesh key")
	case verdictDuplicate:
		return streamFailure(ReasonDuplicate, "the peer has a stream to this node that it keeps")
	case verdictStale:
		return streamFailure(ReasonStale, "the peer knows a later start of this node")
	case verdictSelf:
		return streamFailure(ReasonSelf, "this node dialled itself")
	case verdictTwin:
		return streamFailure(ReasonTwin, "the peer has this node's key")
	case verdictBusy:
		return streamFailure(ReasonBusy, "the peer is at its limit of streams")
	case verdictStarting:
		return streamFailure(ReasonStarting, "the peer is starting")
	default:
		return streamFailure(ReasonLost, "the peer is closing")
	}
}
