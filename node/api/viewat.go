package api

import (
	"errors"

	"github.com/tidings-mesh/tidings/chain"
)

// viewAt answers GET /v1/subjects/{subject}?at=CURSOR: the view at the causal cut
// that a cursor of whatever filter stands for, once all of it is applied here.
// What is to be seen there comes by nothing that is still to be published, so
// nothing else is waited for.
func (h *Handler) viewAt(x *exchange, q query, text string) error {
	cursor, err := chain.ParseCursor(text)
	if err != nil {
		return newProblem(CodeBadCursor, "at", err.Error())
	}
	for _, name := range []string{"at_least", "expect"} {
		if value, ok := q.get(name); ok && value != "false" {
			return badRequest(name, "does not go with at, which asks for a moment of then")
		}
	}
	d, err := q.wait(0)
	if err != nil {
		return err
	}
	w, err := x.wait(d)
	if err != nil {
		return err
	}
	defer w.end()
	if err := h.applied(w, &atLeast{"at", cursor.Frontier, true}); err != nil {
		return err
	}
	w.end()
	state, err := h.backend.ViewAt(x.r.Context(), x.rest, cursor.Frontier)
	switch {
	case errors.Is(err, chain.ErrNotFound) || errors.Is(err, ErrNotFound):
		return newProblem(CodeNotFound, "subject", "nothing had been said of this subject at that cut")
	case err != nil:
		return err
	}
	return h.sendView(x, newView(state, state.ETag(), encode(state.AppendView)), x.r.Header["If-None-Match"])
}
