package chain

import "strconv"

// TimeLayout is how times are written for users: RFC 3339 in UTC, with
// milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// AppendView writes the view of the subject as the JSON that users get, byte
// for byte the same wherever the same updates are applied.
func (s *State) AppendView(dst []byte) []byte {
	dst = append(dst, `{"subject":`...)
	dst = AppendJSONString(dst, s.subject)
	dst = append(dst, `,"status":`...)
	dst = s.status.Append(dst)
	dst = append(dst, `,"authorities":{`...)
	for i := range s.authorities {
		a := &s.authorities[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, a.name)
		dst = append(dst, `:{"status":`...)
		dst = a.status.Append(dst)
		newest, _ := s.Newest(a.name)
		dst = viewStamp(dst, newest)
		dst = append(dst, '}')
	}
	dst = append(dst, `},"conflicts":[`...)
	for i, c := range s.Conflicts() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.appendJSON(dst)
	}
	dst = append(dst, `],"heads":`...)
	dst = viewIDs(dst, s.Heads())
	dst = append(dst, `,"updates":`...)
	dst = strconv.AppendUint(dst, s.updates, 10)
	dst = append(dst, `,"time":`...)
	dst = viewTime(dst, s.Last().HLC)
	return append(dst, '}')
}

func (c *Conflict) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"path":`...)
	dst = AppendJSONString(dst, c.Path)
	dst = append(dst, `,"writes":[`...)
	for i := range c.Writes {
		w := &c.Writes[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"value":`...)
		dst = w.Value.Append(dst)
		if w.Deleted {
			dst = append(dst, `,"deleted":true`...)
		}
		dst = append(dst, `,"authority":`...)
		dst = AppendJSONString(dst, w.Authority)
		dst = viewStamp(dst, Stamp{w.HLC, w.ID})
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// String is what AppendView writes.
func (s *State) String() string { return string(s.AppendView(nil)) }

// MarshalJSON writes what AppendView does.
func (s *State) MarshalJSON() ([]byte, error) { return s.AppendView(nil), nil }

// AppendUpdateJSON writes an update of that authority's chain as the JSON that
// users get. Its delta is embedded as it is. A genesis, and an update of a kind
// that this build does not know, says so by its "kind" and has no delta. The
// object ends with a brace and is never empty, so that a caller can put more
// members before that.
func AppendUpdateJSON(dst []byte, u *Update, authority string) []byte {
	dst = append(dst, `{"id":"`...)
	dst = viewID(dst, u.ID)
	dst = append(dst, '"')
	if u.Kind != KindStatus {
		dst = append(dst, `,"kind":`...)
		dst = AppendJSONString(dst, u.Kind.String())
	}
	if u.Subject != "" {
		dst = append(dst, `,"subject":`...)
		dst = AppendJSONString(dst, u.Subject)
	}
	dst = append(dst, `,"authority":`...)
	dst = AppendJSONString(dst, authority)
	dst = append(dst, `,"time":`...)
	dst = viewTime(dst, u.HLC)
	dst = append(dst, `,"hlc":"`...)
	dst = u.HLC.appendText(dst)
	dst = append(dst, `","deps":`...)
	dst = viewIDs(dst, u.Deps)
	if u.Kind == KindStatus {
		dst = append(dst, `,"delta":`...)
		dst = append(dst, u.Delta...)
	}
	if !u.Cause.IsZero() {
		dst = append(dst, `,"cause":"`...)
		dst = viewID(dst, u.Cause)
		dst = append(dst, '"')
	}
	if u.Hook != "" {
		dst = append(dst, `,"hook":`...)
		dst = AppendJSONString(dst, u.Hook)
	}
	return append(dst, '}')
}

func viewStamp(dst []byte, at Stamp) []byte {
	dst = append(dst, `,"update":"`...)
	dst = viewID(dst, at.ID)
	dst = append(dst, `","time":`...)
	return viewTime(dst, at.HLC)
}

func viewTime(dst []byte, at HLC) []byte {
	return append(at.AppendTime(append(dst, '"')), '"')
}

func viewIDs(dst []byte, ids []ID) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = viewID(dst, id)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

func viewID(dst []byte, id ID) []byte {
	dst = originText.AppendEncode(dst, id.Origin[:])
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(id.Seq), 10)
}
