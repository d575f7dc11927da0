package api

import (
	"net/http"

	"github.com/tidings-mesh/tidings/chain"
)

// history answers GET /v1/history/{subject}.
func (h *Handler) history(x *exchange) error {
	if err := chain.CheckSubject(x.rest); err != nil {
		return newProblem(CodeBadSubject, "subject", err.Error())
	}
	q, err := parseQuery(x.r.URL.RawQuery, "wait", "at_least")
	if err != nil {
		return err
	}
	x.w.Header()["Vary"] = acceptHeader
	media, err := negotiate(x.r, typeJSON, typeNDJSON, typeSVG)
	if err != nil {
		return err
	}
	if err := h.atLeast(x, q); err != nil {
		return err
	}
	updates := h.backend.History(x.rest)
	if media == typeSVG {
		return h.drawHistory(x, updates)
	}
	out := &pieces{x: x, buf: getBuffer(), contentType: jsonHeader}
	defer putBuffer(out.buf)
	*out.buf = (*out.buf)[:0]
	if media == typeNDJSON {
		out.contentType = ndjsonHeader
	} else {
		*out.buf = append(*out.buf, `{"subject":`...)
		*out.buf = chain.AppendJSONString(*out.buf, x.rest)
		*out.buf = append(*out.buf, `,"updates":[`...)
	}
	names := authorities{backend: h.backend}
	found := false
	for u, err := range updates {
		if err != nil {
			return err
		}
		if found && media == typeJSON {
			*out.buf = append(*out.buf, ',')
		}
		found = true
		*out.buf = chain.AppendUpdateJSON(*out.buf, u, names.of(u.ID.Origin))
		if media == typeNDJSON {
			*out.buf = append(*out.buf, '\n')
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
	if !found {
		return errNoSubject
	}
	if media == typeJSON {
		*out.buf = append(*out.buf, `],"complete":true}`...)
	}
	return out.end()
}

var errNoSubject = newProblem(CodeNotFound, "subject", "nothing was ever said of this subject here")

// pieces is an answer that is sent whole where it is short, and in pieces where
// it is long, so that its length does not matter to the node.
type pieces struct {
	x           *exchange
	buf         *[]byte
	contentType []string
}

const pieceBytes = 64 << 10

// flush sends what there is if it is enough for a piece.
func (p *pieces) flush() error {
	if len(*p.buf) < pieceBytes {
		return nil
	}
	if p.x.status == 0 {
		p.x.w.Header()["Content-Type"] = p.contentType
		p.x.begin(http.StatusOK)
	}
	return p.write()
}

func (p *pieces) write() error {
	if p.x.r.Method == http.MethodHead {
		*p.buf = (*p.buf)[:0]
		return nil
	}
	p.x.extend()
	_, err := p.x.w.Write(*p.buf)
	*p.buf = (*p.buf)[:0]
	return err
}

func (p *pieces) end() error {
	if p.x.status == 0 {
		p.x.send(http.StatusOK, p.contentType, *p.buf)
		return nil
	}
	return p.write()
}

// authorities looks up whose chain an update is of, each chain once.
type authorities struct {
	backend Backend
	origin  chain.Origin // the last one asked for, often the next one too
	name    string
	known   map[chain.Origin]string
}

func (a *authorities) of(o chain.Origin) string {
	if o == a.origin {
		return a.name
	}
	name, ok := a.known[o]
	if !ok {
		name = a.backend.Authority(o)
		if a.known == nil {
			a.known = map[chain.Origin]string{}
		}
		a.known[o] = name
	}
	a.origin, a.name = o, name
	return name
}
