package chain

// logScan reads the log of a chain in order. A record that it returns has the seal that
// the log has of it: its own, or that in the record after it, which is looked at where it
// has none.
type logScan struct {
	it     Iterator
	origin Origin
	looked bool    // ahead is what comes next, nil if that is nothing or cannot be read
	ahead  *record // read before its turn
	seq    Seq     // of ahead
	failed error   // of what was read ahead
}

// log scans a chain from one seq to another.
func (a *Archive) log(o Origin, from, to Seq) *logScan {
	return &logScan{origin: o, it: a.store.Scan(appendUpdateKey(nil, ID{o, from}), appendUpdateKey(nil, ID{o, to + 1}))}
}

// next returns the next record, false if there is none that can be read.
func (s *logScan) next() (ID, *record, bool) {
	s.look()
	s.looked = false
	id, r := ID{s.origin, s.seq}, s.ahead
	if r == nil {
		return id, nil, false
	}
	if len(r.seal) == 0 {
		if s.look(); s.ahead != nil && len(s.ahead.before) > 0 && s.seq == id.Seq+1 {
			r.seal = s.ahead.before
		}
	}
	return id, r, true
}

// look reads ahead.
func (s *logScan) look() {
	if s.looked {
		return
	}
	s.looked, s.ahead = true, nil
	if s.it.Next() {
		s.seq = seqOfKey(s.it.Key())
		s.ahead, s.failed = decodeRecord(ID{s.origin, s.seq}, append([]byte(nil), s.it.Value()...))
	}
}

// close ends the scan. It returns why a record that next was called for could not be
// read, if one could not: nothing of one that was only looked at, nor of the iterator
// behind it.
func (s *logScan) close() error {
	err := firstOf(s.failed, s.it.Close())
	if s.looked {
		return nil
	}
	return err
}
