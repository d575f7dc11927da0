package main

import "encoding/json"

// The parts of a node's answers that commands read. Whatever they leave out is
// still in what -o json prints, which is the node's own text.

type updateJSON struct {
	ID        string          `json:"id"`
	Subject   string          `json:"subject"`
	Authority string          `json:"authority"`
	Time      string          `json:"time"`
	HLC       string          `json:"hlc"`
	Deps      []string        `json:"deps"`
	Delta     json.RawMessage `json:"delta"`
	Cause     string          `json:"cause"`
	Hook      string          `json:"hook"`
}

type viewJSON struct {
	Subject     string                   `json:"subject"`
	Status      json.RawMessage          `json:"status"`
	Authorities map[string]authorityJSON `json:"authorities"`
	Conflicts   []conflictJSON           `json:"conflicts"`
	Heads       []string                 `json:"heads"`
	Updates     uint64                   `json:"updates"`
	Time        string                   `json:"time"`
	Expected    []string                 `json:"expected"` // this and the next two only where asked for
	Missing     []string                 `json:"missing"`
	Late        []string                 `json:"late"`
}

type authorityJSON struct {
	Status json.RawMessage `json:"status"`
	Update string          `json:"update"`
	Time   string          `json:"time"`
}

type conflictJSON struct {
	Path   string      `json:"path"`
	Writes []writeJSON `json:"writes"`
}

type writeJSON struct {
	Value     json.RawMessage `json:"value"`
	Deleted   bool            `json:"deleted"`
	Authority string          `json:"authority"`
	Update    string          `json:"update"`
	Time      string          `json:"time"`
}

type historyJSON struct {
	Subject  string       `json:"subject"`
	Updates  []updateJSON `json:"updates"`
	Complete bool         `json:"complete"`
}

type meshJSON struct {
	Node      string       `json:"node"`
	Authority string       `json:"authority"`
	Origin    string       `json:"origin"`
	Version   string       `json:"version"`
	Converged bool         `json:"converged"`
	Root      string       `json:"root"`
	Members   []memberJSON `json:"members"`
	Chains    []chainJSON  `json:"chains"`
	Held      []heldJSON   `json:"held"`
}

type memberJSON struct {
	Name      string  `json:"name"`
	Authority string  `json:"authority"`
	Origin    string  `json:"origin"`
	Addr      string  `json:"addr"`
	HTTP      string  `json:"http"`
	Status    string  `json:"status"`
	Zone      string  `json:"zone"`
	RTTMs     float64 `json:"rtt_ms"`
	Root      string  `json:"root"`
	Behind    uint64  `json:"behind"`
}

type chainJSON struct {
	Origin    string `json:"origin"`
	Authority string `json:"authority"`
	Node      string `json:"node"`
	Head      uint64 `json:"head"`
	Applied   uint64 `json:"applied"`
	Known     uint64 `json:"known"`
	Held      uint64 `json:"held"`
	AgeMs     int64  `json:"age_ms"`
	Frozen    string `json:"frozen"`
}

type heldJSON struct {
	ID         string   `json:"id"`
	Reason     string   `json:"reason"`
	WaitingFor []string `json:"waiting_for"`
	AgeMs      int64    `json:"age_ms"`
}

type receiptJSON struct {
	ID        *string `json:"id"`
	Status    int     `json:"status"` // of one among many
	Unchanged bool    `json:"unchanged"`
	Acks      int     `json:"acks"`
}
