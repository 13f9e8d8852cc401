// Package mortal holds one test: plug-ins are killed with SIGKILL a thousand times under load, most of them in the middle
// of a call, and no message passes that was not scanned, and no event is lost. Postfix, milter, agent, Dovecot, store and
// plug-ins are the real ones.
package mortal
