// Package deploy tests the alert rules of docs/deploy, by themselves and against
// the metrics and the runbook that they name.
package deploy
