package gossip

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func streamFrame(size uint32, flag byte, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, size)
	return append(append(b, flag), payload...)
}

func TestReadStreamFrame(t *testing.T) {
	text := bytes.Repeat([]byte("status "), 1000)
	block := s2.Encode(nil, text)
	huge := s2.Encode(nil, make([]byte, maxPayload+1))
	whole := make([]byte, maxPayload)
	for _, tc := range []struct {
		name    string
		in      []byte
		payload []byte
		wrong   string
	}{
		{"plain", streamFrame(3, flagPlain, []byte("abc")), []byte("abc"), ""},
		{"compressed", streamFrame(uint32(len(block)), flagS2, block), text, ""},
		{"the largest", streamFrame(maxPayload, flagPlain, whole), whole, ""},
		{"empty", streamFrame(0, flagPlain, nil), nil, "claims 0 bytes"},
		{"one over the largest", streamFrame(maxPayload+1, flagPlain, nil), nil, "claims 1049601 bytes"},
		{"four billion", streamFrame(1<<32-1, flagPlain, nil), nil, "claims 4294967295 bytes"},
		{"four billion compressed", streamFrame(1<<32-1, flagS2, nil), nil, "claims 4294967295 bytes"},
		{"one over the largest within", streamFrame(uint32(len(huge)), flagS2, huge), nil, "compressed frame claims 1049601 bytes"},
		{"four billion within", streamFrame(5, flagS2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}), nil, "compressed frame claims"},
		{"nothing within", streamFrame(1, flagS2, []byte{0}), nil, "compressed frame claims 0 bytes"},
		{"not s2", streamFrame(4, flagS2, []byte{10, 255, 255, 255}), nil, "decompress"},
		{"unknown flag", streamFrame(1, 2, []byte("a")), nil, "flag 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := readStreamFrame(bytes.NewReader(tc.in), nil, nil)
			if tc.wrong != "" {
				require.ErrorContains(t, err, tc.wrong)
				require.Equal(t, ReasonFrame, reasonOf(err, reasonCount))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.payload, got)
		})
	}
	t.Run("cut anywhere", func(t *testing.T) {
		in := streamFrame(uint32(len(block)), flagS2, block)
		for n := range in {
			_, _, err := readStreamFrame(bytes.NewReader(in[:n]), nil, nil)
			require.Truef(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%d bytes: %v", n, err)
		}
	})
}

// A claim costs no more than the bound on it, whatever follows.
func TestReadStreamFrameAllocates(t *testing.T) {
	bomb := streamFrame(1<<32-1, flagS2, bytes.Repeat([]byte{0xff}, 100))
	const times = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		_, _, _ = readStreamFrame(bytes.NewReader(bomb), nil, nil)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(times*4096))
}

func TestStreamFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payloads := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 3*streamBuffer), 1, 8).Draw(t, "payloads")
		var wire bytes.Buffer
		w := bufio.NewWriterSize(&wire, streamBuffer)
		for _, p := range payloads {
			require.NoError(t, writeStreamFrame(w, NewOutFrame(p, rapid.Bool().Draw(t, "compress"))))
		}
		require.NoError(t, w.Flush())
		var buf, scratch []byte
		for _, p := range payloads {
			got, kept, err := readStreamFrame(&wire, buf, scratch)
			require.NoError(t, err)
			require.True(t, bytes.Equal(p, got))
			buf, scratch = got, kept
		}
		require.Zero(t, wire.Len())
	})
}

func TestWriteStreamFrameRefuses(t *testing.T) {
	w := bufio.NewWriter(io.Discard)
	require.Error(t, writeStreamFrame(w, NewOutFrame(nil, false)))
	require.Error(t, writeStreamFrame(w, NewOutFrame(make([]byte, maxPayload+1), true)))
	require.NoError(t, writeStreamFrame(w, NewOutFrame(make([]byte, maxPayload), true)))
}

func FuzzReadStreamFrame(f *testing.F) {
	f.Add(streamFrame(3, flagPlain, []byte("abc")))
	block := s2.Encode(nil, bytes.Repeat([]byte("a"), 1000))
	f.Add(streamFrame(uint32(len(block)), flagS2, block))
	f.Add(streamFrame(1<<32-1, flagS2, nil))
	f.Add(streamFrame(5, flagS2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		var scratch []byte
		for {
			payload, kept, err := readStreamFrame(r, nil, scratch)
			if err != nil {
				return
			}
			if len(payload) == 0 || len(payload) > maxPayload {
				t.Fatalf("payload of %d bytes", len(payload))
			}
			scratch = kept
			var wire bytes.Buffer
			w := bufio.NewWriter(&wire)
			require.NoError(t, writeStreamFrame(w, NewOutFrame(payload, true)))
			require.NoError(t, w.Flush())
			again, _, err := readStreamFrame(&wire, nil, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(payload, again))
		}
	})
}

// A frame for many peers is compressed once, whoever sends it first.
func TestFrameIsCompressedOnce(t *testing.T) {
	f := NewOutFrame(bytes.Repeat([]byte("a"), 4096), true)
	var senders sync.WaitGroup
	var wires [8]bytes.Buffer
	for i := range wires {
		senders.Go(func() {
			w := bufio.NewWriter(&wires[i])
			if writeStreamFrame(w, f) == nil {
				_ = w.Flush()
			}
		})
	}
	senders.Wait()
	first := bytes.Clone(wires[0].Bytes())
	require.Less(t, len(first), 400)
	for i := range wires {
		require.Equal(t, first, wires[i].Bytes())
		got, _, err := readStreamFrame(&wires[i], nil, nil)
		require.NoError(t, err)
		require.Equal(t, f.Payload(), got)
	}
	require.Same(t, &f.block()[0], &f.block()[0])
}

// A peer whose machine answers nothing of what is sent to it did not fall silent:
// its own frames may go on arriving until TCP gives up.
func TestStreamThatTCPGaveUp(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	st := &Stream{
		conn: tls.Client(near, &tls.Config{ServerName: "peer"}), done: make(chan struct{}),
		r: bufio.NewReader(iotest.ErrReader(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)})),
	}
	_, err := st.ReadFrame(nil)
	require.Equal(t, ReasonStalled, reasonOf(err, ReasonLost))
}
