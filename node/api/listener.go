package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Listener bounds the connections of a server, so that they leave the process
// the files that its store and its mesh need. One more is told that it is busy,
// as long as there is room for that, and closed.
type Listener struct {
	net.Listener
	most    int64
	open    atomic.Int64
	refused prometheus.Counter
	telling chan struct{} // holds a place for each that is being told
	wait    sync.WaitGroup
}

const (
	// maxTold bounds the connections that are being told. Their files come on top.
	maxTold  = 32
	tellTime = time.Second
)

// NewListener bounds a listener to a number of open connections. The registerer,
// which may be nil, takes its metrics.
func NewListener(l net.Listener, most int, r prometheus.Registerer) (*Listener, error) {
	b := &Listener{Listener: l, most: int64(most), telling: make(chan struct{}, maxTold)}
	refused := newRefused()
	var err error
	if r != nil {
		refused, err = register(r, refused, nil)
		_, err = register(r, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_http_connections", Help: "HTTP connections that are open.",
		}, func() float64 { return float64(b.open.Load()) }), err)
	}
	b.refused = refused.WithLabelValues("connection")
	return b, err
}

// Accept returns the next connection that there is room for.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &bounded{Conn: c, listener: l}, nil
		}
		l.open.Add(-1)
		l.refused.Inc()
		l.refuse(c)
	}
}

// Close closes the listener, and returns once nobody is being told any more.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.wait.Wait()
	return err
}

func (l *Listener) refuse(c net.Conn) {
	select {
	case l.telling <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	l.wait.Go(func() {
		defer func() { <-l.telling }()
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(tellTime))
		if _, err := c.Write(tooMany); err != nil {
			return
		}
		// Closed with its request unread, the connection would be reset, and the
		// answer lost with it.
		if half, ok := c.(halfCloser); ok && half.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// tooMany is what one connection too many is told.
var tooMany = func() []byte {
	p := newProblem(CodeBusy, "", "too many connections to this node; ask another, or later")
	body := p.AppendJSON(nil)
	b := []byte("HTTP/1.1 429 " + http.StatusText(p.Status) + "\r\nContent-Type: " + problemHeader[0] + "\r\nRetry-After: " + retryHeader[0] +
		"\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	return append(b, body...)
}()

// halfCloser is a connection that can end what it sends, and go on to read.
type halfCloser interface{ CloseWrite() error }

// bounded is a connection that has a place.
type bounded struct {
	net.Conn
	listener *Listener
	once     sync.Once
}

// CloseWrite lets net/http end a connection whose request it has not read to the
// end as it would without a Listener: closed at once it would be reset, and the
// answer lost to who still sends.
func (c *bounded) CloseWrite() error {
	if half, ok := c.Conn.(halfCloser); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *bounded) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.listener.open.Add(-1) })
	return err
}
