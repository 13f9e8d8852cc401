// Package e2e holds the tests of the whole system from outside: real Postfix and Dovecot, what enters the SMTP ports, what
// lies in the mailboxes, what OpenSSL says of it. It contains nothing but tests.
package e2e
