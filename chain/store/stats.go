package store

import "time"

// Stats are what someone on call wants of a disk store. Counters run from its
// open. Times are in nanoseconds as time.Duration has it.
type Stats struct {
	Bytes          int64 // on disk, logs and obsolete files included
	LogBytes       int64 // of those, in write-ahead logs
	MemTableBytes  int64 // memory of writes that are not in tables yet
	CacheBytes     int64 // memory of cached blocks, of all stores of the process
	FreeBytes      int64 // left on the file system for this user; -1 unknown
	Tables         int64 // table files
	ReadAmp        int   // tables that a read may have to look into; over 20 is bad
	CompactionDebt int64 // bytes to compact until reads are at their best
	Flushes        int64
	Compactions    int64
	Stalls         int64         // times that writes waited for flushes or compactions
	Syncs          int64         // calls that waited for the disk
	SyncTime       time.Duration // spent in them
	Corruptions    int64         // reads that met damage
	Failed         bool          // the store takes no more writes
}

// Stats may be called at any time. A store that is closed or has failed says
// what it last knew.
func (d *Disk) Stats() Stats {
	d.last.Lock()
	defer d.last.Unlock()
	failed := d.g.check() != nil
	// A dead Pebble may hold its lock for ever.
	if !failed && d.gate.enter() {
		d.look(&d.last.Stats)
		d.gate.leave()
	}
	s := d.last.Stats
	s.Failed = failed
	s.Stalls = d.g.stalls.Load()
	s.Corruptions = d.g.corruptions.Load()
	s.Syncs = d.syncs.Load()
	s.SyncTime = time.Duration(d.syncTime.Load())
	return s
}

func (d *Disk) look(s *Stats) {
	m := d.db.Metrics()
	// Pebble knows the physical size of the log in use only as it was when it
	// was begun.
	grown := int64(m.WAL.Size) - min(int64(m.WAL.Size), int64(m.WAL.PhysicalSize))
	s.Bytes = int64(m.DiskSpaceUsage()) + grown
	s.LogBytes = int64(m.WAL.PhysicalSize+m.WAL.ObsoletePhysicalSize) + grown
	s.MemTableBytes = int64(m.MemTable.Size + m.MemTable.ZombieSize)
	s.CacheBytes = m.BlockCache.Size
	s.Tables = m.Total().TablesCount
	s.ReadAmp = m.ReadAmp()
	s.CompactionDebt = int64(m.Compact.EstimatedDebt)
	s.Flushes = m.Flush.Count
	s.Compactions = m.Compact.Count
	s.FreeBytes = -1
	if usage, err := d.fs.GetDiskUsage(d.path); err == nil {
		s.FreeBytes = int64(usage.AvailBytes)
	}
}

// Bytes implements [chain.Store]: the space on disk, logs included.
func (d *Disk) Bytes() int64 { return d.Stats().Bytes }
