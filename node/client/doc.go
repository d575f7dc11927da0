// Package client is the consumer's client: it reads the status that a mesh of
// nodes holds from whichever of them answers.
//
// Start with [New] and [Client.Changes], the feed of all updates in causal
// order, as an iterator that goes on for as long as its context does:
//
//	c := client.New(client.Config{Endpoints: []string{"http://a:7980", "http://b:7980"}})
//	defer c.Close()
//	for batch, err := range c.Changes(ctx, client.Keep(client.CursorFile("place")), client.Prefix("order")) {
//		if err != nil {
//			return err
//		}
//		for _, u := range batch.Updates { … }
//	}
//
// [Client.Follow] keeps one subject's view current, [Client.Rollup] those of all
// subjects that come by. [Client.View], [Client.History], [Client.Subjects],
// [Client.Update] and [Client.Mesh] ask once. [Client.Publish] publishes through
// a node.
//
// # What it promises
//
// A cursor names what was seen of each chain, so it is good on every node: the
// feed moves from endpoint to endpoint and loses, repeats and disorders nothing.
// A node that is behind the cursor gives what it has besides, and its batches
// name the chains in Behind. A cursor is kept only once the consumer is done with
// its batch, so what was processed is at least once across crashes of the
// consumer, and once otherwise.
//
// # Endpoints
//
// A client stays with the endpoint that answers. One that fails is put aside,
// for longer each time, and the next is asked; it is tried again once its time is
// over and the present one fails, or when none else is left. So nothing moves
// back by itself when a node returns, and it is not met by all consumers at once.
// A node whose feed stays behind the cursor for more than a few seconds is left
// for another.
//
// # What it does not
//
// It keeps nothing but the cursor. It does not retry single calls beyond asking
// every endpoint once. It does not speak server-sent events: a poll that waits
// is as quick, and passes every proxy.
//
// A Client is safe for concurrent use; a [Rollup] is not.
package client
