package effect

import "time"

// SetLease makes the leases of a register short, for tests that outlive them.
func SetLease(r *Register, d time.Duration) { r.lease = d }
