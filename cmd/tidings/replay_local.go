package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/node"
)

// fleet is the nodes that a replay starts in this process, one for each
// authority.
type fleet struct {
	connect func(*node.Config) // how they meet
	dir     string             // "" for nodes in memory
	log     *slog.Logger

	mu     sync.Mutex // protects berths
	berths map[string]*berth
}

// berth is the place of an authority's node, which is opened once.
type berth struct {
	once sync.Once
	o    *localOutlet
	err  error
}

// localOutlet is a node in this process.
type localOutlet struct {
	*feeder
	n        *node.Node
	gathered *prometheus.Registry
}

// get returns an authority's node, and opens it if need be.
func (f *fleet) get(ctx context.Context, authority string) (*localOutlet, error) {
	f.mu.Lock()
	b := f.berths[authority]
	if b == nil {
		b = &berth{}
		f.berths[authority] = b
	}
	f.mu.Unlock()
	b.once.Do(func() { b.o, b.err = f.open(ctx, authority) })
	return b.o, b.err
}

func (f *fleet) open(ctx context.Context, authority string) (*localOutlet, error) {
	c := node.Config{Name: fleetName(authority), Authority: authority, Logger: f.log, Version: build().Version}
	if f.dir != "" {
		c.DataDir = filepath.Join(f.dir, fleetDir(authority))
	}
	gathered := prometheus.NewRegistry()
	c.Metrics = gathered
	f.connect(&c)
	n, err := node.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("node of %s: %w", plain(authority), err)
	}
	o := &localOutlet{feeder: &feeder{deliver: deliverTo(n)}, n: n, gathered: gathered}
	o.start()
	return o, nil
}

// openAll opens the nodes of some authorities, and those whose directories are
// there from an earlier replay: its updates may depend on theirs.
func (f *fleet) openAll(ctx context.Context, authorities []string) error {
	before, err := f.before()
	if err != nil {
		return err
	}
	// Side by side: a node that was restored waits for others to tell what it
	// lacks.
	authorities = append(before, authorities...)
	errs := make([]error, len(authorities))
	var wg sync.WaitGroup
	for i, authority := range authorities {
		wg.Go(func() { _, errs[i] = f.get(ctx, authority) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// before finds the authorities whose nodes were kept here.
func (f *fleet) before() ([]string, error) {
	if f.dir == "" {
		return nil, nil
	}
	if begun(f.dir) {
		return nil, fmt.Errorf("--data-dir %s is one node's own; give a directory to keep several in", f.dir)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	var found []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(f.dir, e.Name(), "identity.json"))
		if err != nil {
			continue // not a node's; where it is one, opening it says what is wrong
		}
		var id struct{ Authority string }
		if json.Unmarshal(text, &id) == nil && fleetDir(id.Authority) == e.Name() {
			found = append(found, id.Authority)
		}
	}
	return found, nil
}

// all returns the nodes that are open, by authority. None is being opened.
func (f *fleet) all() []*localOutlet {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*localOutlet
	for _, authority := range slices.Sorted(maps.Keys(f.berths)) {
		if o := f.berths[authority].o; o != nil {
			all = append(all, o)
		}
	}
	return all
}

// close closes all nodes side by side.
func (f *fleet) close() error {
	all := f.all()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, o := range all {
		wg.Go(func() {
			o.close()
			errs[i] = o.n.Close()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fleetName names an authority's node. Its authority alone would clash with a
// node that is called after it.
func fleetName(authority string) string {
	const prefix = "replay-"
	if len(prefix)+len(authority) <= chain.MaxName {
		return prefix + authority
	}
	return prefix + digest(authority)
}

// fleetDir names an authority's directory: as it is called where that is safe
// in every file system, else escaped, and cut with a digest where it is long.
func fleetDir(authority string) string {
	const most = 100
	var b strings.Builder
	for i, c := range []byte(authority) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() <= most {
		return b.String()
	}
	return b.String()[:most] + "-" + digest(authority)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

func (o *localOutlet) name() string { return o.n.Name() }

// deliverTo publishes batches on a node.
func deliverTo(n *node.Node) func(context.Context, []*replayLine) ([]replayAnswer, error) {
	return func(ctx context.Context, lines []*replayLine) ([]replayAnswer, error) {
		answers, acks := make([]replayAnswer, len(lines)), make([]*node.Ack, len(lines))
		for i, l := range lines {
			ack, err := n.Enqueue(ctx, node.Draft{Subject: l.subject, Delta: l.delta, Key: l.key})
			if err == nil {
				acks[i] = ack
			} else if answers[i], err = notTaken(n, err); err != nil {
				return nil, err
			}
		}
		for i, ack := range acks {
			if ack == nil {
				continue
			}
			r, err := ack.Wait(ctx)
			if err == nil {
				answers[i].replayOutcome = replayOutcome{id: r.ID, unchanged: r.Unchanged, repeated: r.Repeated}
			} else if answers[i], err = notTaken(n, err); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}
}

// notTaken tells the line's fault, what may pass, and the node's failure apart.
func notTaken(n *node.Node, err error) (replayAnswer, error) {
	var refused *chain.DraftError
	switch {
	case errors.As(err, &refused):
		return replayAnswer{replayOutcome: replayOutcome{refused: refused}}, nil
	case n.FailedBy() != nil:
		return replayAnswer{}, n.FailedBy()
	case errors.Is(err, node.ErrBusy), errors.Is(err, node.ErrNotReady), errors.Is(err, node.ErrClockSkew), errors.Is(err, chain.ErrRecovering):
		return replayAnswer{later: err}, nil
	}
	return replayAnswer{}, err
}

func (o *localOutlet) await(ctx context.Context, id chain.ID) error { return o.n.Wait(ctx, id) }

func (o *localOutlet) root(context.Context) (string, error) { return o.n.Mesh().Root.String(), nil }

func (o *localOutlet) status(ctx context.Context, subject string) ([]byte, error) {
	s, err := o.n.View(ctx, subject)
	if errors.Is(err, chain.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.Status().Append(nil), nil
}

// copies is how often an update of another node came to a node on average,
// over the updates that came; 1 if none did, and 0 if there are no nodes here.
func (f *fleet) copies() (float64, error) {
	var applied, duplicates float64
	nodes := f.all()
	if len(nodes) == 0 {
		return 0, nil
	}
	for _, o := range nodes {
		families, err := o.gathered.Gather()
		if err != nil {
			return 0, err
		}
		for _, family := range families {
			switch family.GetName() {
			case "tidings_updates_applied_total":
				applied += sumOf(family, "own", "no")
			case "tidings_gossip_duplicate_updates_total":
				duplicates += sumOf(family, "", "")
			}
		}
	}
	return 1 + duplicates/max(applied, 1), nil
}

// sumOf adds up a metric's counters, of those with a label, where one is named.
func sumOf(family *dto.MetricFamily, label, value string) (sum float64) {
	for _, m := range family.GetMetric() {
		has := label == ""
		for _, l := range m.GetLabel() {
			has = has || l.GetName() == label && l.GetValue() == value
		}
		if has {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}
