package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A member of another version is given no stream, and that is said, once for
// each of its starts.
func TestMemberOfAnotherVersionIsNamed(t *testing.T) {
	var out bytes.Buffer
	meters := new(Meters)
	m := &Mesh{report: newReporter(slog.New(slog.NewTextHandler(&out, nil)), meters)}
	same, other := memberOf(1, 1, "same", StatusAlive), memberOf(2, 1, "other", StatusAlive)
	same.Version, other.Version = StreamVersion, StreamVersion+1
	said := func() int { return strings.Count(out.String(), "member=other") }

	m.changed([]Member{same, other})
	m.changed([]Member{same, other})
	require.Equal(t, 1, said())
	require.Contains(t, out.String(), "another version")
	require.NotContains(t, out.String(), "member=same")
	require.Len(t, m.peers, 1)
	require.EqualValues(t, 1, meters.failures[ReasonVersion].Load())

	other.Status = StatusFailed
	m.changed([]Member{same, other})
	require.Equal(t, 1, said(), "it is gone")
	other.Epoch, other.Status = 2, StatusAlive
	m.changed([]Member{same, other})
	require.Equal(t, 2, said(), "it was started again")
	other.Version, other.Epoch = StreamVersion, 3
	m.changed([]Member{same, other})
	require.Equal(t, 2, said())
	require.Len(t, m.peers, 2, "it was upgraded")
}
