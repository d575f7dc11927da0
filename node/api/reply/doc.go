// Package reply has the types of what a node answers by HTTP: problems and
// their codes, the mesh, and, as a client reads them, updates, views, batches of
// the feed and receipts. docs/http.md says what each member means.
//
// The server and package client share it. It imports nothing but chain, so that
// a consumer pays for no server.
package reply
