// Package brief makes the original of a brief delivery receipt (RFC 6109, 3.3.2.2): the message as it came, with every
// file in it replaced by a text with its hash. It cuts pieces out of the bytes of the message and puts others in their
// place; it never writes a message anew, and does not choose who gets a brief receipt.
//
// A message that two readers could take apart in two ways is not cut at all: see [ErrUncertain].
package brief
