// Package clock holds the tests in which a day passes: on a lab of their own, whose clock they move, with real Postfix and
// Dovecot. It has no code.
package clock
