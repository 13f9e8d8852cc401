package transaction

import (
	"encoding/binary"
	"time"
)

// NewID makes the bytes of the id of a transaction, or of the identifier of a message [C032]: the second it came in, in 40
// bits, then 88 random bits, which the caller MUST draw anew each time. Uniqueness rests on those alone: a clock may be
// put back. The second comes first so that the rows of messages of one time stand beside each other in the store, and new
// ones at its end; nothing relies on the order. It says no more than the instant in the message's certification data.
func NewID(at time.Time, random [11]byte) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], uint64(at.Unix())<<24) // the random bits follow from the sixth byte on
	copy(id[5:], random[:])
	return id
}
