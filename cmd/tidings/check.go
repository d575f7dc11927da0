package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidings-mesh/tidings/node/client"
)

type checkCmd struct {
	clientFlags
	Converged bool `help:"Ask besides that the node has all that any live member has."`
}

// Help is the long text of the command.
func (c *checkCmd) Help() string {
	return "The first endpoint that answers is checked. The exit status is 0 if it is ready (and, with --converged, has converged)," +
		" 1 if it is not, and 5 if none answers."
}

// Run prints a node's readiness; the exit status is for monitors.
func (c *checkCmd) Run(s *session) error {
	asks, err := newClient(&c.clientFlags)
	if err != nil {
		return err
	}
	a, err := asks.Do(s.ctx, client.Request{Path: "/readyz", Any: true})
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK && a.Status != http.StatusServiceUnavailable {
		return errors.Join(a.Err(), errUnmet)
	}
	result := readiness{
		Endpoint:  a.Endpoint,
		Node:      a.Header.Get("Tidings-Node"),
		Ready:     a.Status == http.StatusOK,
		Converged: a.Header.Get("Tidings-Converged") == "true",
	}
	if !result.Ready {
		// Reason and progress are beside the problem's own members.
		if err := json.Unmarshal(a.Body, &result); err != nil {
			result.Reason = fmt.Sprintf("status %d", a.Status)
		}
	}
	if s.json() {
		err = s.printJSON(result)
	} else {
		err = s.printLine("%s", result.String())
	}
	if err != nil {
		return err
	}
	if !result.Ready || c.Converged && !result.Converged {
		return errUnmet
	}
	return nil
}

// readiness is what `check` found.
type readiness struct {
	Endpoint  string `json:"endpoint"`
	Node      string `json:"node"`
	Ready     bool   `json:"ready"`
	Converged bool   `json:"converged"`
	Reason    string `json:"reason,omitempty"`
	Progress  *struct {
		Have uint64 `json:"have"`
		Want uint64 `json:"want"`
	} `json:"progress,omitempty"`
}

func (r *readiness) String() string {
	text := plain(r.Node) + ": ready"
	if !r.Ready {
		text = plain(r.Node) + ": not ready: " + plain(r.Reason)
		if p := r.Progress; p != nil && p.Want > 0 {
			text += fmt.Sprintf(" (%d of %d updates)", p.Have, p.Want)
		}
	}
	if r.Converged {
		return text + ", converged"
	}
	return text + ", not converged"
}
