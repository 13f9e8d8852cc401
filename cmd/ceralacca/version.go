package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Help implements kong's HelpProvider.
func (versionCommand) Help() string { return "Example:\n\n  ceralacca version" }

// Run prints the version that the Go tool recorded when it built the binary.
func (versionCommand) Run(s *streams) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	_, err := fmt.Fprintf(s.out, "ceralacca %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
