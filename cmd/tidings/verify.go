package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type verifyCmd struct {
	clientFlags
	Origin string `arg:"" optional:"" help:"The chain to check; all that the node has, if absent."`
}

// Help is the long text of the command.
func (c *verifyCmd) Help() string {
	return "The node is not taken at its word: the chain is fetched whole and every hash, signature and field is computed here, from" +
		" the public key that the origin is the hash of. The exit status is 1 if any chain does not hold. A chain that was frozen holds" +
		" up to there: that it was, and why, is the node's word."
}

// verdict is what was found of one chain.
type verdict struct {
	Origin    string `json:"origin"`
	Authority string `json:"authority"`
	Node      string `json:"node"`
	Verified  uint64 `json:"verified"` // the seq up to which all holds
	Seals     int    `json:"seals"`    // signatures checked
	OK        bool   `json:"ok"`
	Error     string `json:"error,omitempty"`
	// Frozen is where and why the chain was ended, as the node says, where it was.
	Frozen *frozenJSON `json:"frozen,omitempty"`
}

// Run checks one chain, or all that a node has.
func (c *verifyCmd) Run(s *session) error {
	var origins []chain.Origin
	if c.Origin != "" {
		o, err := chain.ParseOrigin(c.Origin)
		if err != nil {
			return usagef("%w", err)
		}
		origins = append(origins, o)
	}
	asks, err := c.client(s)
	if err != nil {
		return err
	}
	if c.Origin == "" {
		if origins, err = c.all(s, asks); err != nil {
			return err
		}
	}
	all := []verdict{}
	bad := false
	for _, o := range origins {
		v, err := verifyChain(s, asks, o)
		if err != nil {
			return err
		}
		bad = bad || !v.OK
		all = append(all, *v)
	}
	if err := printVerdicts(s, all); err != nil {
		return err
	}
	if bad {
		return errUnmet
	}
	return nil
}

// all are the origins of the chains that a node has.
func (c *verifyCmd) all(s *session, asks *client.Client) ([]chain.Origin, error) {
	var m reply.Mesh
	if _, err := get(s.ctx, asks, "/v1/mesh", nil, &m); err != nil {
		return nil, err
	}
	var origins []chain.Origin
	for i := range m.Chains {
		origins = append(origins, m.Chains[i].Origin)
	}
	return origins, nil
}

func printVerdicts(s *session, all []verdict) error {
	if s.json() {
		return s.printJSON(struct {
			Chains []verdict `json:"chains"`
		}{all})
	}
	t := s.newTable("ORIGIN", "AUTHORITY", "NODE", "VERIFIED", "SEALS", "RESULT")
	for i := range all {
		v := &all[i]
		result := "ok"
		switch {
		case !v.OK:
			result = "BAD: " + v.Error
		case v.Frozen != nil:
			result = "ok, and " + v.Frozen.String()
		}
		t.row(v.Origin, v.Authority, v.Node, strconv.FormatUint(v.Verified, 10), strconv.Itoa(v.Seals), result)
		t.paint(5, statusPaint(result))
	}
	return t.flush()
}

// What a node claims of a chain is read as text, as malformed as it may be: to hold
// it against the chain is what is done here, and what it is not is in the verdict.

// chainPageJSON is a part of a chain.
type chainPageJSON struct {
	Origin    string            `json:"origin"`
	Authority string            `json:"authority"`
	Node      string            `json:"node"`
	PublicKey string            `json:"public_key"`
	Updates   []chainUpdateJSON `json:"updates"`
	Seals     []sealJSON        `json:"seals"`
	Head      uint64            `json:"head"`
	Frozen    *frozenJSON       `json:"frozen"`
	Evidence  *evidenceJSON     `json:"evidence"`
}

type sealJSON struct {
	Seq       uint64 `json:"seq"`
	Signature string `json:"signature"`
}

// frozenJSON is where and why a chain was ended.
type frozenJSON struct {
	After  uint64 `json:"after"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

func (f *frozenJSON) String() string {
	return fmt.Sprintf("frozen after seq %d (%s: %s)", f.After, f.Reason, f.Detail)
}

// evidenceJSON leads from the last update of a chain that was ended to the seal
// that covers it.
type evidenceJSON struct {
	Links []struct {
		Header   string `json:"header"`
		BodyHash string `json:"body_hash"`
	} `json:"links"`
	Seal sealJSON `json:"seal"`
}

// chainUpdateJSON is an update with what its hash is made of: the hash before
// it, its header and its body. The body is the delta's text; that of a genesis
// and of an unknown kind stands in "body".
type chainUpdateJSON struct {
	ID        string          `json:"id"`
	Subject   string          `json:"subject"`
	Authority string          `json:"authority"`
	Time      string          `json:"time"`
	HLC       string          `json:"hlc"`
	Deps      []string        `json:"deps"`
	Delta     json.RawMessage `json:"delta"`
	Cause     string          `json:"cause"`
	Hook      string          `json:"hook"`
	Kind      string          `json:"kind"`
	Prev      string          `json:"prev"`
	Hash      string          `json:"hash"`
	Header    string          `json:"header"`
	Body      string          `json:"body"`
}

const chainPage = 1_000

// verifyChain fetches a chain and checks it. What is wrong with the chain is
// in the verdict; the error is one of asking for it.
func verifyChain(s *session, asks *client.Client, o chain.Origin) (*verdict, error) {
	v := &verifier{tail: chain.Tail{Head: chain.Head{Origin: o}}}
	out := &verdict{Origin: o.String()}
	for {
		var page chainPageJSON
		q := url.Values{"from": {(v.tail.Seq + 1).String()}, "limit": {strconv.Itoa(chainPage)}}
		if _, err := get(s.ctx, asks, "/v1/chains/"+o.String(), q, &page); err != nil {
			return nil, err
		}
		out.Authority, out.Node, out.Frozen = page.Authority, page.Node, page.Frozen
		err := v.page(&page)
		more := err == nil && len(page.Updates) > 0 && uint64(v.tail.Seq) < page.Head
		if err == nil && !more && page.Evidence != nil {
			err = v.evidence(page.Evidence)
		}
		if err == nil && !more {
			err = v.end(&page)
		}
		out.Verified, out.Seals = uint64(v.sealed), v.seals
		if err != nil {
			out.Error = err.Error()
			return out, nil
		}
		if !more {
			out.OK = true
			return out, nil
		}
	}
}

// verifier reads a chain from its front.
type verifier struct {
	tail   chain.Tail
	sealed chain.Seq // the highest seq under a signature that holds
	seals  int
}

func (v *verifier) page(p *chainPageJSON) error {
	if p.Origin != v.tail.Origin.String() {
		return fmt.Errorf("asked for %s, got %s", v.tail.Origin, p.Origin)
	}
	seals := map[chain.Seq]string{}
	for _, seal := range p.Seals {
		seals[chain.Seq(seal.Seq)] = seal.Signature
	}
	for i := range p.Updates {
		if err := v.update(&p.Updates[i]); err != nil {
			return err
		}
		if signature, ok := seals[v.tail.Seq]; ok {
			if err := v.seal(signature); err != nil {
				return err
			}
		}
	}
	return nil
}

// update links one update, decodes its header and holds every field that the
// node gave against it.
func (v *verifier) update(j *chainUpdateJSON) error {
	id := chain.ID{Origin: v.tail.Origin, Seq: v.tail.Seq + 1}
	if j.ID != id.String() {
		return fmt.Errorf("%s: want %s there", j.ID, id)
	}
	header, err := decodeBase64(j.Header)
	if err != nil {
		return fmt.Errorf("%s: header: %w", id, err)
	}
	body := []byte(j.Delta)
	if j.Body != "" {
		if body, err = decodeBase64(j.Body); err != nil {
			return fmt.Errorf("%s: body: %w", id, err)
		}
	}
	prev := v.tail.Hash
	if j.Prev != prev.String() {
		return fmt.Errorf("%s: prev is %s, the update before it has %s", id, j.Prev, prev)
	}
	entry := chain.Entry{Header: header, Body: body, Hash: chain.HashUpdate(prev, header, body)}
	if j.Hash != entry.Hash.String() {
		return fmt.Errorf("%s: hash is %s, computed %s", id, j.Hash, entry.Hash)
	}
	u, err := v.tail.Next(&entry)
	if err != nil {
		return err
	}
	return sameFields(u, v.tail.Genesis.Authority, j)
}

// sameFields holds the JSON of an update against what its header says, and its
// chain's genesis.
func sameFields(u *chain.Update, authority string, j *chainUpdateJSON) error {
	deps := make([]string, 0, len(u.Deps))
	for _, dep := range u.Deps {
		deps = append(deps, dep.String())
	}
	cause := ""
	if !u.Cause.IsZero() {
		cause = u.Cause.String()
	}
	var wrong error
	same := func(field, said, is string) {
		if said != is && wrong == nil {
			wrong = fmt.Errorf("%s: %s is given as %q, its chain says %q", u.ID, field, said, is)
		}
	}
	same("authority", j.Authority, authority)
	same("hlc", j.HLC, u.HLC.String())
	same("time", j.Time, u.HLC.Time().Format("2006-01-02T15:04:05.000Z"))
	if u.Kind != chain.KindStatus {
		same("kind", j.Kind, u.Kind.String())
		return wrong
	}
	same("subject", j.Subject, u.Subject)
	same("cause", j.Cause, cause)
	same("hook", j.Hook, u.Hook)
	if wrong == nil && !slices.Equal(j.Deps, deps) {
		wrong = fmt.Errorf("%s: deps are given as %v, its chain says %v", u.ID, j.Deps, deps)
	}
	return wrong
}

// seal checks a signature over the chain up to its tail.
func (v *verifier) seal(signature string) error { return v.cover(&chain.Cover{}, signature) }

// evidence checks the signature that covers the tail of a chain which was ended
// within a run: the run's own, further on.
func (v *verifier) evidence(j *evidenceJSON) error {
	c := &chain.Cover{}
	for i := range j.Links {
		header, err := decodeBase64(j.Links[i].Header)
		if err != nil {
			return fmt.Errorf("evidence %d: header: %w", i, err)
		}
		body, err := chain.ParseHash(j.Links[i].BodyHash)
		if err != nil {
			return fmt.Errorf("evidence %d: body_hash: %w", i, err)
		}
		c.Links = append(c.Links, chain.Link{Header: header, Body: body})
	}
	return v.cover(c, j.Seal.Signature)
}

// cover checks a signature over the chain up to its tail and the links that
// follow it.
func (v *verifier) cover(c *chain.Cover, signature string) error {
	raw, err := decodeBase64(signature)
	if err != nil || len(raw) != ed25519.SignatureSize {
		return fmt.Errorf("seal of %s.%d: not a signature", v.tail.Origin, v.tail.Seq+chain.Seq(len(c.Links)))
	}
	c.Seal.Signature = [ed25519.SignatureSize]byte(raw)
	if err := c.Verify(v.tail.Key(), v.tail.Head); err != nil {
		return err
	}
	v.sealed = v.tail.Seq
	v.seals++
	return nil
}

// end checks what can only be told of the whole chain.
func (v *verifier) end(p *chainPageJSON) error {
	key, err := decodeBase64(p.PublicKey)
	switch {
	case uint64(v.tail.Seq) < p.Head:
		return fmt.Errorf("the node has updates up to %d and gave them up to %d", p.Head, v.tail.Seq)
	case v.tail.Seq == 0:
		return errors.New("no updates")
	case v.sealed < v.tail.Seq:
		return fmt.Errorf("updates after %d have no signature", v.sealed)
	case err != nil || !bytes.Equal(key, v.tail.Key()):
		return errors.New("public_key is not that of the genesis")
	case p.Authority != v.tail.Genesis.Authority || p.Node != v.tail.Genesis.Node:
		return fmt.Errorf("given as node %q of authority %q, its genesis says %q of %q",
			p.Node, p.Authority, v.tail.Genesis.Node, v.tail.Genesis.Authority)
	}
	return nil
}

// decodeBase64 reads standard base64.
func decodeBase64(s string) ([]byte, error) { return base64.StdEncoding.Strict().DecodeString(s) }
