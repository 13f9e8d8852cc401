// Package contract is the reference of the plug-in system: the .proto files in v1 and v2, and the Go code made of them.
// Version 2 is the current one; version 1, the previous one, still works.
//
// It does not serve or call anything: plug-ins are written with package plugins, and called by plugins/host.
package contract

//go:generate ./generate.sh

// The versions of the contract that work. A plug-in offers those it speaks, and the highest both know is used.
const (
	Previous = 1
	Current  = 2
)
