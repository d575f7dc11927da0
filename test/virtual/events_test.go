package virtual

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// stream is an event stream of one node, without a socket.
type stream struct {
	io.Writer
	header http.Header
	lines  *bufio.Scanner
	in     *io.PipeReader
	leave  context.CancelFunc
	done   chan struct{}
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(int)     {}
func (s *stream) Flush()              {}

// events follows a node's feed. What comes is written as it is read.
func (m *member) events(path, last string) *stream {
	ctx, leave := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	in, out := io.Pipe()
	s := &stream{out, http.Header{}, bufio.NewScanner(in), in, leave, make(chan struct{})}
	s.lines.Buffer(nil, 1<<20)
	go func() {
		defer close(s.done)
		m.Handler().ServeHTTP(s, r)
		_ = out.Close()
	}()
	return s
}

// next returns the next event.
func (s *stream) next() (name, id, data string) {
	for s.lines.Scan() && s.lines.Text() != "" {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	return name, id, data
}

func (s *stream) close() {
	s.leave()
	_ = s.in.Close()
	<-s.done
}

// A stream that breaks off on one node goes on, with the ID of its last event, on
// any other, which may be behind: each update comes once.
func TestEventsGoOnOnAnotherNode(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		nodes := w.mesh(3)
		b := newBooks()
		b.publish(w, nodes[1], "order/1")
		w.settle(5*time.Second, nodes...)
		seen, last := map[string]bool{}, ""
		for i := range 9 {
			m := nodes[i%3]
			s := m.events("/v1/changes?prefix=order", last)
			synctest.Wait()
			_, ok := b.publish(w, nodes[(i+1)%3], "van/1")
			require.True(t, ok)
			id, ok := b.publish(w, nodes[(i+2)%3], "order/1")
			require.True(t, ok)
			for !seen[id] {
				name, at, data := s.next()
				require.NotEmpty(t, name, "the stream ended")
				var p page
				require.NoError(t, json.Unmarshal([]byte(data), &p))
				require.Equal(t, at, p.Cursor)
				require.Equal(t, name == "changes", len(p.Updates) > 0)
				for _, u := range p.Updates {
					require.False(t, seen[u.ID], "%s came twice", u.ID)
					seen[u.ID] = true
				}
				last = at
			}
			s.close()
		}
		require.Len(t, seen, 10)
	})
}
