package chain

// logScan reads the log of a chain in order, from one seq to another. A record that
// it returns has the seal that the log has of it, be it in the record after it; but
// for the last.
type logScan struct {
	it     Iterator
	origin Origin
	ahead  *record // read, and returned next
	seq    Seq     // of ahead
	err    error
}

// log scans a chain. Who is done with it closes its iterator.
func (a *Archive) log(o Origin, from, to Seq) *logScan {
	s := &logScan{origin: o, it: a.store.Scan(appendUpdateKey(nil, ID{o, from}), appendUpdateKey(nil, ID{o, to + 1}))}
	s.read()
	return s
}

// next returns the next record, false if there is none or err is set.
func (s *logScan) next() (ID, *record, bool) {
	id, r := ID{s.origin, s.seq}, s.ahead
	if r == nil || s.err != nil {
		return id, nil, false
	}
	s.read()
	if s.ahead != nil && len(s.ahead.before) > 0 && s.seq == id.Seq+1 {
		r.seal = s.ahead.before
	}
	return id, r, true
}

func (s *logScan) read() {
	s.ahead = nil
	if s.err == nil && s.it.Next() {
		s.seq = seqOfKey(s.it.Key())
		s.ahead, s.err = decodeRecord(ID{s.origin, s.seq}, append([]byte(nil), s.it.Value()...))
	}
}
