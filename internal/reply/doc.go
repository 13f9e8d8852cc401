// Package reply turns errors into what Postfix is told: one table of kinds and doors. It is the only place where a
// reply other than success is written, and never shows a peer what went wrong inside.
//
// It does not log and does not decide what an error is: that is its [pec.ErrorKind].
package reply
