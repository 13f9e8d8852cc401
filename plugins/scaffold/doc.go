// Package scaffold writes the module of a new plug-in: it builds, and passes `ceralacca plugin check`, before its author has
// written a line. It holds the SDK too, so that it builds wherever Go finds the SDK's libraries.
//
// It does not build or check.
package scaffold
