package api

import (
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

// drawHistory answers a history as a picture, from its first update and those
// that next returns. Nothing is sent before it is whole.
func (h *Handler) drawHistory(x *exchange, u *chain.Update, next func() (*chain.Update, error, bool)) error {
	history, names := svg.New(x.rest), authorities{backend: h.backend}
	for more := true; more; {
		if err := history.Add(u, names.of(u.ID.Origin)); err != nil {
			return err
		}
		if err := x.r.Context().Err(); err != nil {
			return err
		}
		var err error
		if u, err, more = next(); err != nil {
			return err
		}
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
