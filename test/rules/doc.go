// Package rules holds the rules of the tree as a whole, which its tests check:
// who may import whom, and what a service that embeds a node pays for.
package rules
