// Package milter is the access point and the incoming point: for one SMTP transaction of Postfix it gives a verdict, and
// makes Postfix's queue file carry it, in the private header and, where one is due, as a sealed envelope in the place of
// the message.
//
// It keeps nothing and issues nothing: a milter hears no more after its answer, so whatever follows from a verdict is
// the agent's, who gets what Postfix really holds. It never imports the agent.
package milter
