package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain"
	"github.com/tidings-mesh/tidings/chain/store"
)

// openWhole opens a node. A store that turns out to be damaged is salvaged, and
// then opened once more.
func openWhole(ctx context.Context, cfg Config) (*Node, error) {
	n, err := open(ctx, cfg)
	if !errors.Is(err, store.ErrDamaged) {
		return n, err
	}
	if salvaged := salvage(cfg, err); salvaged != nil {
		return nil, errors.Join(err, salvaged)
	}
	return open(ctx, cfg)
}

// damage is why nothing more is written: what is stored does not read back. What
// was acknowledged now would be lost at the restart that mends it.
func (n *Node) damage() error {
	if n.dir == nil {
		return nil
	}
	if err := n.dir.Damage(); err != nil {
		return fmt.Errorf("%w: stored data is damaged; restart the node, which then carries over what is whole: %w", chain.ErrStoreFailed, err)
	}
	return nil
}

// salvage carries over what is whole of a damaged store into a new one, and
// says what is not. What peers have of it comes back by gossip; the own chain is
// only continued once peers have told how far it went.
func salvage(cfg Config, why error) error {
	log := cfg.Logger
	log.Error("the store is damaged: what is whole of it is carried over into a new one", "dir", cfg.DataDir, "err", why)
	dir, err := store.OpenDir(cfg.DataDir, store.DirOptions{Name: cfg.Name, Authority: cfg.Authority})
	if err != nil {
		return err
	}
	id := dir.Identity()
	c := chain.Config{
		Key: dir.Key(), Node: id.Name, Authority: id.Authority, Zone: cfg.Zone, Predecessor: id.Predecessor, Former: dir.FormerKeys(),
		CacheBytes: cfg.CacheBytes,
	}
	var came *chain.Salvaged
	aside, err := dir.Salvage(why, store.Options{Logger: log}, func(from chain.Reader, note []byte, to chain.Store) (err error) {
		came, err = chain.Salvage(from, to, c, chain.SalvageOptions{Note: note, Now: time.Now().UnixMilli()})
		return err
	})
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	if aside.NoNote {
		log.Warn("the note beside the store is gone or damaged: an end of a chain that the store may have lost is not noticed here, "+
			"and comes back if a peer has it", "dir", cfg.DataDir)
	}
	if came != nil {
		for _, lost := range came.Lost() {
			log.Error("the end of a chain is lost here: it comes back from peers that have it; if none has, it is gone, "+
				"unless it can be got out of what was set aside", "origin", lost.Origin, "had", lost.Known, "have", lost.Have.Seq, "why", lost.End)
		}
		for _, err := range came.Unread {
			log.Warn("some records of the damaged store could not be read", "err", err)
		}
		log.Info("what was whole is carried over", "chains", len(came.Chains), "freezes", came.Freezes, "records", came.Records, "keys", came.Keys)
	}
	log.Warn("the damaged files are set aside, for you to look at and to remove; check the disk that they were on", "paths", aside.Aside)
	return nil
}

// damagedStore tells what the ledger finds in the store from all else that can
// go wrong at its opening.
func (n *Node) damagedStore(err error) error {
	if n.dir != nil && errors.Is(err, chain.ErrCorrupt) {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return err
}

// markDamage has the next start salvage the store, if damage is why the node's
// writing ended.
func (n *Node) markDamage() error {
	if n.dir == nil || n.archive == nil {
		return nil
	}
	if err := n.archive.Failed(); errors.Is(err, chain.ErrCorrupt) {
		return n.dir.MarkDamaged(err)
	}
	return nil
}

// damageMetrics tell of damage while the node runs.
func (n *Node) damageMetrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_store_damaged", Help: "1 once a read has met damage: restart the node, which then salvages its store.",
		}, func() float64 { return oneIf(n.dir != nil && n.dir.Damaged()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_store_lost_chains", Help: "Chains whose end the store had lost at the start and that no peer has brought back.",
		}, func() float64 {
			heads, lost := n.lost.Load(), 0
			if heads == nil {
				return 0
			}
			for _, h := range *heads {
				if n.archive.Head(h.Origin).Seq < h.Seq {
					lost++
				}
			}
			return float64(lost)
		}),
	}
}
