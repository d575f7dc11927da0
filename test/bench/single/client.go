package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection that asks one thing after the other, with as little work
// of its own as can be: the load shares its cores with the node.
type conn struct {
	c    net.Conn
	r    *bufio.Reader
	body []byte
	etag []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// ask writes a request and reads the answer, whose body it returns until the
// next call, and its ETag in c.etag.
func (c *conn) ask(request []byte) (status int, body []byte, err error) {
	if _, err := c.c.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("no HTTP: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, chunked := 0, false
	c.etag = c.etag[:0]
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("ETag")):
			c.etag = append(c.etag, value...)
		}
	}
	if chunked {
		body, err = c.chunks()
		return status, body, err
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err = io.ReadFull(c.r, c.body)
	return status, c.body, err
}

func (c *conn) chunks() ([]byte, error) {
	c.body = c.body[:0]
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return nil, err
		}
		from := len(c.body)
		c.body = slices.Grow(c.body, int(n)+2)[:from+int(n)+2]
		if _, err := io.ReadFull(c.r, c.body[from:]); err != nil {
			return nil, err
		}
		c.body = c.body[:from+int(n)]
		if n == 0 {
			return c.body, nil
		}
	}
}

// load has clients do work until it is used up or length has passed, whichever
// is first; zero length is until it is used up. do gets the number of the call,
// from 0, and how often that is to be counted comes back.
type load struct {
	addr    string
	clients int
	calls   int64 // zero: no end
	length  time.Duration
	do      func(c *conn, call int64) (int, error)
}

// run returns what was counted, how long it took, and the latency of a call in
// the middle, in milliseconds.
func (l load) run() (counted int64, took time.Duration, p50, p99 float64, err error) {
	var next, sum atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex // protects lats and errs
	var lats []float64
	var errs []error
	began := time.Now()
	for range l.clients {
		wg.Go(func() {
			var mine []float64
			err := func() error {
				c, err := dial(l.addr)
				if err != nil {
					return err
				}
				defer c.c.Close()
				for l.length == 0 || time.Since(began) < l.length {
					call := next.Add(1) - 1
					if l.calls > 0 && call >= l.calls {
						return nil
					}
					t := time.Now()
					n, err := l.do(c, call)
					if err != nil {
						return err
					}
					mine = append(mine, time.Since(t).Seconds()*1e3)
					sum.Add(int64(n))
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			lats = append(lats, mine...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	if len(lats) > 0 {
		slices.Sort(lats)
		p50, p99 = lats[len(lats)/2], lats[len(lats)*99/100]
	}
	return sum.Load(), took, p50, p99, errors.Join(errs...)
}
