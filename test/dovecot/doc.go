// Package dovecot starts a private Dovecot for a test: its own folder, its own processes, unix sockets only. It is for
// tests of packages that speak to Dovecot and does not stand for the configuration that we ship.
package dovecot
