// Package quarantine is the store of infected messages: each exactly as it came, with a description beside it, readable
// by its owner only, for 30 months. [C067]
//
// It decides nothing, and keeps no log: who puts a message in or takes one out writes that down.
package quarantine
