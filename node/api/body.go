package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// readBody reads a whole body. most is asked for the bound, in bytes, once the
// first byte that is not white space has come. A large one waits for room, where
// large says which. The result is the caller's own.
func (x *exchange) readBody(large *largeBody, most func(first byte) int) ([]byte, error) {
	// What a client claims is not taken for true: the buffer grows with what
	// really comes.
	size := min(max(x.r.ContentLength+1, 512), 64<<10)
	buf := make([]byte, 0, size)
	rc := x.controller()
	bounded := rc.SetReadDeadline(time.Now().Add(x.h.limits.BodyTime)) == nil
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := x.r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		bound := most(firstByte(buf))
		if len(buf) > bound {
			x.w.Header().Set("Connection", "close")
			x.discard(int64(len(buf)))
			return nil, &http.MaxBytesError{Limit: int64(bound)}
		}
		if waited, refused := large.need(len(buf), bound); refused != nil {
			x.w.Header().Set("Connection", "close")
			x.discard(int64(len(buf)))
			return nil, refused
		} else if waited && bounded {
			_ = rc.SetReadDeadline(time.Now().Add(x.h.limits.BodyTime))
		}
		switch {
		case errors.Is(err, io.EOF):
			if bounded {
				_ = rc.SetReadDeadline(notBoundByTime)
			}
			return buf, nil
		case timedOut(err):
			x.w.Header().Set("Connection", "close")
			return nil, badRequest("", fmt.Sprintf("the body did not come within %s", x.h.limits.BodyTime))
		case err != nil:
			x.w.Header().Set("Connection", "close")
			var tooLong *http.MaxBytesError
			if errors.As(err, &tooLong) { // of a middleware around this handler
				return nil, err
			}
			return nil, badRequest("", "the body broke off: "+err.Error())
		}
	}
}

// discard reads on past what was too much, of which had came already: most
// clients look for an answer once they have sent all, and find the connection
// reset if the server closes it before. It ends with the time of the body, and
// a body that is far too long is not worth it.
func (x *exchange) discard(had int64) {
	if x.r.ContentLength <= had+maxArrayBody {
		_, _ = io.CopyN(io.Discard, x.r.Body, maxArrayBody)
	}
}

func firstByte(b []byte) byte {
	if b = bytes.TrimLeft(b, " \t\r\n"); len(b) > 0 {
		return b[0]
	}
	return 0
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// idleReader is a body each of whose reads has its own time.
type idleReader struct {
	body io.Reader
	rc   *http.ResponseController
	idle time.Duration
}

func (r *idleReader) Read(p []byte) (int, error) {
	_ = r.rc.SetReadDeadline(time.Now().Add(r.idle))
	return r.body.Read(p)
}
