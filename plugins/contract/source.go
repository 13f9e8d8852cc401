package contract

import (
	"embed"
	"io/fs"
)

//go:embed *.go v1 v2
var source embed.FS

// Source is the contract, .proto files and Go code, for the modules that `ceralacca plugin new` writes.
func Source() fs.FS { return source }
