// Package host starts plug-ins and calls them: it checks what they are, isolates them, restarts them, and makes of each
// call an answer that keeps the rules of the contract or an error that means "not now".
//
// It does not decide what a plug-in's answer means for a message, and never takes a missing answer for a good one.
package host
