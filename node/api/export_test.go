package api

// Observed is for the tests that use a real node.
var Observed = observed
