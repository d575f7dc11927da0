package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidings-mesh/tidings/chain/store"
)

// diskMetrics collects what a store on disk says of itself.
type diskMetrics struct{ disk *store.Disk }

var (
	diskFree = prometheus.NewDesc("tidings_store_free_bytes",
		"Space left on the store's file system for this process, -1 if it is not known.", nil, nil)
	diskLog       = prometheus.NewDesc("tidings_store_log_bytes", "Part of the store that is in write-ahead logs.", nil, nil)
	diskTables    = prometheus.NewDesc("tidings_store_tables", "Table files of the store.", nil, nil)
	diskReadAmp   = prometheus.NewDesc("tidings_store_read_amplification", "Tables that a read may have to look into: more than 20 is bad.", nil, nil)
	diskDebt      = prometheus.NewDesc("tidings_store_compaction_debt_bytes", "What is to be compacted until reads are at their best.", nil, nil)
	diskStalls    = prometheus.NewDesc("tidings_store_write_stalls_total", "Times that writes waited for flushes or compactions.", nil, nil)
	diskSyncs     = prometheus.NewDesc("tidings_store_syncs_total", "Commits and syncs that waited for the disk.", nil, nil)
	diskSyncTime  = prometheus.NewDesc("tidings_store_sync_seconds_total", "Time spent waiting for the disk.", nil, nil)
	diskCorrupted = prometheus.NewDesc("tidings_store_corruptions_total", "Reads that met damage.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m diskMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{diskFree, diskLog, diskTables, diskReadAmp, diskDebt, diskStalls, diskSyncs, diskSyncTime, diskCorrupted} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m diskMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.disk.Stats()
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(diskFree, float64(s.FreeBytes))
	gauge(diskLog, float64(s.LogBytes))
	gauge(diskTables, float64(s.Tables))
	gauge(diskReadAmp, float64(s.ReadAmp))
	gauge(diskDebt, float64(s.CompactionDebt))
	counter(diskStalls, float64(s.Stalls))
	counter(diskSyncs, float64(s.Syncs))
	counter(diskSyncTime, s.SyncTime.Seconds())
	counter(diskCorrupted, float64(s.Corruptions))
}
