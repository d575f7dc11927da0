package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Job is one run, done in a process of its own.
type Job struct {
	Peer    string  `json:"peer"`
	Phase   string  `json:"phase"`
	N       int     `json:"nodes"`
	Payload int     `json:"payload"`
	Rate    int     `json:"rate"`
	Count   int     `json:"count"`
	Window  int     `json:"window"`
	Secs    float64 `json:"secs"`
	Run     int     `json:"run"`
	Synced  bool    `json:"synced"`
	Dir     string  `json:"dir"`
	NetNS   bool    `json:"netns"`
	Profile string  `json:"profile"` // where a CPU profile goes, empty for none

	program string // the executable that does it, empty for this one
}

// result is what is known of a run before it began.
func (j Job) result(failure string) Result {
	return Result{Peer: j.Peer, Phase: j.Phase, N: j.N, Rate: j.Rate, Window: j.Window, Payload: j.Payload, Run: j.Run, Synced: j.Synced, Failure: failure}
}

// child runs the job given as JSON, writes its Result to file descriptor 3 and
// ends the process.
func child(specs []Spec, job string) {
	var j Job
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := runJob(specs, j)
	if err := json.NewEncoder(os.NewFile(3, "result")).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0) // no orderly end of leftovers: the process is the unit
}

func runJob(specs []Spec, j Job) Result {
	if j.N < 2 || j.N > maxNodes {
		return j.result(fmt.Sprintf("%d nodes: 2 to %d", j.N, maxNodes))
	}
	if j.NetNS {
		if err := LoopbackUp(); err != nil {
			return j.result("loopback: " + err.Error())
		}
	}
	began, load := time.Now(), loadAverage()
	for _, s := range specs {
		if s.Name != j.Peer {
			continue
		}
		env := Env{N: j.N, Dir: j.Dir}
		measured := throughput
		if j.Phase == PhaseLatency {
			measured = latency
		}
		r := measured(s, env, j)
		r.Peer, r.Phase, r.N, r.Rate, r.Window, r.Payload, r.Run, r.Synced = j.Peer, j.Phase, j.N, j.Rate, j.Window, j.Payload, j.Run, j.Synced
		r.Isolated, r.Began, r.Load = j.NetNS, began.UTC().Format(time.RFC3339), load
		return r
	}
	return j.result("no such peer")
}
