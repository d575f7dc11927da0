// Command idle measures what nodes cost that have nothing to do: processor time,
// wake-ups and memory of each of several agents that form a mesh and are left
// alone, first with empty stores, then after updates that all of them hold.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tidings-mesh/tidings/test/bench/agent"
	"github.com/tidings-mesh/tidings/test/bench/harness"
)

type options struct {
	path           string
	nodes, updates int
	settle, length time.Duration
	asJSON         bool
}

// Row is the mesh in one state, nodes beside each other.
type Row struct {
	State      string  `json:"state"`
	Nodes      int     `json:"nodes"`
	Secs       float64 `json:"secs"`
	CPUPercent float64 `json:"cpu_percent"` // of a core, mean of the nodes
	MostCPU    float64 `json:"most_cpu_percent"`
	WakeUps    float64 `json:"wake_ups_per_s"` // mean of the nodes
	RSSMB      float64 `json:"rss_mb"`         // mean of the nodes
	MostRSS    float64 `json:"most_rss_mb"`
}

func main() {
	var o options
	flag.StringVar(&o.path, "agent", "bin/tidings", "binary of the nodes")
	flag.IntVar(&o.nodes, "nodes", 10, "how many nodes")
	flag.IntVar(&o.updates, "updates", 20_000, "updates that all hold in the second state, 1,000 at least")
	flag.DurationVar(&o.settle, "settle", 15*time.Second, "pause before each state is measured")
	flag.DurationVar(&o.length, "length", time.Minute, "how long a state is measured")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON, not a table")
	flag.Parse()
	rows, err := measure(o)
	if err == nil {
		err = show(rows, o.asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func show(rows []Row, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(rows)
	}
	fmt.Println("| idle nodes | CPU of a core each, mean / most | wake-ups/s each | RSS MB each, mean / most |")
	fmt.Println("|---|--:|--:|--:|")
	for _, r := range rows {
		fmt.Printf("| %d, %s | %.2f / %.2f %% | %.0f | %.0f / %.0f |\n", r.Nodes, r.State, r.CPUPercent, r.MostCPU, r.WakeUps, r.RSSMB, r.MostRSS)
	}
	return nil
}

func measure(o options) ([]Row, error) {
	dir, err := os.MkdirTemp("", "idle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var mesh []*agent.Agent
	defer func() {
		for _, a := range mesh {
			a.Kill()
		}
	}()
	for i := range o.nodes {
		join := ""
		if i > 0 {
			join = mesh[0].Mesh
		}
		name := "idle-" + strconv.Itoa(i)
		a, err := agent.Start(o.path, filepath.Join(dir, name), name, join)
		if err != nil {
			return nil, err
		}
		mesh = append(mesh, a)
	}
	if err := await(mesh, func(m agent.Mesh) bool { return m.Converged && m.Alive() == o.nodes }); err != nil {
		return nil, fmt.Errorf("the mesh did not form: %w", err)
	}
	empty, err := idle(mesh, o, "empty stores")
	if err != nil {
		return nil, err
	}
	published, err := publish(mesh, o.updates)
	if err != nil {
		return nil, err
	}
	if err := await(mesh, func(m agent.Mesh) bool { return m.Converged && m.Store.Updates == published }); err != nil {
		return nil, fmt.Errorf("not all have all updates: %w", err)
	}
	full, err := idle(mesh, o, fmt.Sprintf("%d updates in each", published))
	return []Row{empty, full}, err
}

func await(mesh []*agent.Agent, ok func(agent.Mesh) bool) error {
	for _, a := range mesh {
		if err := a.Await(time.Minute, ok); err != nil {
			return err
		}
	}
	return nil
}

// publish has each node publish its share, in arrays of 100.
func publish(mesh []*agent.Agent, updates int) (published int64, err error) {
	const items = 100
	for call := range (updates + items - 1) / items {
		body := []byte{'['}
		for i := range items {
			if i > 0 {
				body = append(body, ',')
			}
			id := call*items + i
			body = fmt.Appendf(body, `{"subject":"status/%d","delta":%s}`, id%5000, harness.NewPayload(256, int64(id)))
		}
		res, err := http.Post("http://"+mesh[call%len(mesh)].HTTP+"/v1/updates", "application/json", bytes.NewReader(append(body, ']')))
		if err != nil {
			return published, err
		}
		var items []struct{ Status int }
		err = json.NewDecoder(res.Body).Decode(&items)
		res.Body.Close()
		if err != nil {
			return published, fmt.Errorf("%s: %w", res.Status, err)
		}
		for _, item := range items {
			if item.Status != http.StatusCreated {
				return published, fmt.Errorf("an update was answered by %d", item.Status)
			}
			published++
		}
	}
	return published, nil
}

// idle leaves the nodes alone, and says what they used meanwhile.
func idle(mesh []*agent.Agent, o options, state string) (Row, error) {
	fmt.Fprintf(os.Stderr, "%s  %s: %s\n", time.Now().Format(time.TimeOnly), state, o.settle+o.length)
	time.Sleep(o.settle)
	before := make([]agent.Usage, len(mesh))
	for i, a := range mesh {
		u, err := a.Usage()
		if err != nil {
			return Row{}, err
		}
		before[i] = u
	}
	time.Sleep(o.length)
	r := Row{State: state, Nodes: len(mesh), Secs: o.length.Seconds()}
	for i, a := range mesh {
		u, err := a.Usage()
		if err != nil {
			return Row{}, err
		}
		percent := 100 * u.Cores(before[i])
		r.CPUPercent += percent / float64(len(mesh))
		r.MostCPU = max(r.MostCPU, percent)
		r.WakeUps += u.WakeUpsPerSec(before[i]) / float64(len(mesh))
		r.RSSMB += u.RSS / float64(len(mesh))
		r.MostRSS = max(r.MostRSS, u.RSS)
	}
	return r, nil
}
