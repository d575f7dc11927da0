package gossip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"

	"github.com/tidings-mesh/tidings/chain"
)

// Status is what is known of a member.
type Status uint8

// The statuses. A member that has left said so; one that has failed does not
// answer, and may come back.
const (
	StatusAlive Status = 1 + iota
	StatusLeaving
	StatusLeft
	StatusFailed
	statusCount
)

var statusNames = [statusCount]string{"unknown", "alive", "leaving", "left", "failed"}

func (s Status) String() string {
	if s < statusCount {
		return statusNames[s]
	}
	return statusNames[0]
}

// running tells the statuses of a process that is there.
func (s Status) running() bool { return s == StatusAlive || s == StatusLeaving }

// Member is one node as this node knows it, itself included.
type Member struct {
	Origin chain.Origin
	Epoch  uint64 // tells its starts apart: a later one has a higher epoch
	Tags
	Version int            // of the stream protocol that it speaks
	Addr    netip.AddrPort // of its port
	Status  Status
	Since   time.Time     // when this node saw the status begin
	RTT     time.Duration // estimate of the round trip; 0 where there is none yet
}

// Tags are what a node tells of itself. All together are bounded by 512 bytes.
type Tags struct {
	Name      string // of the node, shown to people; 1 byte and more
	Authority string // whose facts it publishes; 1 byte and more
	Zone      string // where it is; may be empty
	HTTP      string // HOST:PORT of its HTTP API; may be empty
	Durable   bool   // it has a data directory
}

// The tags' keys, short for all of them go into 512 bytes. Keys that are not
// known are passed over, so that later versions may add some. The origin and
// the epoch are in the name that serf knows the node by.
const (
	tagName      = "n"
	tagAuthority = "a"
	tagZone      = "z"
	tagHTTP      = "h"
	tagDurable   = "d"
	tagVersion   = "v"
)

func (t Tags) encode() map[string]string {
	m := map[string]string{tagName: t.Name, tagAuthority: t.Authority, tagVersion: strconv.Itoa(StreamVersion)}
	if t.Zone != "" {
		m[tagZone] = t.Zone
	}
	if t.HTTP != "" {
		m[tagHTTP] = t.HTTP
	}
	if t.Durable {
		m[tagDurable] = "1"
	}
	return m
}

// TagsError says that tags do not fit.
type TagsError struct {
	Size, Limit int    // bytes
	Field       string // the longest one
	Length      int    // its bytes
}

func (e *TagsError) Error() string {
	return fmt.Sprintf("name, authority, zone and HTTP address take %d bytes together, at most %d; the longest is the %s with %d",
		e.Size, e.Limit, e.Field, e.Length)
}

// Validate reports what keeps tags from being told to others: a *TagsError
// where they are too long.
func (t Tags) Validate() error {
	var longest TagsError
	for _, f := range []struct {
		name, text string
		required   bool
	}{{"name", t.Name, true}, {"authority", t.Authority, true}, {"zone", t.Zone, false}, {"HTTP address", t.HTTP, false}} {
		if f.required && f.text == "" {
			return fmt.Errorf("%s: must not be empty", f.name)
		}
		if !printable(f.text) {
			return fmt.Errorf("%s %q: want UTF-8 without control characters", f.name, f.text)
		}
		if len(f.text) > longest.Length {
			longest.Field, longest.Length = f.name, len(f.text)
		}
	}
	longest.Size, longest.Limit = tagsSize(t.encode()), memberlist.MetaMaxSize
	if longest.Size > longest.Limit {
		return &longest
	}
	return nil
}

// tagsSize is the size of serf's encoding: a magic byte and a msgpack map whose
// strings have a header of 1 byte up to 31 bytes, then of 3.
func tagsSize(m map[string]string) int {
	text := func(s string) int {
		if len(s) < 32 {
			return 1 + len(s)
		}
		return 3 + len(s)
	}
	size := 2
	for k, v := range m {
		size += text(k) + text(v)
	}
	return size
}

// decodeTags reads what another node tells.
func decodeTags(m map[string]string) (t Tags, version int, err error) {
	t = Tags{Name: m[tagName], Authority: m[tagAuthority], Zone: m[tagZone], HTTP: m[tagHTTP], Durable: m[tagDurable] == "1"}
	version, err = strconv.Atoi(m[tagVersion])
	if err != nil || version < 1 || strconv.Itoa(version) != m[tagVersion] {
		return Tags{}, 0, fmt.Errorf("protocol version %q: %w", m[tagVersion], chain.ErrMalformed)
	}
	for _, s := range []string{t.Name, t.Authority, t.Zone, t.HTTP} {
		if len(s) > memberlist.MetaMaxSize || !printable(s) {
			return Tags{}, 0, fmt.Errorf("tags: %w", chain.ErrMalformed)
		}
	}
	if t.Name == "" || t.Authority == "" {
		return Tags{}, 0, fmt.Errorf("tags without name or authority: %w", chain.ErrMalformed)
	}
	return t, version, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// instanceName is what serf knows one start of a node by: no two starts share
// it, so that a restart never clashes with what is remembered of the one before.
func instanceName(o chain.Origin, epoch uint64) string {
	return o.String() + "." + strconv.FormatUint(epoch, 10)
}

// parseInstanceName reads an instance's name in its one form.
func parseInstanceName(s string) (chain.Origin, uint64, error) {
	origin, text, _ := strings.Cut(s, ".")
	o, err := chain.ParseOrigin(origin)
	if err != nil {
		return o, 0, err
	}
	epoch, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != text {
		return chain.Origin{}, 0, fmt.Errorf("epoch %q: %w", text, chain.ErrMalformed)
	}
	return o, epoch, nil
}
