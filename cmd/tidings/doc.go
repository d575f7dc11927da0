// Command tidings runs a node of a mesh, and talks to nodes over HTTP.
//
// One command is one file. main.go has the process around them (signals,
// streams, exit status), cli.go the grammar, config.go where a flag's value
// comes from, client.go how a node is asked and what happens when it does not
// answer. Every client command works against the HTTP interface alone, so it
// serves any node of any host.
//
// Results go to standard output, all else to standard error, and the exit
// status tells apart what a script has to tell apart: see exit.go.
// docs/cli.md is the reference.
package main
