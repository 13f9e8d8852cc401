// Package app puts the daemons together: it loads what the configuration names, starts, reloads and ends them. The binary
// and the tests that break things on purpose start the same daemons; only what stands in Deps differs.
//
// It decides nothing about mail.
package app
