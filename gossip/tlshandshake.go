package gossip

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// handshakeWait bounds a whole handshake: TLS, hello and answer. It is two
// milliseconds of work and three round trips.
const handshakeWait = 5 * time.Second

// handshaker turns connections into streams' raw material, at either end.
type handshaker struct {
	accept, dial *tls.Config
	prover       *meshProver
	origin       chain.Origin
	epoch        uint64
}

func newHandshaker(key ed25519.PrivateKey, ring MeshKeys, epoch uint64) (*handshaker, error) {
	accept, dial, err := streamTLS(key)
	if err != nil {
		return nil, err
	}
	prover, err := newMeshProver(ring)
	if err != nil {
		return nil, err
	}
	origin := chain.OriginOf(key.Public().(ed25519.PublicKey))
	return &handshaker{accept: accept, dial: dial, prover: prover, origin: origin, epoch: epoch}, nil
}

// shaken is a connection whose other end is known.
type shaken struct {
	conn    *tls.Conn
	key     ed25519.PublicKey
	origin  chain.Origin
	epoch   uint64
	settled bool // the peer's, to the dialler only
}

// dialled does the dialler's part. On an error the connection is closed, and
// the error has its Reason.
func (h *handshaker) dialled(ctx context.Context, raw net.Conn, purpose byte) (_ shaken, err error) {
	conn := tls.Client(raw, h.dial)
	defer closeUnless(raw, &err)
	if err := startDeadline(ctx, raw); err != nil {
		return shaken{}, handshakeFailure(err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return shaken{}, handshakeFailure(err)
	}
	s, exporter, err := h.identify(conn)
	if err != nil {
		return shaken{}, err
	}
	greeting := hello{version: StreamVersion, purpose: purpose, epoch: h.epoch, proof: h.prover.prove(roleDialer, exporter)}
	if _, err := conn.Write(greeting.encode()); err != nil {
		return shaken{}, handshakeFailure(err)
	}
	var b [answerSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return shaken{}, handshakeFailure(err)
	}
	a, err := decodeAnswer(b[:])
	switch {
	case err != nil:
		return shaken{}, handshakeFailure(err)
	case a.version != StreamVersion:
		return shaken{}, streamFailure(ReasonVersion, "the peer answers with protocol version %d, want %d", a.version, StreamVersion)
	case a.verdict != verdictWelcome:
		return shaken{}, verdictFailure(a.verdict)
	}
	if wrong := h.prover.check(roleAcceptor, exporter, a.proof); wrong != "" {
		return shaken{}, &StreamError{Reason: ReasonMeshKey, Err: errors.New(wrong)}
	}
	s.epoch, s.settled = a.epoch, a.flags&flagSettled != 0
	return s, raw.SetDeadline(time.Time{})
}

// accepted does the acceptor's part up to its answer: welcome is asked for the
// verdict on a peer that has proved itself, and the flags to answer with.
func (h *handshaker) accepted(ctx context.Context, raw net.Conn, welcome func(s shaken, purpose byte) (verdict, flags byte)) (_ shaken, purpose byte, err error) {
	noted := &handshakeConn{Conn: raw}
	conn := tls.Server(noted, h.accept)
	defer closeUnless(raw, &err)
	if err := startDeadline(ctx, raw); err != nil {
		return shaken{}, 0, handshakeFailure(err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		switch {
		case noted.otherVersion:
			return shaken{}, 0, streamFailure(ReasonVersion, "the peer offers other protocols than %q", streamALPN)
		case !noted.begun && !isTimeout(err) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return shaken{}, 0, &StreamError{Reason: ReasonGarbage, Err: err}
		}
		return shaken{}, 0, handshakeFailure(err)
	}
	s, exporter, err := h.identify(conn)
	if err != nil {
		return shaken{}, 0, err
	}
	var b [helloSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return shaken{}, 0, handshakeFailure(err)
	}
	refuse := func(verdict byte, failure *StreamError) (shaken, byte, error) {
		// The failure is what counts; whether the peer hears of it is its affair.
		_, _ = conn.Write(answer{version: StreamVersion, verdict: verdict}.encode())
		_ = conn.CloseWrite()
		return shaken{}, 0, failure
	}
	greeting, err := decodeHello(b[:])
	if err != nil {
		return shaken{}, 0, handshakeFailure(err)
	}
	if greeting.version != StreamVersion {
		return refuse(verdictVersion, streamFailure(ReasonVersion, "the peer speaks protocol version %d, want %d", greeting.version, StreamVersion))
	}
	if wrong := h.prover.check(roleDialer, exporter, greeting.proof); wrong != "" {
		return refuse(verdictMeshKey, &StreamError{Reason: ReasonMeshKey, Err: errors.New(wrong)})
	}
	s.epoch = greeting.epoch
	verdict, flags := welcome(s, greeting.purpose)
	if verdict != verdictWelcome {
		return refuse(verdict, refusalFailure(verdict))
	}
	a := answer{version: StreamVersion, flags: flags, epoch: h.epoch, proof: h.prover.prove(roleAcceptor, exporter)}
	if _, err := conn.Write(a.encode()); err != nil {
		return shaken{}, 0, handshakeFailure(err)
	}
	return s, greeting.purpose, raw.SetDeadline(time.Time{})
}

// identify says who is at the other end of a finished TLS handshake.
func (h *handshaker) identify(conn *tls.Conn) (shaken, []byte, error) {
	state := conn.ConnectionState()
	key, err := peerKey(state)
	if err != nil {
		return shaken{}, nil, err
	}
	exporter, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
	if err != nil {
		return shaken{}, nil, handshakeFailure(err)
	}
	return shaken{conn: conn, key: key, origin: chain.OriginOf(key)}, exporter, nil
}

// refusalFailure is what a refusal means to the one who refuses.
func refusalFailure(verdict byte) *StreamError {
	switch verdict {
	case verdictSelf:
		return streamFailure(ReasonSelf, "this node dialled itself")
	case verdictTwin:
		return streamFailure(ReasonTwin, "another node with this node's key dials")
	case verdictDuplicate:
		return streamFailure(ReasonDuplicate, "a stream to the peer is open and stays")
	case verdictStale:
		return streamFailure(ReasonStale, "a later start of the peer is connected")
	case verdictBusy:
		return streamFailure(ReasonBusy, "at the limit of streams")
	case verdictStarting:
		return streamFailure(ReasonStarting, "this node is starting")
	default:
		return streamFailure(ReasonLost, "this node is closing")
	}
}

func handshakeFailure(err error) error {
	if _, ok := errors.AsType[*StreamError](err); ok {
		return err
	}
	return &StreamError{Reason: ReasonHandshake, Err: err}
}

func startDeadline(ctx context.Context, conn net.Conn) error {
	by := time.Now().Add(handshakeWait)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	return conn.SetDeadline(by)
}

func closeUnless(conn net.Conn, err *error) {
	if *err != nil {
		conn.Close()
	}
}
