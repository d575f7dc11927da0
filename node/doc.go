// Package node is a Tidings node to embed in a service: it publishes the
// service's status changes on a chain of its own, holds the chains of all
// other nodes of the mesh, and answers what the whole status of a subject is.
//
// Start from [Open], [Node.Publish] and [Node.View]; [Node.Handler] is the
// HTTP interface that consumers poll.
//
//	n, err := node.Open(ctx, node.Config{Name: "wh-1", Authority: "warehouse", DataDir: dir,
//		Bind: "127.0.0.1:0", Join: peers, Logger: slog.Default()})
//	if err != nil { ... }
//	defer n.Close()
//	id, err := n.Publish(ctx, node.Draft{Subject: "order/42", Delta: json.RawMessage(`{"picked":true}`)})
//
// A service that has whole states rather than what changed starts from
// [TrackOf], and [Poll] asks one that cannot call: docs/embedding.md. The command
// cmd/orders is three services to copy from.
//
// What it promises: an update that Publish returned is durable here, where the
// node has a data directory, and nothing of the own chain is shown to a
// consumer or sent to a peer before it is. Updates are applied in causal order
// on every node, and nodes with the same updates show the same views and
// histories byte for byte. A [chain.Cursor] is good on every node.
//
// [Node.React] has the service answer what other authorities change, each update
// once.
//
// What it does not do: it elects nobody and has no total order; two
// authorities that write the same field at the same time get a conflict that
// every view shows, not an error.
//
// All methods of a Node are safe for concurrent use. Several nodes may run in
// one process; stores on disk share one cache.
package node
