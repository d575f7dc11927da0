package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tidings-mesh/tidings/chain/store"
)

// controlFile is a socket in the data directory of a running agent, for whoever
// may write there (mode 0600). It carries no data: who asks for a snapshot gets it
// beside the store, for as long as the connection lasts, and reads the files with
// rights of its own.
const controlFile = "control.sock"

const (
	controlSnapshot = "snapshot\n"
	// controlTime is what a connection gets to say what it wants.
	controlTime = 5 * time.Second
)

// controlAnswer is the line that answers a request.
type controlAnswer struct {
	Error string `json:"error,omitempty"`
}

// snapshotter is the node.
type snapshotter interface {
	Snapshot(ctx context.Context) (*store.Snapshot, error)
}

// control serves the socket.
type control struct {
	log      *slog.Logger
	node     snapshotter
	listener *net.UnixListener
	quit     context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// openControl listens in dir, whose lock the node holds: a socket that is there
// is of an agent that was killed.
func openControl(dir string, node snapshotter, log *slog.Logger) (*control, error) {
	path := filepath.Join(dir, controlFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	c := &control{log: log, node: node, listener: listener}
	c.quit, c.cancel = context.WithCancel(context.Background())
	c.running.Go(c.accept)
	return c, nil
}

func (c *control) accept() {
	for {
		conn, err := c.listener.AcceptUnix()
		switch {
		case c.quit.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil: // no descriptor is left, say
			c.log.Warn("control socket", "err", err)
			select {
			case <-c.quit.Done():
			case <-time.After(time.Second):
			}
		default:
			c.running.Go(func() { c.serve(conn) })
		}
	}
}

// serve answers one connection. It ends when the other side hangs up, or the
// agent stops.
func (c *control) serve(conn *net.UnixConn) {
	stop := context.AfterFunc(c.quit, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(controlTime))
	in := bufio.NewReaderSize(conn, 64)
	asked, err := in.ReadSlice('\n')
	if err != nil {
		return // who says nothing, or too much, is told nothing
	}
	if string(asked) != controlSnapshot {
		c.answer(conn, controlAnswer{Error: "unknown request"})
		return
	}
	snapshot, err := c.node.Snapshot(c.quit)
	if err != nil {
		c.answer(conn, controlAnswer{Error: err.Error()})
		return
	}
	c.answer(conn, controlAnswer{})
	_ = conn.SetReadDeadline(time.Time{})
	_, _ = in.ReadByte() // nothing more is said: it ends with the connection
	if err := snapshot.Close(); err != nil {
		c.log.Warn("the snapshot that was copied is not removed", "err", err)
	}
}

func (c *control) answer(conn net.Conn, a controlAnswer) {
	b, err := json.Marshal(a)
	if err == nil {
		_, err = conn.Write(append(b, '\n'))
	}
	if err != nil {
		c.log.Debug("control socket", "err", err) // the other side has gone
	}
}

// close ends what is under way, and waits for it.
func (c *control) close() error {
	c.cancel()
	err := c.listener.Close() // removes the file
	c.running.Wait()
	return err
}

// errNoControl says that nobody serves the socket.
var errNoControl = errors.New("no agent serves the control socket")

// askedSnapshot is a snapshot that an agent keeps until Close.
type askedSnapshot struct {
	Path string
	conn *net.UnixConn
}

// askSnapshot asks the agent that runs on dir for a snapshot.
func askSnapshot(ctx context.Context, dir string) (*askedSnapshot, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, controlFile), Net: "unix"})
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	} else if err != nil {
		return nil, errNoControl
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a controlAnswer
	_, err = conn.Write([]byte(controlSnapshot))
	if err == nil {
		err = json.NewDecoder(conn).Decode(&a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err = errors.Join(ctx.Err(), err); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &askedSnapshot{filepath.Join(dir, store.SnapshotDir), conn}, nil
}

// Close lets the agent remove the snapshot, and waits for it a while.
func (s *askedSnapshot) Close() error {
	if s.conn.CloseWrite() == nil { // else the agent has gone
		_ = s.conn.SetReadDeadline(time.Now().Add(controlTime))
		_, _ = s.conn.Read(make([]byte, 1)) // it hangs up when that is done
	}
	return s.conn.Close()
}
