package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// latency is how long calls took, in ms.
type latency struct{ p50, p99 float64 }

func (l latency) String() string { return fmt.Sprintf("%.2f / %.2f", l.p50, l.p99) }

// producer publishes over a connection of its own, one after the other.
type producer struct {
	net.Conn
	r *bufio.Reader
}

var published atomic.Int64

func dialProducer(address string) (*producer, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &producer{c, bufio.NewReader(c)}, nil
}

func (p *producer) publish(subject string) error {
	body := fmt.Sprintf(`{"subject":%q,"delta":{"n":%d,"pad":%q}}`, subject, published.Add(1), strings.Repeat("x", 200))
	if _, err := fmt.Fprintf(p, "POST /v1/updates HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return err
	}
	status, err := p.r.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(p.r, answer); err != nil {
		return err
	}
	if !strings.Contains(status, " 201 ") {
		return fmt.Errorf("%s: %s", strings.TrimSpace(status), answer)
	}
	return nil
}

// produce publishes at a rate what concerns no consumer, over eight connections,
// and returns the latency from when each was due, and the rate that came of it.
func produce(address string, rate int, length time.Duration) (latency, float64, error) {
	const producers = 8
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // protects what follows
		took []float64
		errs []error
	)
	began := time.Now()
	every := time.Second * producers / time.Duration(rate)
	for i := range producers {
		wg.Go(func() {
			var mine []float64
			err := func() error {
				p, err := dialProducer(address)
				if err != nil {
					return err
				}
				defer p.Close()
				for due := began.Add(every * time.Duration(i) / producers); due.Sub(began) < length && time.Since(began) < 2*length; due = due.Add(every) {
					time.Sleep(time.Until(due))
					if err := p.publish(fmt.Sprintf("other/%d", published.Load()%1000)); err != nil {
						return err
					}
					mine = append(mine, time.Since(due).Seconds()*1e3)
				}
				return nil
			}()
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, mine...), append(errs, err)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return latency{}, 0, err
	}
	reached := float64(len(took)) / time.Since(began).Seconds()
	slices.Sort(took)
	return latency{took[len(took)/2], took[len(took)*99/100]}, reached, nil
}
