package node_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/gossip"
	"github.com/tidings-mesh/tidings/node"
)

// A cursor of one node is a moment on another, in Go and over HTTP, and a history
// is the same picture.
func TestViewAtACursor(t *testing.T) {
	hub := gossip.NewHub()
	a := open(t, node.Config{Name: "wh-1", Authority: "warehouse", Hub: hub})
	b := open(t, node.Config{Name: "fl-1", Authority: "fleet", Hub: hub})
	publish(t, a, "order/1", `{"state":"placed"}`)
	require.NoError(t, b.Wait(t.Context(), publish(t, a, "order/1", `{"state":"picked"}`)))
	last := publish(t, b, "order/1", `{"van":7}`)
	require.NoError(t, a.Wait(t.Context(), last))

	var cursors, views []string
	for batch, err := range a.Changes(t.Context(), node.Limit(1)) {
		require.NoError(t, err)
		cursors = append(cursors, batch.Cursor.String())
		if batch.Updates[0].ID == last {
			break
		}
	}
	require.Len(t, cursors, 3)
	for _, c := range cursors {
		var texts []string
		for _, n := range []*node.Node{a, b} {
			s, err := n.ViewAt(t.Context(), "order/1", c)
			require.NoError(t, err)
			w := httptest.NewRecorder()
			n.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/subjects/order/1?at="+c, nil))
			require.Equal(t, string(s.AppendView(nil)), w.Body.String())
			require.Equal(t, `"`+s.ETag()+`"`, w.Header().Get("ETag"))
			texts = append(texts, w.Body.String())
			views = append(views, s.Status().String())
		}
		require.Equal(t, texts[0], texts[1])
	}
	require.Equal(t, []string{
		`{"state":"placed"}`, `{"state":"placed"}`, `{"state":"picked"}`, `{"state":"picked"}`,
		`{"state":"picked","van":7}`, `{"state":"picked","van":7}`,
	}, views)

	var pictures []string
	for _, n := range []*node.Node{a, b} {
		r := httptest.NewRequest("GET", "/v1/history/order/1", nil)
		r.Header.Set("Accept", "image/svg+xml")
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Contains(t, w.Body.String(), "<svg ")
		pictures = append(pictures, w.Body.String())
	}
	require.Equal(t, pictures[0], pictures[1], "a history is drawn the same everywhere")

	_, err := a.ViewAt(t.Context(), "order/2", cursors[2])
	require.ErrorIs(t, err, chain.ErrNotFound)
	_, err = a.ViewAt(t.Context(), "order/1", "now")
	require.ErrorIs(t, err, chain.ErrCursor)
	ahead := chain.Cursor{Frontier: chain.Frontier{last.Origin: last.Seq + 1}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.ViewAt(ended, "order/1", ahead.String())
	require.ErrorIs(t, err, context.Canceled)
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/subjects/order/1?at="+ahead.String(), nil))
	require.Equal(t, 503, w.Code)
}
