// Package metrics counts what the daemons do, for Prometheus. It is the only importer of its library.
//
// It decides nothing, and alarms nobody: whoever counts also logs.
package metrics
