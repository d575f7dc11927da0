package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/chain"
)

// printBody prints a node's JSON as it came, as one line of its own.
func (s *session) printBody(body []byte) error {
	if _, err := s.out.Write(bytes.TrimRight(body, "\n")); err != nil {
		return err
	}
	_, err := s.out.Write([]byte("\n"))
	return err
}

// printJSON prints a result that was put together here.
func (s *session) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return s.printBody(b.Bytes())
}

// printLine prints one line of text.
func (s *session) printLine(format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format+"\n", args...)
	return err
}

// json reports whether results are wanted as JSON.
func (s *session) json() bool { return s.output == "json" }

// timeText is a time as nodes write it.
func timeText(t time.Time) string { return t.UTC().Format(chain.TimeLayout) }

// idsText is some IDs in a cell.
func idsText(ids []chain.ID) string { return strings.Join(idTexts(ids), " ") }

func idTexts(ids []chain.ID) (all []string) {
	for _, id := range ids {
		all = append(all, id.String())
	}
	return all
}
