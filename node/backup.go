package node

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tidings-mesh/tidings/chain/store"
)

// ErrInMemory is returned for what takes a data directory where there is none.
var ErrInMemory = errors.New("the node is in memory: it has no data directory")

// Backup copies the node's data directory, with all that it has committed, to
// dest, which must not be there, while the node runs. The copy is synced, read back
// and checked before it gets its name. It holds the node's key: keep it as secret as
// the directory itself. Publishing pauses while the store's files are linked, not
// while they are copied. There is one backup at a time (store.ErrSnapshot).
//
// A node that is opened on a backup asks its peers for its own chain before it
// appends; where none that has it answers, it goes on under a new origin.
func (n *Node) Backup(ctx context.Context, dest string) error {
	s, err := n.Snapshot(ctx)
	if err != nil {
		return err
	}
	return errors.Join(store.Backup(ctx, s.Path(), dest, nil), s.Close())
}

// Snapshot has the node's data directory stay as it is now beside the one in use,
// for somebody to copy. Close it, before the node: what the store gives up meanwhile
// takes space until then.
func (n *Node) Snapshot(ctx context.Context) (*store.Snapshot, error) {
	disk, ok := n.store.(*store.Disk)
	if !ok {
		return nil, ErrInMemory
	}
	var s *store.Snapshot
	var failed error
	began := n.now()
	err := n.writer.do(ctx, func() error {
		n.writer.core.Finish()
		if failed = n.archive.Failed(); failed == nil {
			s, failed = n.dir.Snapshot(disk)
		}
		return nil // that there is no snapshot is no failure of the store
	})
	if err := errors.Join(err, failed); err != nil {
		if s != nil { // the node closes
			err = errors.Join(err, s.Close())
		}
		return nil, err
	}
	n.log.Info("snapshot taken of the data directory", "path", s.Path(), slog.Duration("took", n.now().Sub(began)))
	return s, nil
}
