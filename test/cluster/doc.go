// Package cluster tries the built binary as its users run it: real processes
// on loopback, published to and polled over HTTP, killed and started again
// meanwhile. Producers and consumers keep their own books, and what must never
// happen is checked from these.
package cluster
