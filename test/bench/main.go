// Command peers measures existing Go libraries and servers that spread small
// updates between nodes, side by side, as anchors for a mesh of our own.
package main

import "github.com/tidings-mesh/tidings/test/bench/harness"

func main() {
	harness.Main([]harness.Spec{
		tcpFloor,
		tcpLogFloor,
		serfDefault,
		serfTuned,
		memberlistDefault,
		memberlistTuned,
		gossipsubDefault,
		gossipsubTuned,
		natsCore,
		natsStream,
		natsStreamSync,
	}, "etcd", "dskit")
}
