// Package multipart finds the delimiter lines of a multipart in a stream. It refuses what two readers could read in two
// ways, and does not decode anything.
package multipart
