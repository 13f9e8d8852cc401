// Command ceralacca is the one binary: the two daemons, and what people ask at a terminal. Each command is one file. It
// does not put the daemons together, which is package internal/app's, and does not judge messages.
package main
