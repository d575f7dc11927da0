// Command bench compares Tidings with other ways to bring small updates from
// any node to all nodes, side by side on one machine. README.md says what each
// row is, and what the figures mean.
package main

import (
	"os"

	"github.com/tidings-mesh/tidings/test/bench/harness"
)

func main() {
	os.Exit(harness.Main([]harness.Spec{
		tidingsDisk,
		natsStreamSync,
		tidingsQueue,
		natsStreamSyncQueue,
		tcpLogFloor,
		tcpSealFloor,
		tidingsMemory,
		tidingsShared,
		tidingsSharedQueue,
		natsStream,
		gossipsubTuned,
		memberlistTuned,
		serfTuned,
		serfDefault,
		tcpFloor,
	}, "compare-etcd"))
}
