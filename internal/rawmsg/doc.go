// Package rawmsg captures the exact bytes of a message once, with their digest, in memory while they are few and in an
// unlinked file otherwise. It does not know what a message is, and changes nothing.
package rawmsg
