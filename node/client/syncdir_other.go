//go:build !unix

package client

// syncDir does nothing where a directory cannot be synced.
func syncDir(string) error { return nil }
