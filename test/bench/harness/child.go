package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Job is one run, done in a process of its own so that CPU time, peak memory
// and loopback bytes belong to it alone.
type Job struct {
	Peer    string  `json:"peer"`
	Phase   string  `json:"phase"`
	N       int     `json:"nodes"`
	Payload int     `json:"payload"`
	Rate    int     `json:"rate"`
	Count   int     `json:"count"`
	Window  int     `json:"window"`
	Secs    float64 `json:"secs"`
	Dir     string  `json:"dir"`
	NetNS   bool    `json:"netns"`
}

// Child runs the job given as JSON and writes its Result to fd 3.
func Child(specs []Spec, job string) {
	var j Job
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := run(specs, j)
	r.Isolated = j.NetNS
	out := os.NewFile(3, "result")
	if err := json.NewEncoder(out).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0) // no orderly shutdown of leftovers: the process is the unit
}

func run(specs []Spec, j Job) Result {
	if j.NetNS {
		if err := LoopbackUp(); err != nil {
			return Result{Peer: j.Peer, Phase: j.Phase, N: j.N, Failure: "loopback: " + err.Error()}
		}
	}
	for _, s := range specs {
		if s.Name != j.Peer {
			continue
		}
		env := Env{N: j.N, Dir: j.Dir}
		if j.Phase == "latency" {
			return Latency(s, env, j.Payload, j.Rate, j.Count)
		}
		return Throughput(s, env, j.Payload, j.Window, time.Duration(j.Secs*float64(time.Second)))
	}
	return Result{Peer: j.Peer, Failure: "no such peer"}
}
