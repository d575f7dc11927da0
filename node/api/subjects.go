package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// subjects answers GET /v1/subjects.
func (h *Handler) subjects(x *exchange) error {
	q, err := parseQuery(x.r.URL.RawQuery, "prefix", "authority", "limit", "page", "empty", "wait", "at_least")
	if err != nil {
		return err
	}
	filter, err := q.filter()
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, 1, 1_000)
	if err != nil {
		return err
	}
	empty, err := q.flag("empty")
	if err != nil {
		return err
	}
	place := page{filter: pageFilter(filter, empty)}
	if text, _ := q.get("page"); text != "" {
		var ok bool
		if place, ok = parsePage(text, place.filter); !ok {
			return badRequest("page", "this is no next_page of a list with the same prefix, authority and empty")
		}
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	if err := h.atLeast(x, q); err != nil {
		return err
	}
	if place.from == "" {
		place.cursor = h.backend.Now(filter).String()
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf, err = h.appendSubjects((*buf)[:0], x, filter, int(limit), empty, &place)
	if err != nil {
		return err
	}
	x.json(*buf)
	return nil
}

// appendSubjects appends a page, and moves place to the next one, "" for none.
func (h *Handler) appendSubjects(dst []byte, x *exchange, filter chain.Filter, limit int, empty bool, place *page) ([]byte, error) {
	dst = append(dst, `{"subjects":[`...)
	from := place.from
	place.from = ""
	until := time.Now().Add(h.limits.ScanTime)
	found, looked := 0, 0
	for state, err := range h.backend.Subjects(filter.Prefix, from) {
		if err != nil {
			return dst, err
		}
		looked++
		late := looked%64 == 0 && (time.Now().After(until) || x.r.Context().Err() != nil)
		if found == limit || len(dst) >= maxPageBytes || late {
			place.from = state.Subject()
			break
		}
		if state.Empty() && !empty || !writtenBy(state, filter.Authorities) {
			continue
		}
		if found > 0 {
			dst = append(dst, ',')
		}
		dst = state.AppendView(dst)
		found++
	}
	dst = append(dst, `],"next_page":`...)
	if place.from == "" {
		dst = append(dst, "null"...)
	} else {
		dst = chain.AppendJSONString(dst, place.String())
	}
	dst = append(dst, `,"cursor":`...)
	if place.cursor == "" {
		dst = append(dst, "null"...)
	} else {
		dst = chain.AppendJSONString(dst, place.cursor)
	}
	return append(dst, '}'), x.r.Context().Err()
}

func writtenBy(state *chain.State, names []string) bool {
	if len(names) == 0 {
		return true
	}
	for _, name := range state.Authorities() {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// page is a place in a list of subjects. Its text goes to the next request, of
// whatever node:
//
//	"p1." and, in base64url:
//	6   the first bytes of the SHA-256 of what follows
//	8   digest of what the list selects
//	n   length of the subject, a varint, and the subject to go on from
//	    the rest is the cursor from before the first page
//
// So every page of a list tells the same cursor, and a caller that tails from
// the last page's misses nothing. A cursor too long for a URL is left out, and
// only the first page has it.
type page struct {
	filter [8]byte
	from   string
	cursor string
}

const (
	pageVersion   = "p1."
	maxPageCursor = 8 << 10 // bytes of a cursor that is carried along
)

func pageFilter(f chain.Filter, empty bool) [8]byte {
	hash := f.Hash()
	text := append([]byte("tidings list 1\x00"), hash[:]...)
	if empty {
		text = append(text, "empty"...)
	}
	sum := sha256.Sum256(text)
	return [8]byte(sum[:8])
}

func (p *page) String() string {
	body := append([]byte(nil), p.filter[:]...)
	body = binary.AppendUvarint(body, uint64(len(p.from)))
	body = append(body, p.from...)
	if len(p.cursor) <= maxPageCursor {
		body = append(body, p.cursor...)
	}
	sum := sha256.Sum256(body)
	return pageVersion + base64.RawURLEncoding.EncodeToString(append(sum[:6:6], body...))
}

// parsePage reads a page's text. It has to be of a list with the same filter.
func parsePage(text string, filter [8]byte) (page, bool) {
	text, ok := strings.CutPrefix(text, pageVersion)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || strings.ContainsAny(text, "\r\n") || len(b) < 6+8+1 {
		return page{}, false
	}
	sum := sha256.Sum256(b[6:])
	if string(sum[:6]) != string(b[:6]) || [8]byte(b[6:14]) != filter {
		return page{}, false
	}
	n, used := binary.Uvarint(b[14:])
	b = b[min(14+max(used, 0), len(b)):]
	if used <= 0 || n > uint64(len(b)) || chain.CheckSubject(string(b[:n])) != nil {
		return page{}, false
	}
	p := page{filter: filter, from: string(b[:n]), cursor: string(b[n:])}
	if p.cursor != "" {
		if _, err := chain.ParseCursor(p.cursor); err != nil {
			return page{}, false
		}
	}
	return p, true
}
