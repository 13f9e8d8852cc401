// Package mortal holds two tests. In the first plug-ins are killed with SIGKILL a thousand times under load, most of them in the middle
// of a call, and an agent with plug-ins a few times among them, and no message passes that was not scanned, and no event is
// lost. Postfix, milter, agent, Dovecot, store and plug-ins are the real ones; of those that
// are told of events some run under the store and the queue alone, without an agent, for many more mailboxes.
//
// A second test does the same to the plug-ins that we ship for events: what they keep and send is looked at from outside.
package mortal
