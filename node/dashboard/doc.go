// Package dashboard is a node's web page: the mesh and its chains as they move,
// the feed, and any subject with who said what.
//
// The page is a few ES modules, written to be read (web), that are embedded as
// they are: there is no step that builds them, and nothing comes from elsewhere.
// It asks the node that serves it what any client may ask, by relative paths, so
// it works wherever the node's handler is mounted. All that it shows of what
// others wrote is text: it makes no element of any answer, and its
// Content-Security-Policy lets no script or style run but its own.
package dashboard
