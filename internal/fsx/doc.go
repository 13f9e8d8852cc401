// Package fsx is for files that must survive a crash: written aside, flushed, put in place, their folder flushed; and for
// waiting until a whole file system is on disk.
//
// It does not know what is in a file.
package fsx
