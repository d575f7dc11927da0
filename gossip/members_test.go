package gossip

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tidings-mesh/tidings/chain"
)

func memberOf(origin byte, epoch uint64, name string, status Status) Member {
	return Member{Origin: chain.Origin{origin}, Epoch: epoch, Tags: Tags{Name: name, Authority: "a"}, Status: status}
}

func TestSettleMembers(t *testing.T) {
	alive, leaving, left, failed := StatusAlive, StatusLeaving, StatusLeft, StatusFailed
	for _, tc := range []struct {
		name                string
		in, members, behind []Member
	}{
		{"restart, the old start not yet missed", []Member{memberOf(1, 1, "n", alive), memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 1, "n", alive)}},
		{"restart, the old start failed", []Member{memberOf(1, 1, "n", failed), memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 1, "n", failed)}},
		{"restart with the clock set back", []Member{memberOf(1, 9, "n", failed), memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 2, "n", alive)}, []Member{memberOf(1, 9, "n", failed)}},
		{"twin by key refused, the first stays", []Member{memberOf(1, 1, "n", alive), memberOf(1, 2, "n", left)}, []Member{memberOf(1, 1, "n", alive)}, []Member{memberOf(1, 2, "n", left)}},
		{"both starts gone", []Member{memberOf(1, 1, "n", failed), memberOf(1, 2, "n", left)}, []Member{memberOf(1, 2, "n", left)}, []Member{memberOf(1, 1, "n", failed)}},
		{"directory lost, the old node still seen", []Member{memberOf(1, 1, "n", alive), memberOf(2, 2, "n", alive)}, []Member{memberOf(1, 1, "n", alive), memberOf(2, 2, "n", alive)}, nil},
		{"directory lost, the old node gone", []Member{memberOf(1, 1, "n", failed), memberOf(2, 2, "n", alive)}, []Member{memberOf(2, 2, "n", alive)}, []Member{memberOf(1, 1, "n", failed)}},
		{"directory lost, both gone", []Member{memberOf(1, 1, "n", failed), memberOf(2, 2, "n", failed)}, []Member{memberOf(2, 2, "n", failed)}, []Member{memberOf(1, 1, "n", failed)}},
		{"twin by name refused", []Member{memberOf(2, 1, "n", alive), memberOf(1, 2, "n", left)}, []Member{memberOf(2, 1, "n", alive)}, []Member{memberOf(1, 2, "n", left)}},
		{"others of other names", []Member{memberOf(3, 1, "c", left), memberOf(1, 1, "a", alive), memberOf(2, 1, "b", failed)}, []Member{memberOf(1, 1, "a", alive), memberOf(2, 1, "b", failed), memberOf(3, 1, "c", left)}, nil},
		{"leaving goes before failed", []Member{memberOf(1, 1, "n", leaving), memberOf(1, 2, "n", failed)}, []Member{memberOf(1, 1, "n", leaving)}, []Member{memberOf(1, 2, "n", failed)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			members, behind := settleMembers(tc.in)
			require.Equal(t, tc.members, members)
			require.Equal(t, tc.behind, behind)
		})
	}
}

func TestSettleMembersProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type key struct {
			origin byte
			epoch  uint64
		}
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 4, 4).Draw(t, "names")
		keys := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) key {
			return key{rapid.ByteRange(0, 3).Draw(t, "origin"), rapid.Uint64Range(1, 3).Draw(t, "epoch")}
		}), 0, 10, func(k key) key { return k }).Draw(t, "starts")
		in := make([]Member, len(keys))
		for i, k := range keys {
			in[i] = memberOf(k.origin, k.epoch, names[k.origin], rapid.SampledFrom([]Status{StatusAlive, StatusLeaving, StatusLeft, StatusFailed}).Draw(t, "status"))
		}
		members, behind := settleMembers(in)
		require.Len(t, append(slices.Clone(members), behind...), len(in), "none is lost or made up")
		shuffled := rapid.Permutation(in).Draw(t, "order")
		again, _ := settleMembers(shuffled)
		require.Equal(t, members, again)
		running := map[string]bool{}
		for i, m := range members {
			require.True(t, i == 0 || members[i-1].Origin.Compare(m.Origin) < 0, "one for each origin, in order")
			running[m.Name] = running[m.Name] || m.Status.running()
		}
		for _, m := range in {
			if m.Status.running() {
				require.True(t, running[m.Name], "a name of which one runs has a running member")
			}
		}
		for _, m := range members {
			require.False(t, running[m.Name] && !m.Status.running())
		}
	})
}

// serf's own encoding, of which tagsSize must be the size.
func serfTagsSize(t *testing.T, m map[string]string) int {
	var b bytes.Buffer
	b.WriteByte(255)
	require.NoError(t, codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(m))
	return b.Len()
}

func TestTags(t *testing.T) {
	tags := Tags{Name: "wh-1", Authority: "warehouse", Zone: "eu", HTTP: "127.0.0.1:7980", Durable: true}
	require.NoError(t, tags.Validate())
	got, version, err := decodeTags(tags.encode())
	require.NoError(t, err)
	require.Equal(t, tags, got)
	require.Equal(t, StreamVersion, version)
	require.Equal(t, serfTagsSize(t, tags.encode()), tagsSize(tags.encode()))

	for n := range 600 {
		tags := Tags{Name: "n", Authority: strings.Repeat("a", n+1), Zone: strings.Repeat("z", n%40)}
		size := serfTagsSize(t, tags.encode())
		require.Equal(t, size, tagsSize(tags.encode()))
		err := tags.Validate()
		require.Equal(t, size <= memberlist.MetaMaxSize, err == nil, "%d bytes: %v", size, err)
		if err != nil {
			var tooLong *TagsError
			require.ErrorAs(t, err, &tooLong)
			require.Equal(t, TagsError{Size: size, Limit: 512, Field: "authority", Length: n + 1}, *tooLong)
			require.ErrorContains(t, err, "the longest is the authority with")
		}
	}
	for _, bad := range []Tags{
		{Authority: "a"},
		{Name: "n"},
		{Name: "n\n", Authority: "a"},
		{Name: "n", Authority: "a\x00"},
		{Name: "n", Authority: "a", Zone: "\xff"},
		{Name: "n", Authority: "a", HTTP: "\u0085"},
	} {
		require.Error(t, bad.Validate(), "%q", bad)
		_, _, err := decodeTags(bad.encode())
		require.Error(t, err, "%q", bad)
	}
	for _, v := range []string{"", "0", "-1", "x", "01", "+1", "99999999999999999999"} {
		m := tags.encode()
		m[tagVersion] = v
		_, _, err := decodeTags(m)
		require.ErrorIs(t, err, chain.ErrMalformed, v)
	}
	later := tags.encode()
	later[tagVersion], later["new"] = "2", "x"
	got, version, err = decodeTags(later)
	require.NoError(t, err, "what a later version adds is passed over")
	require.Equal(t, tags, got)
	require.Equal(t, 2, version)
}

func TestInstanceName(t *testing.T) {
	o := chain.Origin{0xff, 2, 3}
	got, epoch, err := parseInstanceName(instanceName(o, 1<<63))
	require.NoError(t, err)
	require.Equal(t, o, got)
	require.Equal(t, uint64(1<<63), epoch)
	for _, bad := range []string{"", ".", "1", o.String(), o.String() + ".", o.String() + ".01", o.String() + ".+1", o.String() + ".-1", o.String() + ".1.2", strings.ToUpper(o.String()) + ".1", o.String() + ".18446744073709551616"} {
		_, _, err := parseInstanceName(bad)
		require.Error(t, err, bad)
	}
}

func FuzzDecodeTags(f *testing.F) {
	f.Add("n", "a", "z", "h:1", "1", "1")
	f.Add("", "\xff", "\x00", "", "", "01")
	f.Fuzz(func(t *testing.T, name, authority, zone, http, durable, version string) {
		tags, v, err := decodeTags(map[string]string{tagName: name, tagAuthority: authority, tagZone: zone, tagHTTP: http, tagDurable: durable, tagVersion: version})
		if err != nil {
			return
		}
		if v < 1 || tags.Name == "" || tags.Authority == "" || !printable(tags.Name+tags.Authority+tags.Zone+tags.HTTP) {
			t.Fatalf("accepted %+v of version %d", tags, v)
		}
		if again, _, err := decodeTags(tags.encode()); err != nil || again != tags {
			t.Fatalf("%+v came back as %+v: %v", tags, again, err)
		}
	})
}

func FuzzParseInstanceName(f *testing.F) {
	f.Add(instanceName(chain.Origin{1}, 5))
	f.Add("0.0")
	f.Fuzz(func(t *testing.T, s string) {
		if o, epoch, err := parseInstanceName(s); err == nil && instanceName(o, epoch) != s {
			t.Fatalf("%q has another form", s)
		}
	})
}

func TestMembersFile(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f, err := readMembersFile(dir)
	require.NoError(t, err)
	first := f.nextEpoch(now)
	require.Equal(t, uint64(now.UnixMilli()), first)

	at := func(m Member, port uint16) Member {
		m.Addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		return m
	}
	self := at(memberOf(9, 1, "self", StatusAlive), 9)
	all := []Member{at(memberOf(1, 1, "a", StatusAlive), 1), at(memberOf(2, 1, "b", StatusAlive), 2), at(memberOf(3, 1, "c", StatusAlive), 3), self}
	require.True(t, f.update(self.Origin, all, now))
	require.False(t, f.update(self.Origin, all, now.Add(time.Second)), "nothing new")
	require.NoError(t, f.write(dir))

	g, err := readMembersFile(dir)
	require.NoError(t, err)
	require.Equal(t, f, g)
	require.Greater(t, g.nextEpoch(now.Add(-time.Hour)), first, "whatever the clock")
	require.Len(t, g.Members, 3)

	require.False(t, g.update(self.Origin, []Member{self}, now), "who was not met yet is kept")
	require.Len(t, g.Members, 3)
	all[0].Status = StatusFailed
	all[1].Status = StatusLeft
	superseder := at(memberOf(4, 2, "c", StatusAlive), 4)
	require.True(t, g.update(self.Origin, []Member{all[0], all[1], superseder, self}, now.Add(time.Minute)))
	require.Equal(t, []string{"c", "a"}, []string{g.Members[0].Name, g.Members[1].Name}, "failed stays, left and superseded go, the newest first")
	require.Equal(t, superseder.Addr, g.Members[0].Addr)
	g.drop("a")
	require.Len(t, g.Members, 1)
	require.True(t, g.update(self.Origin, []Member{self}, now.Add(rememberedFor+time.Hour)))
	require.Empty(t, g.Members, "grown old")

	var many []Member
	for i := range rememberedMost + 10 {
		m := memberOf(byte(i), 1, "m", StatusAlive)
		m.Origin[1] = byte(i >> 8)
		many = append(many, at(m, uint16(i+1)))
	}
	g.update(self.Origin, many, now)
	require.Len(t, g.Members, rememberedMost)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
	require.NoError(t, os.WriteFile(filepath.Join(dir, membersFileName), []byte("{"), 0o600))
	_, err = readMembersFile(dir)
	require.Error(t, err)
}

// A process that is killed while it writes leaves a temporary file, and the next
// start removes it, and those that earlier versions left. Nothing else is touched.
func TestMembersFileIsSwept(t *testing.T) {
	dir := t.TempDir()
	_, first, err := OpenMemory(dir, time.Now(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, name := range []string{"members.json.tmp", "members.json.1234567", "members.json.9", "other.json.1", "members.jsonl"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600))
	}
	_, second, err := OpenMemory(dir, time.Now(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Greater(t, second, first)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"members.json", "members.jsonl", "other.json.1"}, names)
}

func FuzzMembersFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"epoch":5,"members":[{"origin":"00000000000000000000000000","name":"a","addr":"127.0.0.1:1","seen":"2026-01-02T03:04:05Z"}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"members":[{"addr":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMembersFile(b)
		if err != nil {
			return
		}
		for _, r := range m.Members {
			if !r.Addr.IsValid() || r.Addr.Port() == 0 {
				t.Fatalf("address %v", r.Addr)
			}
		}
		m.update(chain.Origin{}, nil, time.Unix(0, 0))
	})
}
