// Package recipe holds what services that are not written in Go do over HTTP, as
// programs to copy from. Their tests run them against real agents.
//
//   - react.py answers what other authorities change, each change once, as
//     node.React does.
package recipe
