package gossip

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/tidings-mesh/tidings/chain"
)

// On a stream each frame is
//
//	length(4, big-endian) flag(1) payload(length)
//
// with flag 0 for a payload as it is, and 1 for one s2 block of it.
const (
	streamHeader = 4 + 1
	flagPlain    = 0
	flagS2       = 1
	// maxPayload bounds a frame, as sent and after decompression.
	maxPayload = MaxFrame
)

const (
	// StreamIdle is how long a stream may carry nothing before it is given up.
	// It relies on what the engine sends on an idle stream each second. One
	// frame also has to arrive whole within it, 70 kB/s at the largest.
	StreamIdle = 15 * time.Second
	// StreamWriteTimeout is how long a frame may take to be written: a peer
	// that does not read for so long is disconnected, and pulls what it missed
	// once it is back.
	StreamWriteTimeout = 10 * time.Second
	// deadlineSlack saves setting a deadline for every frame: it is renewed
	// once it has become this much older.
	deadlineSlack = time.Second
	// streamBuffer is one TLS record. Larger frames go past it.
	streamBuffer = 16 << 10
)

// Stream is an open connection to one peer, encrypted, with both ends proved.
//
// One goroutine may read while others write; WriteFrames may be called
// concurrently, Close and the rest by anybody. Any error of reading or writing
// closes the stream for good.
type Stream struct {
	peer    chain.Origin
	key     ed25519.PublicKey
	epoch   uint64
	dialled bool
	opened  time.Time
	conn    *tls.Conn

	r      *bufio.Reader
	packed []byte // compressed payload being read, reused while small
	readBy time.Time

	writing sync.Mutex // held while frames are written; protects w and writeBy
	w       *bufio.Writer
	writeBy time.Time

	mu     sync.Mutex // protects cause
	cause  *StreamError
	done   chan struct{} // closed with the stream
	served chan struct{} // closed once Serve has returned
}

func newStream(s shaken, dialled bool) *Stream {
	return &Stream{
		peer: s.origin, key: s.key, epoch: s.epoch, dialled: dialled, opened: time.Now(), conn: s.conn,
		r: bufio.NewReaderSize(s.conn, streamBuffer), w: bufio.NewWriterSize(s.conn, streamBuffer),
		done: make(chan struct{}), served: make(chan struct{}),
	}
}

// Peer is the origin of the node at the other end, which has proved its key.
func (s *Stream) Peer() chain.Origin { return s.peer }

// PeerKey is that node's public key; the caller must not change it.
func (s *Stream) PeerKey() ed25519.PublicKey { return s.key }

// PeerEpoch tells the starts of that node apart: a later start has a higher one.
func (s *Stream) PeerEpoch() uint64 { return s.epoch }

// Dialled reports whether this end opened the stream.
func (s *Stream) Dialled() bool { return s.dialled }

// RemoteAddr is the other end's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Done is closed when the stream is.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err says why the stream was closed, or nil while it is open. The error is a
// *StreamError.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		return nil
	}
	return s.cause
}

// Close closes the stream at once. What WriteFrames has returned for is with
// the kernel, and still on its way.
func (s *Stream) Close() error {
	s.fail(ReasonLost, errors.New("closed here"))
	return nil
}

// fail closes the stream; the first reason stays, and is returned.
func (s *Stream) fail(reason Reason, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return s.cause
	}
	s.cause = &StreamError{Reason: reason, Err: err}
	close(s.done)
	// Not tls.Conn's Close, which waits up to 5 s to say goodbye to a peer that
	// does not read. Frames have a length: a cut is seen without a goodbye.
	s.conn.NetConn().Close()
	return s.cause
}

// ReadFrame waits for the next frame and returns its payload in buf, or in a
// larger slice where buf is too small; the caller owns it. A claimed size over
// MaxFrame, before or after decompression, is refused before anything of it is
// allocated.
func (s *Stream) ReadFrame(buf []byte) ([]byte, error) {
	if now := time.Now(); now.Sub(s.readBy) > deadlineSlack-StreamIdle {
		s.readBy = now.Add(StreamIdle)
		if err := s.conn.SetReadDeadline(s.readBy); err != nil {
			return nil, s.fail(ReasonLost, err)
		}
	}
	payload, packed, err := readStreamFrame(s.r, buf, s.packed)
	s.packed = packed
	switch {
	case err == nil:
		return payload, nil
	case errors.Is(err, io.EOF):
		return nil, s.fail(ReasonLost, errors.New("closed by the peer"))
	case errors.Is(err, syscall.ETIMEDOUT):
		// TCP gave up: what was sent here had no answer, whatever still arrives. Where
		// a write waits then it is told so, and the reader that the stream ended.
		return nil, s.fail(ReasonStalled, err)
	case isTimeout(err):
		return nil, s.fail(ReasonIdle, err)
	default:
		return nil, s.fail(reasonOf(err, ReasonLost), err)
	}
}

// readStreamFrame reads one frame into buf; scratch is for a compressed payload
// and is returned to be used again.
func readStreamFrame(r io.Reader, buf, scratch []byte) (payload, kept []byte, err error) {
	var head [streamHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, scratch, err
	}
	size, flag := binary.BigEndian.Uint32(head[:]), head[4]
	if size == 0 || size > maxPayload {
		return nil, scratch, streamFailure(ReasonFrame, "a frame claims %d bytes, want 1 to %d", size, maxPayload)
	}
	switch flag {
	case flagPlain:
		buf = slices.Grow(buf[:0], int(size))[:size]
		_, err := io.ReadFull(r, buf)
		return buf, scratch, err
	case flagS2:
		block := slices.Grow(scratch[:0], int(size))[:size]
		if _, err := io.ReadFull(r, block); err != nil {
			return nil, scratch, err
		}
		if cap(block) <= 2*streamBuffer {
			scratch = block // a catch-up's large ones are not kept
		}
		plain, err := s2.DecodedLen(block)
		if err != nil || plain == 0 || plain > maxPayload {
			return nil, scratch, streamFailure(ReasonFrame, "a compressed frame claims %d bytes, want 1 to %d", plain, maxPayload)
		}
		buf = slices.Grow(buf[:0], plain)[:plain]
		if buf, err = s2.Decode(buf, block); err != nil {
			return nil, scratch, streamFailure(ReasonFrame, "decompress a frame: %w", err)
		}
		return buf, scratch, nil
	default:
		return nil, scratch, streamFailure(ReasonFrame, "a frame has flag %d", flag)
	}
}

// WriteFrames writes frames in order and returns once the kernel has them. It
// waits while the peer does not read, for StreamWriteTimeout without a frame
// done; then the stream is closed. The slice is its own from then on.
func (s *Stream) WriteFrames(frames []*OutFrame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for i, f := range frames {
		frames[i] = nil // it may be large, and the rest takes long
		if now := time.Now(); now.Sub(s.writeBy) > deadlineSlack-StreamWriteTimeout {
			s.writeBy = now.Add(StreamWriteTimeout)
			if err := s.conn.SetWriteDeadline(s.writeBy); err != nil {
				return s.fail(ReasonLost, err)
			}
		}
		if err := writeStreamFrame(s.w, f); err != nil {
			return s.writeFailed(err)
		}
	}
	if err := s.w.Flush(); err != nil {
		return s.writeFailed(err)
	}
	return nil
}

func (s *Stream) writeFailed(err error) error {
	if isTimeout(err) {
		return s.fail(ReasonStalled, err)
	}
	return s.fail(reasonOf(err, ReasonLost), err)
}

// OutFrame is an encoded frame to be sent, to any number of peers: it is
// compressed once for all of them. It is safe for concurrent use.
type OutFrame struct {
	payload []byte
	block   func() []byte // s2 of the payload, nil where that is not smaller
}

// NewOutFrame returns the frame of a payload, which must not change any more.
// With compress it is sent as s2 where that makes it smaller.
func NewOutFrame(payload []byte, compress bool) *OutFrame {
	f := &OutFrame{payload: payload}
	if compress {
		f.block = sync.OnceValue(func() []byte { return pack(payload) })
	}
	return f
}

// packRoom is room for blocks that are being made: as much as the payload may grow by.
var packRoom = sync.Pool{New: func() any { return new([]byte) }}

// pack returns the s2 block of a payload, nil where that is not smaller.
func pack(payload []byte) []byte {
	room := packRoom.Get().(*[]byte)
	defer packRoom.Put(room)
	*room = slices.Grow((*room)[:0], s2.MaxEncodedLen(len(payload)))
	if block := s2.Encode((*room)[:cap(*room)], payload); len(block) < len(payload) {
		return bytes.Clone(block)
	}
	return nil
}

// Payload is the frame as it was encoded. It must not be changed.
func (f *OutFrame) Payload() []byte { return f.payload }

func writeStreamFrame(w *bufio.Writer, f *OutFrame) error {
	payload, flag := f.payload, byte(flagPlain)
	if len(payload) == 0 || len(payload) > maxPayload {
		return streamFailure(ReasonFrame, "a frame of %d bytes to be sent, want 1 to %d", len(payload), maxPayload)
	}
	if f.block != nil {
		if block := f.block(); block != nil {
			payload, flag = block, flagS2
		}
	}
	var head [streamHeader]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(payload)))
	head[4] = flag
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}
