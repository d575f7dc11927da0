package gossip

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// streamspecRows are the rows of STREAM.md's tables by their first cell.
func streamspecRows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("STREAM.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| ") && len(cells) > 1 {
			rows[strings.TrimPrefix(cells[0], "| ")] = strings.Trim(cells[1], " |`")
		}
	}
	return rows
}

func TestStreamSpecExamples(t *testing.T) {
	rows := streamspecRows(t)
	frame := func(payload string, compress bool) []byte {
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		require.NoError(t, writeStreamFrame(w, NewOutFrame([]byte(payload), compress)))
		require.NoError(t, w.Flush())
		return b.Bytes()
	}
	fill := func(b byte) [proofSize]byte { return [proofSize]byte(bytes.Repeat([]byte{b}, proofSize)) }
	for name, want := range map[string][]byte{
		"hello, epoch 5, proof of `07`s":            hello{version: StreamVersion, purpose: purposeStream, epoch: 5, proof: fill(7)}.encode(),
		"probe, epoch 5, proof of `07`s":            hello{version: StreamVersion, purpose: purposeProbe, epoch: 5, proof: fill(7)}.encode(),
		"welcome, settled, epoch 6, proof of `08`s": answer{version: StreamVersion, flags: flagSettled, epoch: 6, proof: fill(8)}.encode(),
		"refusal for the mesh key":                  answer{version: StreamVersion, verdict: verdictMeshKey}.encode(),
		"frame `abc`, as it is":                     frame("abc", false),
	} {
		require.Equal(t, hex.EncodeToString(want), strings.ReplaceAll(rows[name], " ", ""), name)
	}
	// Compressors differ; what counts is what comes out.
	packed, err := hex.DecodeString(strings.ReplaceAll(rows["frame of 40 `a`, compressed"], " ", ""))
	require.NoError(t, err)
	payload, _, err := readStreamFrame(bytes.NewReader(packed), nil, nil)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("a", 40), string(payload))
}

func TestStreamSpecBounds(t *testing.T) {
	rows := streamspecRows(t)
	for name, want := range map[string]time.Duration{
		"first byte": firstByteWait, "handshake": handshakeWait, "nothing arrives": StreamIdle, "a frame is not taken": StreamWriteTimeout,
		"TCP sends again after, at most": sendAgainMost, "nothing that was sent is answered": unansweredMost,
		"wait before the higher origin dials": DialAfter, "redial, least": dialLeast, "redial, most": dialMost, "age of a stream": streamAge,
	} {
		got, err := time.ParseDuration(rows[name])
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for name, want := range map[string]string{
		"connections without a first byte": strconv.Itoa(maxSilent), "handshakes at once": strconv.Itoa(maxHandshakes),
		"streams": strconv.Itoa(maxStreams), "streams from nodes that are not members": strconv.Itoa(maxStrangers),
	} {
		require.Equal(t, want, rows[name], name)
	}
}
