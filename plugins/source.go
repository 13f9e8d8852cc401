package plugins

import (
	"embed"
	"io/fs"
)

//go:embed *.go
var source embed.FS

// Source is this package as Go files, for the modules that `ceralacca plugin new` writes. Plug-ins do not hold it.
func Source() fs.FS { return source }
