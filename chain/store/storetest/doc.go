// Package storetest is the conformance suite of [chain.Store]. An
// implementation's test calls [Run] with a way to open it.
package storetest
