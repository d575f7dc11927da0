package api

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/tidings-mesh/tidings/chain"
)

// update answers GET /v1/updates/{id}.
func (h *Handler) update(x *exchange) error {
	if _, err := parseQuery(x.r.URL.RawQuery); err != nil {
		return err
	}
	id, err := chain.ParseID(x.rest)
	if err != nil {
		return newProblem(CodeNotFound, "id", err.Error())
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	u, state, err := h.backend.Update(id)
	if err != nil {
		return err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	b := appendOpenUpdate((*buf)[:0], u, state.Authority)
	b = append(b, `,"applied":`...)
	b = strconv.AppendBool(b, state.Applied)
	if !state.Applied && state.Reason != "" {
		b = append(b, `,"reason":`...)
		b = chain.AppendJSONString(b, state.Reason)
		b = append(b, `,"waiting_for":`...)
		b = appendIDs(b, state.WaitingFor)
	}
	*buf = append(b, '}')
	x.json(*buf)
	return nil
}

// appendOpenUpdate appends an update of any kind, without its closing brace.
func appendOpenUpdate(dst []byte, u *chain.Update, authority string) []byte {
	dst = chain.AppendUpdateJSON(dst, u, authority)
	dst = dst[:len(dst)-1]
	if u.Kind == chain.KindStatus {
		return dst
	}
	if u.Kind == chain.KindGenesis {
		dst = appendGenesis(dst, u.Delta)
	}
	// The hash covers these bytes, which have no form as JSON of their own.
	dst = append(dst, `,"body":`...)
	return appendBase64(dst, u.Delta)
}

// appendGenesis appends what a genesis says. One that cannot be read is shown
// by its body alone.
func appendGenesis(dst, body []byte) []byte {
	g, err := chain.DecodeGenesis(body)
	if err != nil {
		return dst
	}
	dst = append(dst, `,"genesis":{"public_key":`...)
	dst = appendBase64(dst, g.Key)
	dst = append(dst, `,"node":`...)
	dst = chain.AppendJSONString(dst, g.Node)
	dst = append(dst, `,"authority":`...)
	dst = chain.AppendJSONString(dst, g.Authority)
	dst = append(dst, `,"zone":`...)
	dst = chain.AppendJSONString(dst, g.Zone)
	dst = append(dst, `,"predecessor":`...)
	if g.Predecessor.IsZero() {
		dst = append(dst, "null"...)
	} else {
		dst = chain.AppendJSONString(dst, g.Predecessor.String())
	}
	return append(dst, '}')
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// chain answers GET /v1/chains/{origin}.
func (h *Handler) chain(x *exchange) error {
	q, err := parseQuery(x.r.URL.RawQuery, "from", "limit")
	if err != nil {
		return err
	}
	from, err := q.number("from", 1, 1, 1<<63-1)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 1_000, 1, 10_000)
	if err != nil {
		return err
	}
	origin, err := chain.ParseOrigin(x.rest)
	if err != nil {
		return newProblem(CodeNotFound, "origin", err.Error())
	}
	if _, err := negotiate(x.r, typeJSON); err != nil {
		return err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf, err = h.appendChain((*buf)[:0], origin, chain.Seq(from), int(limit))
	if err != nil {
		return err
	}
	x.json(*buf)
	return nil
}

// appendChain appends at most limit updates of a chain. It reads in parts, so
// that a page ends early once it is large.
func (h *Handler) appendChain(dst []byte, origin chain.Origin, from chain.Seq, limit int) ([]byte, error) {
	const part = 500
	var seals []chain.Seal
	var page *ChainPage
	for more := true; more; {
		ask := min(limit, part)
		next, err := h.backend.Chain(origin, from, ask)
		if err != nil {
			return dst, err
		}
		if page == nil {
			dst = appendChainHead(dst, next)
		}
		for i := range next.Updates {
			if page != nil || i > 0 {
				dst = append(dst, ',')
			}
			dst = appendChainUpdate(dst, &next.Updates[i], next.Authority)
		}
		page = next
		seals = append(seals, page.Seals...)
		limit -= len(page.Updates)
		from += chain.Seq(len(page.Updates))
		more = limit > 0 && len(page.Updates) == ask && len(dst) < maxPageBytes && from <= page.Head
	}
	dst = append(dst, `],"seals":[`...)
	for i := range seals {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSeal(dst, seals[i])
	}
	dst = append(dst, `],"head":`...)
	dst = strconv.AppendUint(dst, uint64(page.Head), 10)
	return append(appendFrozen(dst, page), '}'), nil
}

// appendFrozen appends where and why a chain was ended, and how its last update
// is signed where that takes more than what is left of it.
func appendFrozen(dst []byte, page *ChainPage) []byte {
	if f := page.Frozen; f != nil {
		dst = append(dst, `,"frozen":{"after":`...)
		dst = strconv.AppendUint(dst, uint64(f.After), 10)
		dst = append(dst, `,"reason":`...)
		dst = chain.AppendJSONString(dst, f.Reason.String())
		dst = append(dst, `,"detail":`...)
		dst = chain.AppendJSONString(dst, f.Detail)
		dst = append(dst, '}')
	}
	if page.Cover == nil {
		return dst
	}
	dst = append(dst, `,"evidence":{"links":[`...)
	for i, k := range page.Cover.Links {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"header":`...)
		dst = appendBase64(dst, k.Header)
		dst = append(dst, `,"body_hash":"`...)
		dst = hex.AppendEncode(dst, k.Body[:])
		dst = append(dst, `"}`...)
	}
	dst = append(dst, `],"seal":`...)
	return append(appendSeal(dst, page.Cover.Seal), '}')
}

func appendSeal(dst []byte, s chain.Seal) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, uint64(s.Seq), 10)
	dst = append(dst, `,"signature":`...)
	return append(appendBase64(dst, s.Signature[:]), '}')
}

func appendChainHead(dst []byte, page *ChainPage) []byte {
	dst = append(dst, `{"origin":`...)
	dst = chain.AppendJSONString(dst, page.Origin.String())
	dst = append(dst, `,"authority":`...)
	dst = chain.AppendJSONString(dst, page.Authority)
	dst = append(dst, `,"node":`...)
	dst = chain.AppendJSONString(dst, page.Node)
	dst = append(dst, `,"public_key":`...)
	dst = appendBase64(dst, page.PublicKey)
	return append(dst, `,"updates":[`...)
}

// appendChainUpdate appends an update with what its hash covers.
func appendChainUpdate(dst []byte, u *chain.ChainUpdate, authority string) []byte {
	dst = appendOpenUpdate(dst, &u.Update, authority)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, u.Prev[:])
	dst = append(dst, `","hash":"`...)
	dst = hex.AppendEncode(dst, u.Hash[:])
	dst = append(dst, `","header":`...)
	dst = appendBase64(dst, u.Header)
	return append(dst, '}')
}
