// Package effect sees to it that what cannot be taken back happens once: claim, prepare, hand over, done.
//
//	claim, err := register.Claim(ctx, keys)   // ErrHeld: somebody else works on one of them
//	defer claim.Release(ctx)
//	err = claim.Prepare(ctx, artefact)        // what a second run must do again, byte for byte
//	…                                         // hand over, wait for the answer
//	err = claim.Done(ctx, keys, log)          // in one transaction with the record of the log and the facts
//	ended := claim.End(keys, log)             // or: in one transaction with what is prepared next, see PrepareAfter
//
// It does not know what an effect is, composes nothing and sends nothing.
package effect
