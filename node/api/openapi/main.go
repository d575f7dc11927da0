// Command openapi writes the description of the HTTP interface, in OpenAPI 3.1,
// from the table of its calls (calls.go) and the schemas, parameters and headers
// that they name (components.json). Run it by go generate in package api, which
// embeds the result and whose tests hold it to what is really answered.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapi FILE")
		os.Exit(2)
	}
	text, err := describe()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}
