// Package store has the two homes of a [chain.Store]: [Memory], and [Disk] on
// Pebble. Both pass the one conformance suite of the package storetest.
// Start from [OpenDir], which locks a data directory and holds the node's key,
// and [Dir.OpenStore].
//
// # Keys
//
// Keys are ordered bytes. A user's key is never empty and never begins with
// 0x00: that prefix is the store's own (its format version, and that a note
// was once written). Get and Scan never show it, Commit refuses it with
// [ErrReserved].
//
// # Tables
//
// Keys of which each is written behind those before it, as a chain's updates are, have
// tables of their own where they are many ([Options.Series]): else compactions write
// them again and again. Blocks that do not get smaller are not compressed.
//
// # Durability
//
// Commit without sync is lost with the process, not only with the machine:
// Pebble buffers its log. Sync, and Commit with sync, make everything that was
// committed before durable. What a crash loses is always a suffix of the
// batches, none of which had been synced, with one exception: damage in the
// last 32 KiB of the log, or of Pebble's manifest, reads as its end. Close therefore flushes, so that a
// store that was closed has nothing left in its log, and [Disk.Mark] keeps a
// note outside the log. The caller notes what it had received, about 100 ms
// after a commit, and compares at the next open; a bit that flips in the log
// before the next note is not found.
//
// # Failure
//
// The first write or sync that fails kills the store for good: every later
// Commit, Sync and Mark returns the same error, which wraps
// [chain.ErrStoreFailed], no byte reaches the disk any more, and nothing is
// tried again. Reads go on, and may show what the failed batch wrote, which
// may be gone after a restart: readers hold to what was acknowledged. The
// process lives on. Damage that a read meets is [chain.ErrCorrupt] from that
// read, or from the iterator's Close; met by a flush or compaction it kills
// the store.
//
// # Formats
//
// FORMAT.md has the bytes of a data directory's files.
//
// # Damage
//
// What does not read back is never served. [Dir.OpenStore] answers it with
// [ErrDamaged], at once or, where a read met it while the store was open, at the
// next opening. [Dir.Salvage] then lets its caller carry over what reads into a
// new store, and sets the damaged files aside; from there on the directory
// counts as changed. Where Pebble cannot open its files any more, or has lost
// sight of some, they are read one by one. A disk that reports errors, another
// format, and files that may not be read are no damage and stay as they are; so
// does an identity.json that was damaged, for its key has no second copy.
//
// # What it does not do
//
// It knows nothing of updates, chains or notes' contents, and has one writer.
package store
