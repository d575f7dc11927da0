package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// fileShards is how the cache of open files is split: one goroutine each.
const fileShards = 2

// pool is what all disk stores of the process share: blocks read, and files
// open. A process may hold many nodes, and its footprint must not grow by
// 32 MiB and 256 files with each.
var pool struct {
	sync.Mutex
	users  int
	blocks *pebble.Cache
	files  *pebble.FileCache
}

// takePool returns the shared caches, made with these sizes if no store is
// open. The caller gives them back with dropPool.
func takePool(cacheSize int64, openFiles int) (*pebble.Cache, *pebble.FileCache) {
	pool.Lock()
	defer pool.Unlock()
	if pool.users == 0 {
		pool.blocks = pebble.NewCache(cacheSize)
		pool.files = pebble.NewFileCache(fileShards, openFiles)
	}
	pool.users++
	return pool.blocks, pool.files
}

// dropPool gives the caches back. A Pebble that was abandoned keeps them alive
// by references of its own.
func dropPool() {
	pool.Lock()
	defer pool.Unlock()
	if pool.users--; pool.users > 0 {
		return
	}
	pool.files.Unref()
	pool.blocks.Unref()
	pool.files, pool.blocks = nil, nil
}
