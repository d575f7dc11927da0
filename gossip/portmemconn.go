package gossip

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// memConn is one end of a connection.
type memConn struct {
	net           *MemNetwork
	local, remote netip.AddrPort
	in, out       *memPipe
}

func (c *memConn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *memConn) Write(b []byte) (int, error) {
	for {
		if _, ok := c.net.fate(c.local, c.remote); ok {
			return c.out.write(b)
		}
		time.Sleep(memRetry)
		if err := c.out.writeState(); err != nil {
			return 0, err
		}
	}
}

func (c *memConn) Close() error {
	c.in.close(net.ErrClosed, syscall.EPIPE)
	c.out.close(io.EOF, net.ErrClosed)
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *memConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *memConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.readBy.set(c.in, t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { c.out.writeBy.set(c.out, t); return nil }

// memPipe is one direction of a connection: a bounded buffer.
type memPipe struct {
	mu       sync.Mutex // protects all
	changed  *sync.Cond
	buf      []byte
	readErr  error // what reading gives once the buffer is empty
	writeErr error
	readBy   memDeadline
	writeBy  memDeadline
}

func newMemPipe() *memPipe {
	p := &memPipe{}
	p.changed = sync.NewCond(&p.mu)
	return p
}

type memDeadline struct {
	timer *time.Timer
	over  bool
}

func (d *memDeadline) set(p *memPipe, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.over = nil, false
	p.changed.Broadcast()
	if t.IsZero() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(max(0, time.Until(t)), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer {
			d.over = true
			p.changed.Broadcast()
		}
	})
	d.timer = timer
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readBy.over:
			return 0, os.ErrDeadlineExceeded
		case errors.Is(p.readErr, net.ErrClosed):
			return 0, p.readErr
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			p.changed.Broadcast()
			return n, nil
		case p.readErr != nil:
			return 0, p.readErr
		}
		p.changed.Wait()
	}
}

func (p *memPipe) writeState() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeStateLocked()
}

func (p *memPipe) writeStateLocked() error {
	if p.writeErr != nil {
		return p.writeErr
	}
	if p.writeBy.over {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (p *memPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := 0
	for done < len(b) {
		if err := p.writeStateLocked(); err != nil {
			return done, err
		}
		if room := memBuffer - len(p.buf); room > 0 {
			n := min(room, len(b)-done)
			p.buf = append(p.buf, b[done:done+n]...)
			done += n
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
	return done, nil
}

// close ends one direction with what its reader and its writer then get. The
// first close of each kind stays.
func (p *memPipe) close(readErr, writeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil || errors.Is(readErr, net.ErrClosed) {
		p.readErr = readErr
	}
	if p.writeErr == nil || errors.Is(writeErr, net.ErrClosed) {
		p.writeErr = writeErr
	}
	p.changed.Broadcast()
}
