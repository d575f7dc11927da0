package gossip

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The format of a data directory shows a members.json that reads, and that is
// written as it is shown.
func TestFormatExampleOfMembersFile(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "chain", "store", "FORMAT.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(doc), "\n## members.json\n")
	require.True(t, ok)
	_, section, ok = strings.Cut(section, "```json\n")
	require.True(t, ok)
	shown, _, ok := strings.Cut(section, "```")
	require.True(t, ok)
	f, err := decodeMembersFile([]byte(shown))
	require.NoError(t, err)
	require.Equal(t, uint64(1700000000123), f.Epoch)
	require.Len(t, f.Members, 1)
	require.Equal(t, netip.MustParseAddrPort("10.0.0.12:7946"), f.Members[0].Addr)
	dir := t.TempDir()
	require.NoError(t, f.write(dir))
	written, err := os.ReadFile(filepath.Join(dir, membersFileName))
	require.NoError(t, err)
	require.Equal(t, shown, string(written))
}
