// Command labctl keeps a lab running in the background for make lab.
//
//	labctl up --dir DIR --bin FILE     starts it and returns when all ports answer;
//	                                   when it runs already, prints its state
//	labctl status --dir DIR            prints its state
//	labctl down --dir DIR              ends it and removes DIR
//
// DIR/env then holds its addresses, ports, users and files for sh. It installs no
// package, sends no mail and does not look into mailboxes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns 0 when the command did what it says, 1 when not, 2 for wrong usage.
func run(args []string) int {
	if len(args) == 0 {
		return usage()
	}
	flags := flag.NewFlagSet("labctl", flag.ContinueOnError)
	dir := flags.String("dir", ".lab", "folder of the lab")
	bin := flags.String("bin", "bin/ceralacca", "the program of the daemons; empty: no daemons")
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	c := control{dir: absolute(*dir), bin: absolute(*bin)}
	commands := map[string]func() error{"up": c.up, "serve": c.serve, "status": c.status, "down": c.down}
	command, ok := commands[args[0]]
	if !ok {
		return usage()
	}
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: labctl up|status|down [--dir DIR] [--bin FILE], for example: labctl up --dir .lab --bin bin/ceralacca")
	return 2
}

// absolute leaves an empty name empty.
func absolute(name string) string {
	if name == "" {
		return ""
	}
	full, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return full
}
