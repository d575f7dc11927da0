package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// progress is how many bytes of an answer have to come within the timeout. So a
// long answer may take long, one that stalls ends soon, and one that trickles
// ends too.
const progress = 1 << 10

// watchdog calls a function unless it is fed in time.
type watchdog struct{ timer *time.Timer }

// newWatchdog starts one; with a limit of 0 it never bites.
func newWatchdog(limit time.Duration, bite func()) *watchdog {
	if limit <= 0 {
		return &watchdog{}
	}
	return &watchdog{time.AfterFunc(limit, bite)}
}

func (w *watchdog) feed(limit time.Duration) {
	if w.timer != nil {
		w.timer.Reset(limit)
	}
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// readBody reads an answer to its end, of at most most bytes, feeding the
// watchdog with each KiB.
func readBody(resp *http.Response, most int64, watch *watchdog, timeout time.Duration) ([]byte, error) {
	if resp.ContentLength > most {
		return nil, tooLong(most)
	}
	watch.feed(timeout)
	// What a server claims is not taken for true: the buffer grows with what
	// really comes.
	buf := make([]byte, 0, min(max(resp.ContentLength+1, 512), 64<<10))
	fed := 0
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > most {
			return nil, tooLong(most)
		}
		if len(buf)-fed >= progress {
			fed = len(buf)
			watch.feed(timeout)
		}
		switch {
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

func tooLong(most int64) error { return fmt.Errorf("answer of more than %d bytes", most) }
