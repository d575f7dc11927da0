package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tidings-mesh/tidings/node/api/reply"
	"github.com/tidings-mesh/tidings/node/client"
)

type checkCmd struct {
	clientFlags
	Converged bool `help:"Ask besides that the node has all that any live member has."`
	MaxLag    *int `placeholder:"N" help:"Ask besides that at most N updates are known to exist and not applied on the node."`
}

// Help is the long text of the command.
func (c *checkCmd) Help() string {
	return "The first endpoint that answers is checked. The exit status is 0 if it is ready (and, with --converged, has converged, and," +
		" with --max-lag, is no further behind), 1 if it is not, and 5 if none answers. It prints one line that says so, and why:" +
		" \"OK\" or \"FAILED\", the node and its state, and, with --max-lag, numbers behind a bar as monitors of Nagios's kind plot them."
}

// Run prints how a node is; the exit status is for monitors.
func (c *checkCmd) Run(s *session) error {
	if c.MaxLag != nil && *c.MaxLag < 0 {
		return usagef("--max-lag: want 0 or more, got %d", *c.MaxLag)
	}
	asks, err := newClient(&c.clientFlags, client.Config{})
	if err != nil {
		return err
	}
	var result *readiness
	c.waits(s, func() bool {
		result, err = c.ask(s, asks)
		return err == nil && result.OK
	})
	if err != nil {
		return err
	}
	if s.json() {
		err = s.printJSON(result)
	} else {
		err = s.printLine("%s", result.text(s))
	}
	if err == nil && !result.OK {
		err = errUnmet
	}
	return err
}

// ask asks the first node that answers.
func (c *checkCmd) ask(s *session, asks *client.Client) (*readiness, error) {
	a, err := asks.Do(s.ctx, client.Request{Path: "/readyz", Any: true})
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable {
		return nil, notReadiness(a.Endpoint, a.Err())
	}
	r := &readiness{
		Endpoint:  a.Endpoint,
		Node:      a.Header.Get("Tidings-Node"),
		Ready:     a.Status == http.StatusOK,
		Converged: a.Header.Get("Tidings-Converged") == "true",
		maxLag:    c.MaxLag,
	}
	if !r.Ready {
		// Reason and progress are beside the problem's own members.
		if err := json.Unmarshal(a.Body, r); err != nil {
			r.Reason = fmt.Sprintf("status %d", a.Status)
		}
	} else if c.MaxLag != nil {
		if err := c.askLag(s, r); err != nil {
			return nil, notReadiness(r.Endpoint, err)
		}
	}
	r.OK = r.Ready && (r.Converged || !c.Converged) && (r.Lag == nil || *r.Lag <= uint64(*c.MaxLag))
	return r, nil
}

// notReadiness is an answer from which nothing is known, which is as bad as a no,
// whatever its code.
func notReadiness(endpoint string, err error) error {
	if errors.Is(err, client.ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%s does not tell how it is: %v", endpoint, err)
}

// askLag asks the node that answered how far behind it is.
func (c *checkCmd) askLag(s *session, r *readiness) error {
	same := c.clientFlags
	same.Endpoints = []string{r.Endpoint}
	asks, err := newClient(&same, client.Config{})
	if err != nil {
		return err
	}
	var m reply.Mesh
	if _, err := get(s.ctx, asks, "/v1/mesh", nil, &m); err != nil {
		return err
	}
	lag, held := uint64(0), uint64(0)
	for i := range m.Chains {
		lag += lagOf(&m.Chains[i])
		held += m.Chains[i].Held
	}
	r.Lag, r.Held, r.Converged = &lag, &held, m.Converged
	return nil
}

// readiness is what `check` found.
type readiness struct {
	OK        bool            `json:"ok"`
	Endpoint  string          `json:"endpoint"`
	Node      string          `json:"node"`
	Ready     bool            `json:"ready"`
	Converged bool            `json:"converged"`
	Reason    string          `json:"reason,omitempty"`
	Progress  *reply.Progress `json:"progress,omitempty"`
	Lag       *uint64         `json:"lag,omitempty"` // updates, where it was asked for
	Held      *uint64         `json:"held,omitempty"`

	maxLag *int
}

// text is the line for people and monitors.
func (r *readiness) text(s *session) string {
	word := s.painted(green, "OK")
	if !r.OK {
		word = s.painted(red, "FAILED")
	}
	parts := []string{"ready"}
	if !r.Ready {
		parts[0] = "not ready: " + plain(r.Reason)
		if p := r.Progress; p != nil && p.Want > 0 {
			parts[0] += fmt.Sprintf(" (%d of %d updates)", p.Have, p.Want)
		}
	}
	if r.Converged {
		parts = append(parts, "converged")
	} else {
		parts = append(parts, "not converged")
	}
	numbers := ""
	if r.Lag != nil {
		parts = append(parts, fmt.Sprintf("lag %d of at most %d", *r.Lag, *r.maxLag))
		numbers = fmt.Sprintf(" | lag=%d;;%d;0 held=%d;;;0", *r.Lag, *r.maxLag, *r.Held)
	}
	// A bar of the node's own words would begin the numbers.
	return word + " - " + strings.ReplaceAll(plain(r.Node)+": "+strings.Join(parts, ", "), "|", "/") + numbers
}
