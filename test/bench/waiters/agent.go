package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
)

// awaitWaiters returns once so many requests wait on the agent.
func awaitWaiters(a *agent.Agent, n int) error {
	want := fmt.Sprintf("\ntidings_http_waiters %v\n", float64(n))
	for range 300 {
		res, err := http.Get("http://" + a.HTTP + "/metrics")
		if err != nil {
			return err
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		if strings.Contains(string(b), want) {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%d requests do not wait", n)
}
