package main

import (
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

// Notes says how the nodes did what they did, from their metrics: sums over
// all nodes, for each update that a node took from a peer where that makes
// sense.
func (m *tidingsMesh) Notes() map[string]float64 {
	t := totals{}
	for _, r := range m.metrics {
		if err := t.add(r); err != nil {
			fmt.Fprintln(os.Stderr, "metrics:", err)
		}
	}
	own, other := t["tidings_updates_applied_total{own=yes}"], t["tidings_updates_applied_total{own=no}"]
	if own == 0 || other == 0 {
		return nil
	}
	runs := t["tidings_gossip_runs_received_total"]
	synced := t["tidings_store_commits_total{synced=yes}"]
	commits := synced + t["tidings_store_commits_total{synced=no}"]
	return map[string]float64{
		"CPU us per update and node":             float64((harness.CPUTime() - m.cpu).Microseconds()) / (own + other),
		"own updates per synced commit":          own / max(synced, 1),
		"runs received":                          runs,
		"updates applied per run received":       other / max(runs, 1),
		"duplicates per update applied":          t["tidings_gossip_duplicate_updates_total"] / other,
		"updates per batch":                      (own + other) / max(t["tidings_batch_updates"], 1),
		"synced commits":                         synced,
		"unsynced commits":                       t["tidings_store_commits_total{synced=no}"],
		"ms per commit":                          1000 * t["tidings_store_commit_seconds sum"] / max(commits, 1),
		"keys written per update applied":        t["tidings_store_keys_written_total"] / (own + other),
		"store bytes written per update applied": t["tidings_store_written_bytes_total"] / (own + other),
		"pulls":                                  t["tidings_gossip_pulls_total"],
		"pull timeouts":                          t["tidings_gossip_pull_timeouts_total"],
		"gaps":                                   t["tidings_gossip_gaps_total"],
		"runs dropped":                           t["tidings_gossip_runs_dropped_total"],
		"beacons":                                t["tidings_gossip_beacons_total"],
		"MB pushed":                              t["tidings_gossip_frame_bytes_total{direction=out}{kind=push}"] / 1e6,
		"MB served":                              t["tidings_gossip_frame_bytes_total{direction=out}{kind=served}"] / 1e6,
	}
}

// totals are metrics summed over nodes, by name and labels. Of a histogram it
// is the count, and the sum under its name and " sum".
type totals map[string]float64

func (t totals) add(r *prometheus.Registry) error {
	families, err := r.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			name := f.GetName()
			for _, l := range metric.GetLabel() {
				name += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				t[name] += metric.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				t[name] += metric.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				t[name] += float64(metric.GetHistogram().GetSampleCount())
				t[name+" sum"] += metric.GetHistogram().GetSampleSum()
			}
		}
	}
	return nil
}
