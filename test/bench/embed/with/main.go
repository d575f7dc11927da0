// Command with is the same service with a node: on disk, in a mesh, and served.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/tidings-mesh/tidings/node"
)

// The arguments are a data directory and whom to join.
func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string, join []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n, err := node.Open(context.Background(), node.Config{DefaultName: strings.ReplaceAll(listener.Addr().String(), ":", "-"), DataDir: dir, Bind: "127.0.0.1:0", Join: join})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println(listener.Addr(), n.Addr())
	return http.Serve(listener, n.Handler())
}
