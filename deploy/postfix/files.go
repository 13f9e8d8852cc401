// Package postfix carries the configuration of the two Postfix instances of a
// certified provider: what the first gains, and the out instance whole. It runs
// nothing and fills in no placeholder.
package postfix

import "embed"

// Files holds the folders first and out with placeholders of the form @NAME@,
// which README.md explains. It is read-only.
//
//go:embed first out
var Files embed.FS
