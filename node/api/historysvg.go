package api

import (
	"iter"
	"net/http"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node/api/svg"
)

// Header values of a picture. What a browser that opens it by itself may do is
// to show it: it has a style of its own, and refers to nothing.
var (
	svgHeader    = []string{typeSVG}
	svgCSPHeader = []string{"default-src 'none'; style-src 'unsafe-inline'"}
)

// drawHistory answers a history as a picture. Nothing is sent before it is whole.
func (h *Handler) drawHistory(x *exchange, updates iter.Seq2[*chain.Update, error]) error {
	history, names := svg.New(x.rest), authorities{backend: h.backend}
	found := false
	for u, err := range updates {
		if err == nil {
			err = x.r.Context().Err()
		}
		if err == nil {
			err = history.Add(u, names.of(u.ID.Origin))
		}
		if err != nil {
			return err
		}
		found = true
	}
	if !found {
		return errNoSubject
	}
	buf := getBuffer()
	defer putBuffer(buf)
	b, err := history.Append((*buf)[:0])
	if err != nil {
		return err
	}
	*buf = b
	x.w.Header()["Content-Security-Policy"] = svgCSPHeader
	x.send(http.StatusOK, svgHeader, b)
	return nil
}
