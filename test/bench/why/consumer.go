package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// consumer asks for the status of orders, at times that do not depend on the answers.
type consumer struct {
	w    *world
	name string
	mu   sync.Mutex // protects what follows
	got  []sample
}

// sample is what came of one question.
type sample struct {
	took  time.Duration // until the answer, or until it was clear that there is none
	age   time.Duration // of its oldest part
	whole bool
}

func newConsumer(w *world, name string) *consumer { return &consumer{w: w, name: name} }

// run asks until ctx ends, and waits for what it has asked.
func (c *consumer) run(ctx context.Context, o options, ask func(n int) ([]int, error)) {
	random := rand.New(rand.NewPCG(o.seed, 99))
	var wg sync.WaitGroup
	defer wg.Wait()
	for range instants(ctx, o.rate) {
		n := random.IntN(o.orders)
		wg.Go(func() {
			began := time.Now()
			versions, err := ask(n)
			at := time.Now()
			s := sample{took: at.Sub(began), whole: err == nil}
			for i, version := range versions {
				s.age = max(s.age, c.w.authorities[i].age(n, version, at))
			}
			c.mu.Lock()
			c.got = append(c.got, s)
			c.mu.Unlock()
		})
	}
}

// instants yields at evenly spaced instants until ctx ends. It makes up for what it
// was late by, so that as many come on a busy machine.
func instants(ctx context.Context, perSecond int) iter.Seq[int] {
	return func(yield func(int) bool) {
		began := time.Now()
		for i := 0; ; i++ {
			select {
			case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond)))):
			case <-ctx.Done():
				return
			}
			if ctx.Err() != nil || !yield(i) {
				return
			}
		}
	}
}

// askEach asks the authorities side by side, and has an answer once all have.
func (c *consumer) askEach(timeout time.Duration) func(n int) ([]int, error) {
	return func(n int) ([]int, error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		versions := make([]int, len(c.w.authorities))
		errs := make([]error, len(versions))
		var wg sync.WaitGroup
		for i, a := range c.w.authorities {
			wg.Go(func() {
				if errs[i] = get(ctx, a.url+"/orders/"+strconv.Itoa(n), &versions[i]); errs[i] != nil {
					cancel() // there is no whole answer any more
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		return versions, nil
	}
}

// pollAny asks one node after the other, and the next one where one is down.
func (c *consumer) pollAny() func(n int) ([]int, error) {
	return func(n int) ([]int, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var view struct{ Status part }
		var errs []error
		for _, i := range rand.Perm(len(c.w.urls)) {
			err := get(ctx, c.w.urls[i]+"/v1/subjects/"+subject(n), &view)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			versions := make([]int, len(c.w.authorities))
			for i, a := range c.w.authorities {
				if versions[i] = view.Status[a.name]; versions[i] == 0 {
					return nil, fmt.Errorf("%s has no part of %s", subject(n), a.name)
				}
			}
			return versions, nil
		}
		return nil, errors.Join(errs...)
	}
}

// client keeps as many connections as there are questions on their way.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}

func get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
