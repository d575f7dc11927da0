// Package virtual tries whole nodes in virtual time: real membership, real TLS
// streams, real stores and the HTTP handlers, over a network in memory that
// loses, delays and cuts. Each test runs in a bubble of testing/synctest, where
// minutes pass in a second and a goroutine left behind is an error.
//
// The network's faults are drawn from a seed, but the order in which goroutines
// run is not: a failure need not come again with the same seed.
package virtual
