// Package kill holds the tests that break things on purpose, on real Postfix and Dovecot, and then ask that nothing is
// lost, nothing lies twice in a mailbox and the audit is clean. Agent, milter and Postfix's lmtp client die by SIGKILL
// just before and just after every step of every effect; disks fail, mailboxes are full or away for a day, and one
// message is presented many times at once. It contains nothing but tests; the daemons are those of test/faultd.
package kill

//go:generate go run ./gen
