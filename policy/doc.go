// Package policy holds the pure rules of certified e-mail: which submission is in order, what an incoming message is,
// which receipt is due, what a failed delivery is called.
//
// It does no I/O, has no clock and keeps no state: everything it judges is handed to it.
package policy
