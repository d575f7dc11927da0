package chain

import (
	"crypto/ed25519"
	"fmt"
	"slices"
)

// SalvageOptions say what else is known of a damaged store.
type SalvageOptions struct {
	// Note is what HeadsNote last returned, nil if it is lost.
	Note []byte
	// Now is in Unix milliseconds.
	Now int64
}

// Salvaged says what came over from a damaged store, and what did not.
type Salvaged struct {
	Chains  []SalvagedChain // by origin
	Records int             // callers' records
	Keys    int             // idempotency keys that no update brings back
	Freezes int
	// Unread are the reasons for which some of those three may be missing.
	Unread []error
}

// SalvagedChain is what came over of one chain.
type SalvagedChain struct {
	Origin Origin
	// Have is the end of what is whole: all before it is there, linked, and
	// sealed, or of a chain that this node can sign.
	Have Head
	// Known is the last seq that the damaged store or its note told of.
	Known Seq
	// End is why it goes no further, nil if it is whole.
	End error
}

// Lost are the chains of which the damaged store had more.
func (r *Salvaged) Lost() (lost []SalvagedChain) {
	for _, c := range r.Chains {
		if c.Have.Seq < c.Known {
			lost = append(lost, c)
		}
	}
	return lost
}

// Salvage makes a ledger in the empty store to from whatever a damaged one
// still gives. Nothing of it is believed: each chain is taken from seq 1 as far
// as its updates are there, link, and end in a good seal (those of the config's keys as
// far as they have the hashes that they were written with), and goes through the
// ledger's own rules, so that every view and index is folded anew. Freezes come
// over if their proof is good; callers' records, and the keys that were answered
// without an update, as they are. from may answer any call with an error. The
// error returned is that of the store to.
func Salvage(from Reader, to Store, c Config, o SalvageOptions) (*Salvaged, error) {
	l, err := NewLedger(to, c, o.Now)
	if err != nil {
		return nil, err
	}
	r := &salvage{from: from, to: to, ledger: l, now: o.Now, known: map[Origin]Seq{}, own: map[Origin]ed25519.PrivateKey{}, out: &Salvaged{}}
	for _, key := range slices.Concat(c.Former, []ed25519.PrivateKey{c.Key}) {
		r.own[OriginOf(key.Public().(ed25519.PublicKey))] = key
	}
	r.findChains(o.Note)
	for _, step := range []func() error{r.chains, r.keys, r.records, r.flush, to.Sync} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("salvage ledger: %w", err)
		}
	}
	return r.out, nil
}

// salvage is one under way.
type salvage struct {
	from   Reader
	to     Store
	ledger *Ledger
	now    int64
	known  map[Origin]Seq // chains, and the last seq that anything told of
	own    map[Origin]ed25519.PrivateKey
	size   int // bytes since the last flush
	out    *Salvaged
}

func (r *salvage) findChains(note []byte) {
	told := func(id ID) { r.known[id.Origin] = max(r.known[id.Origin], id.Seq) }
	heads, err := decodeNote(note)
	if err != nil {
		heads = nil // it is for who reads it to say so
	}
	for _, h := range heads {
		told(ID{h.Origin, h.Seq})
	}
	r.unread("chains", r.each(keyChain, func(key, value []byte) {
		if len(key) != 1+16 {
			return
		}
		o := Origin(key[1:])
		told(ID{Origin: o})
		if c, err := decodeChainRecord(o, value); err == nil {
			told(ID{o, c.tail.Seq})
		}
	}))
	// The log tells of chains whose record is gone.
	lo, hi := kindRange(keyUpdate)
	it := r.from.Scan(lo, hi)
	for ok := it.Next(); ok; {
		key := it.Key()
		if len(key) != 1+16+8 {
			break
		}
		o := Origin(key[1:17])
		told(ID{o, 1})
		past := appendUpdateKey(nil, ID{o, ^Seq(0)})
		ok = it.SeekGE(append(past, 0))
	}
	r.unread("log", it.Close())
}

// each visits the keys of one kind as far as they can be read.
func (r *salvage) each(kind byte, visit func(key, value []byte)) error {
	it := r.from.Scan(kindRange(kind))
	for it.Next() {
		// Decoded values point into what they are read from.
		visit(append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...))
	}
	return it.Close()
}

// unread notes that some records of a kind could not be read.
func (r *salvage) unread(what string, err error) {
	if err != nil {
		r.out.Unread = append(r.out.Unread, fmt.Errorf("%s: %w", what, err))
	}
}

// chains takes over each chain, and then the freezes: what one takes back was
// applied, and is told from what came when the freeze was known.
func (r *salvage) chains() error {
	origins := make(Frontier, len(r.known))
	for o := range r.known {
		origins[o] = 1
	}
	ends := map[Origin]error{}
	for _, o := range origins.Origins() {
		w := walk{salvage: r, run: Run{Origin: o, First: 1}, own: r.own[o]}
		end, err := w.all()
		if err != nil {
			return err
		}
		refused, err := w.sign()
		if err != nil {
			return err
		}
		ends[o] = firstOf(refused, end)
	}
	var failed error
	r.unread("freezes", r.each(keyFreeze, func(key, value []byte) {
		if len(key) != 1+16 || failed != nil {
			return
		}
		var bad error
		if bad, failed = r.freeze(Origin(key[1:]), value); bad != nil {
			r.unread("freezes", bad)
		}
	}))
	if failed != nil {
		return failed
	}
	for _, o := range origins.Origins() {
		c := SalvagedChain{Origin: o, Have: r.ledger.Head(o), Known: r.known[o]}
		if f := r.ledger.Frozen(o); f != nil {
			c.Known = min(c.Known, f.After)
		}
		if c.Have.Seq < c.Known {
			c.End = ends[o]
		}
		r.out.Chains = append(r.out.Chains, c)
	}
	return r.flush()
}

// freeze takes over a freeze by its evidence. bad is why it shows none, err that
// of the store that it goes to.
func (r *salvage) freeze(o Origin, value []byte) (bad, err error) {
	f, bad := decodeFreeze(o, value)
	if bad == nil {
		bad = f.Verify()
	}
	if bad != nil {
		return bad, nil
	}
	out, err := r.ledger.AcceptFreeze(f, r.now)
	if err != nil {
		return nil, err
	}
	if r.ledger.Frozen(o) == nil {
		return fmt.Errorf("freeze of %s: %s: %w", o, out.Verdict, out.Err), nil
	}
	r.out.Freezes++
	return nil, nil
}

// keys takes over the keys that no update brought back, unless what they were
// answered is not here.
func (r *salvage) keys() error {
	var failed error
	err := r.each(keyTag, func(key, value []byte) {
		if failed != nil || len(key) != 1+16 {
			return
		}
		k, err := decodeKeyRecord(value)
		if err != nil || !k.id.IsZero() && r.ledger.Head(k.id.Origin).Seq < k.id.Seq {
			return
		}
		here, err := r.ledger.keyRecord([16]byte(key[1:]))
		if err != nil {
			failed = err
			return
		}
		if here != nil && here.millis >= k.millis {
			return
		}
		r.ledger.remember(KeyTag{Key: [16]byte(key[1:]), Content: k.content}, Receipt{ID: k.id, Unchanged: k.unchanged}, k.millis)
		r.out.Keys++
		failed = r.grown(64)
	})
	r.unread("keys", err)
	return failed
}

// records takes over the callers' records.
func (r *salvage) records() error {
	var failed error
	err := r.each(keyPrivate, func(key, value []byte) {
		if failed == nil {
			r.ledger.PutPrivate(string(key[1:]), append([]byte{}, value...))
			r.out.Records++
			failed = r.grown(len(key) + len(value))
		}
	})
	r.unread("callers' records", err)
	return failed
}

// grown flushes once enough has come together.
func (r *salvage) grown(size int) error {
	const most = 4 << 20
	if r.size += size; r.size < most {
		return nil
	}
	return r.flush()
}

func (r *salvage) flush() error {
	r.size = 0
	for {
		batch, _, err := r.ledger.Flush(r.now)
		if err != nil {
			return err
		}
		if batch.Len() > 0 {
			if err := r.to.Commit(batch, false); err != nil {
				return err
			}
		}
		if !r.ledger.Pending() {
			return nil
		}
		if err := r.ledger.Continue(r.now); err != nil {
			return err
		}
	}
}

// walk takes one chain from its beginning to where it stops being whole.
type walk struct {
	*salvage
	run  Run // gathered since the last seal
	size int
	key  ed25519.PublicKey
	own  ed25519.PrivateKey // of the chain, nil if it is another node's
}

// all returns why the chain ends, and the error of the store that it goes to.
func (w *walk) all() (end, err error) {
	seq := Seq(1)
	it := w.from.Scan(appendUpdateKey(nil, ID{w.run.Origin, 1}), appendUpdateKey(nil, ID{w.run.Origin, maxSeq}))
	for ; it.Next() && string(it.Key()) == string(appendUpdateKey(nil, ID{w.run.Origin, seq})); seq++ {
		end, err := w.take(ID{w.run.Origin, seq}, append([]byte(nil), it.Value()...))
		if end != nil || err != nil {
			_ = it.Close()
			return end, err
		}
	}
	_ = it.Close() // damage that ends a walk over many may spare what is read alone
	for ; ; seq++ {
		id := ID{w.run.Origin, seq}
		b, err := w.from.Get(appendUpdateKey(nil, id))
		if err != nil || b == nil {
			if err == nil {
				err = missingRecord(id)
			}
			return err, nil
		}
		if end, err := w.take(id, b); end != nil || err != nil {
			return end, err
		}
	}
}

// take adds a record to the run, which goes into the ledger once it is sealed.
func (w *walk) take(id ID, b []byte) (end, err error) {
	r, end := decodeRecord(id, b)
	if end == nil && r.hlc == 0 {
		end = fmt.Errorf("update %s is evidence beyond a freeze: %w", id, ErrFrozen)
	}
	if end != nil {
		return end, nil
	}
	if w.own != nil {
		return w.takeOwn(id, r)
	}
	if len(r.before) > 0 && len(w.run.Entries) > 0 {
		if end, err := w.sealed(r.before); end != nil || err != nil {
			return end, err
		}
	}
	w.run.Entries = append(w.run.Entries, Entry{Header: r.header, Body: r.body})
	if w.size += len(b); w.size > 2*MaxRun {
		return fmt.Errorf("chain %s has no seal up to seq %d: %w", id.Origin, id.Seq, ErrCorrupt), nil
	}
	if len(r.seal) == 0 {
		return nil, nil
	}
	return w.sealed(r.seal)
}

// takeOwn adds a record of a chain that this node can sign, if it is what was written.
// The log need not have a seal of it.
func (w *walk) takeOwn(id ID, r *record) (end, err error) {
	prev := w.run.Prev
	if n := len(w.run.Entries); n > 0 {
		prev = w.run.Entries[n-1].Hash
	}
	e := Entry{Header: r.header, Body: r.body, Hash: HashUpdate(prev, r.header, r.body)}
	if e.Hash != r.hash {
		return fmt.Errorf("update %s has hash %s, and was written with %s: %w", id, e.Hash, r.hash, ErrCorrupt), nil
	}
	if w.size+entrySize(e)+runOverhead > MaxRun {
		if end, err := w.sign(); end != nil || err != nil {
			return end, err
		}
	}
	w.run.Entries = append(w.run.Entries, e)
	w.size += entrySize(e)
	return nil, nil
}

// sign seals what is gathered of a chain that this node can sign.
func (w *walk) sign() (end, err error) {
	if w.own == nil || len(w.run.Entries) == 0 {
		return nil, nil
	}
	seal := Sign(w.own, w.run.Head())
	return w.sealed(seal[:])
}

// sealed has the ledger take the run, under a seal.
func (w *walk) sealed(seal []byte) (end, err error) {
	run := w.run
	run.Signature = [ed25519.SignatureSize]byte(seal)
	if end := run.Verify(w.key); end != nil {
		return end, nil
	}
	out, err := w.ledger.Accept(&run, w.now)
	if err != nil {
		return nil, err
	}
	if out.Verdict != Accepted {
		w.run.Entries = nil // not to be offered again
		return fmt.Errorf("updates up to %s: %s: %w", ID{run.Origin, run.Last()}, out.Verdict, out.Err), nil
	}
	w.key = w.ledger.chain(run.Origin).tail.Key()
	err = w.grown(w.size)
	w.run, w.size = Run{Origin: run.Origin, First: run.Last() + 1, Prev: run.Head().Hash}, 0
	return nil, err
}
