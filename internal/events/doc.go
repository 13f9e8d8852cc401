// Package events tells plug-ins what happened to mailboxes. An event is recorded in the store transaction of the effect
// that it follows, a row for each subscriber, and delivered at least once and in order per mailbox, until the subscriber
// says that it is done.
//
//	pending, err := queue.Prepare(event, write)   // before the hand-over: what subscribers must see is on disk
//	…                                             // the effect
//	err = pending.Record(tx, at)                  // with what ends the effect, in one transaction
//
// It does not know how a subscriber is called, and decides nothing about mail: an effect never waits for a delivery.
package events
