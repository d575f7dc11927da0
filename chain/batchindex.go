package chain

// batchIndex is what a batch has put into the index of subjects. Few batches look at
// it again, so only then it is made to be looked up in.
type batchIndex struct {
	entries []byte
	put     []indexPut
	byID    map[ID][]byte // of the first looked of put; nil for what was taken back
	looked  int
}

// indexPut is where the entry of an update ends in the batch's entries.
type indexPut struct {
	id  ID
	end int
}

func (x *batchIndex) add(id ID, entry []byte) {
	x.entries = append(x.entries, entry...)
	x.put = append(x.put, indexPut{id, len(x.entries)})
}

// get returns the entry of an update, nil for one that was taken back, and whether
// the batch has either.
func (x *batchIndex) get(id ID) (entry []byte, ok bool) {
	x.look()
	entry, ok = x.byID[id]
	return entry, ok
}

// takeBack forgets an update, whose entry may be the store's.
func (x *batchIndex) takeBack(id ID) {
	x.look()
	x.byID[id] = nil
}

func (x *batchIndex) look() {
	if x.byID == nil {
		x.byID = make(map[ID][]byte, len(x.put))
	}
	from := 0
	if x.looked > 0 {
		from = x.put[x.looked-1].end
	}
	for _, p := range x.put[x.looked:] {
		x.byID[p.id] = x.entries[from:p.end:p.end]
		from = p.end
	}
	x.looked = len(x.put)
}

// next is an empty one in the room of this one, if that is not too much to keep.
func (x *batchIndex) next() batchIndex {
	if cap(x.entries) > maxGrow || max(len(x.put), len(x.byID)) > roomKept {
		return batchIndex{}
	}
	clear(x.byID)
	return batchIndex{entries: x.entries[:0], put: x.put[:0], byID: x.byID}
}
