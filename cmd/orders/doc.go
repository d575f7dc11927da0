// Command orders is an example to copy from: three services that each know a part
// of an order, and tell it to each other and to anyone who asks.
//
//	orders demo
//
// runs all of them as processes, kills one on the way, and ends by itself. The files:
//
//   - service.go is what the three have in common: a node, and its HTTP interface
//     beside the service's own. Begin here.
//   - order.go is what they say of an order, by docs/conventions.md.
//   - warehouse.go takes orders, and picks or fails them. It publishes what is new,
//     and answers what payments say.
//   - payments.go authorises, captures and refunds, all in answer to others.
//   - fleet.go delivers. What it knows is in an old system that takes two seconds
//     for an answer (legacy.go), so it polls that and nobody else has to.
//   - demo.go and process.go start and kill them, and show what a consumer sees.
//
// A service that is not written in Go does the same over HTTP: recipe/react.py.
package main
