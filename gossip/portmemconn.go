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
		if delay, ok := c.net.fate(c.local, c.remote); ok {
			return c.out.write(b, delay)
		}
		time.Sleep(memRetry)
		if err := c.out.writeState(); err != nil {
			return 0, err
		}
	}
}

func (c *memConn) Close() error {
	c.net.mu.Lock()
	delete(c.net.conns, c)
	c.net.mu.Unlock()
	c.in.close(net.ErrClosed, nil)
	c.out.close(nil, net.ErrClosed)
	c.tellClosed()
	return nil
}

// tellClosed lets the other end know once that gets through.
func (c *memConn) tellClosed() {
	if _, ok := c.net.fate(c.local, c.remote); !ok && !c.out.abandoned() {
		time.AfterFunc(memRetry, c.tellClosed)
		return
	}
	c.out.close(io.EOF, nil)
	c.in.close(nil, syscall.EPIPE)
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
	arrived  int       // bytes of buf that can be read
	last     time.Time // when the last of buf arrives
	readErr  error     // what reading gives once the buffer is empty
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
		case p.readErr != nil && !errors.Is(p.readErr, io.EOF):
			return 0, p.readErr
		case p.arrived > 0:
			n := copy(b, p.buf[:p.arrived])
			p.buf, p.arrived = p.buf[n:], p.arrived-n
			p.changed.Broadcast()
			return n, nil
		case p.readErr != nil && len(p.buf) == 0:
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

func (p *memPipe) write(b []byte, delay time.Duration) (int, error) {
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
			p.carry(n, delay)
			continue
		}
		p.changed.Wait()
	}
	return done, nil
}

// carry lets the last n bytes of the buffer arrive after a delay, and not before
// those ahead of them. The lock is held.
func (p *memPipe) carry(n int, delay time.Duration) {
	now := time.Now()
	if delay == 0 && !p.last.After(now) {
		p.arrived += n
		p.changed.Broadcast()
		return
	}
	if at := now.Add(delay); at.After(p.last) {
		p.last = at
	}
	time.AfterFunc(p.last.Sub(now), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.arrived += n
		p.changed.Broadcast()
	})
}

// close ends one direction with what its reader and its writer then get; nil
// leaves them as they are. The first close of each kind stays.
func (p *memPipe) close(readErr, writeErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if readErr != nil && (p.readErr == nil || errors.Is(readErr, net.ErrClosed)) {
		p.readErr = readErr
	}
	if writeErr != nil && (p.writeErr == nil || errors.Is(writeErr, net.ErrClosed)) {
		p.writeErr = writeErr
	}
	p.changed.Broadcast()
}

// abandoned reports whether the reader has closed its end.
func (p *memPipe) abandoned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Is(p.readErr, net.ErrClosed)
}
