// Package dovecot carries the Dovecot configuration that a certified provider adds
// to its server, one folder for each configuration syntax. It runs nothing and
// fills in no placeholder.
package dovecot

import "embed"

// Files holds 2.3/ceralacca.conf with placeholders of the form @NAME@, which
// README.md explains. It is read-only.
//
//go:embed 2.3
var Files embed.FS
