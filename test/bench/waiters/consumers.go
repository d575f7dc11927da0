package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// consumers wait on one agent, each on a connection of its own.
type consumers struct {
	conns []net.Conn
	got   chan time.Time // when one of them had an update that concerns it
	wait  sync.WaitGroup
}

func startConsumers(address, how string, n int) (*consumers, error) {
	c := &consumers{got: make(chan time.Time, n)}
	follow := map[string]func(net.Conn, *bufio.Reader) error{"poll": c.poll, "events": c.events}[how]
	if follow == nil {
		return nil, fmt.Errorf("-how %s: want poll or events", how)
	}
	failed := make(chan error, n)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.conns = append(c.conns, conn)
		c.wait.Go(func() { failed <- follow(conn, bufio.NewReaderSize(conn, 2<<10)) })
	}
	select {
	case err := <-failed:
		c.stop()
		return nil, err
	case <-time.After(time.Second):
		return c, nil
	}
}

func (c *consumers) stop() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.wait.Wait()
}

const watched = "watched"

// poll asks again and again from where it is.
func (c *consumers) poll(conn net.Conn, r *bufio.Reader) error {
	since := "now"
	for {
		if _, err := fmt.Fprintf(conn, "GET /v1/changes?prefix=%s&wait=55s&since=%s HTTP/1.1\r\nHost: bench\r\n\r\n", watched, since); err != nil {
			return err
		}
		length, err := head(r, "application/json")
		if err != nil {
			return err
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		if bytes.Contains(body, []byte(`"subject":`)) {
			c.got <- time.Now()
		}
		_, rest, _ := bytes.Cut(body[bytes.LastIndex(body, []byte(`"cursor":`)):], []byte(`:"`))
		text, _, _ := bytes.Cut(rest, []byte(`"`))
		since = string(text)
	}
}

// events follows one stream.
func (c *consumers) events(conn net.Conn, r *bufio.Reader) error {
	if _, err := fmt.Fprintf(conn, "GET /v1/changes?prefix=%s&since=now HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n", watched); err != nil {
		return err
	}
	if _, err := head(r, "text/event-stream"); err != nil {
		return err
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if string(line) == "event: changes\n" {
			c.got <- time.Now()
		}
	}
}

// head reads the head of an answer of a type.
func head(r *bufio.Reader, kind string) (length int, err error) {
	status, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	found := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Content-Length":
			length, _ = strconv.Atoi(value)
		case "Content-Type":
			found = value
		}
	}
	if !strings.Contains(status, " 200 ") || found != kind {
		return 0, fmt.Errorf("answered %s, %s", strings.TrimSpace(status), found)
	}
	return length, nil
}

// round publishes one update that concerns everyone, and returns after how many
// milliseconds the first and the last had it.
func (c *consumers) round(address string) (first, last float64, err error) {
	p, err := dialProducer(address)
	if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	began := time.Now()
	if err := p.publish(watched + "/1"); err != nil {
		return 0, 0, err
	}
	late := time.After(time.Minute)
	for i := range c.conns {
		select {
		case at := <-c.got:
			ms := at.Sub(began).Seconds() * 1e3
			if last = max(last, ms); i == 0 {
				first = ms
			}
		case <-late:
			return 0, 0, fmt.Errorf("after a minute %d of %d have the update", i, len(c.conns))
		}
	}
	return first, last, nil
}
