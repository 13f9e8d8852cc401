// Package tracking keeps what is known of messages under way: submissions, the facts about each recipient, and the
// notifications that still wait for a mailbox.
//
// It runs no clock, and sends nothing.
package tracking
