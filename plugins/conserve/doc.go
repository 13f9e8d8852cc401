// Command conserve is a conservation plug-in, and a command for who runs it. Started by the host it keeps messages and
// receipts, and makes of each mailbox's day a package whose index is signed and time-stamped; run by hand it shows, verifies
// and hands out.
//
// Who owns what:
//
//   - internal/deposit: what was taken and is not in a package yet, and what became of each key, for ever
//   - internal/keeper: when a day is over; the plan of a package, its signature and stamp, the catalogue of what is preserved
//   - internal/pack: what a package consists of, and how one is verified
//   - internal/sincro: the index (PIndex)
//   - internal/stamp: the time stamping authority
//   - internal/store: whole packages, and where they are kept (an interface); in a folder
//   - internal/s3: the same in a bucket of an S3-compatible store
//   - internal/imap: Dovecot, as its master user
//   - internal/intake: old mail out of mailboxes into the deposits
//   - internal/archive: the security archive, a box of its own that is never packaged
//   - internal/journal: small records as files
//   - internal/restoration: out of the archive back into mailboxes
//   - this package: configuration, rules, space, the contract, the commands
//
// The state is one folder: keys/ (a record for each key), spool/MAILBOX/DAY/ (contents without a package, and NNN.plan,
// NNN.parts, NNN.p7m, NNN.tsr of the package in hand), catalogue/MAILBOX/DAY-NNN.json (packages that are preserved), import/ and
// restore/ (the journals of these commands), lock. All is written aside, flushed and renamed. A deposit is its record. A
// package goes plan, signature, stamp, store, catalogue, records, and the plan is removed last: whoever is killed is
// continued from there, to the same bytes. The keeper works only while it holds the lock; deposits need none, nor do the
// commands, which only read what never changes or is whole. An import makes deposits as the plug-in does, which counts them
// afterwards.
package main
