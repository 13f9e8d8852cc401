// Package kill holds the tests that kill a daemon with SIGKILL just before and just after every step of every effect, on
// real Postfix and Dovecot, and then ask that nothing is lost, nothing lies twice in a mailbox and the audit is clean.
// It contains nothing but tests; the daemons are those of test/faultd.
package kill

//go:generate go run ./gen
