// Package lda is the delivery point: what Postfix holds comes in over LMTP; deliveries, receipts and notices go out to
// Dovecot and to the outbound instance. It executes what the milter decided and wrote into the message, each effect
// once. It is the only importer of the SMTP library.
//
//	Postfix ─LMTP→ session ─→ presentation ─→ open (closed by default) ─→ job ─→ the steps of its verdict:
//
//	  submission in order   read  accept  takeCharge  deliver  conclude
//	  submission refused    refuse
//	  valid envelope        read  identify  takeCharge  deliver  conclude
//	  notification          read  note  pass
//	  anomaly envelope      pass
//	  kept                  keep
//	  no header of ours     bounce (a delivery status notification of ours), or 5.7.1
//
//	each effect ─→ claim ─→ compose, lint, seal ─→ prepared ─→ hand over, wait for 250 ─→ done + log + facts
//
// It does not decide what a message is, does not verify chains or revocation, keeps no queue of messages (Postfix's
// is the queue) and does not know the milter.
package lda
