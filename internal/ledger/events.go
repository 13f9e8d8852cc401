package ledger

// Event says what happened. The values are stable: programs read them.
type Event string

// What can happen to a message.
const (
	// EventReception: a transport envelope of a provider came in; Covered are the recipients it came for.
	EventReception Event = "reception"
	// EventAcceptance: a submission was accepted, and its acceptance receipt handed over.
	EventAcceptance Event = "acceptance"
	// EventNonAcceptance: a submission was refused for its form, and the notice handed over; Detail is the reason.
	EventNonAcceptance Event = "non-acceptance"
	// EventNonAcceptanceVirus: the same for a virus; Detail names it, and Scan says who found it.
	EventNonAcceptanceVirus Event = "non-acceptance-virus"
	// EventEnvelope: the transport envelope of a submission is on its way.
	EventEnvelope Event = "transport-envelope"
	// EventTakeCharge: our take-charge receipt was handed over; Covered are the recipients that it names.
	EventTakeCharge Event = "take-charge"
	// EventExpansion: the recipient in Covered is an alias; Mailboxes are those that its one outcome is about.
	EventExpansion Event = "expansion"
	// EventCopy: the message lies in the mailbox in Detail, one of several of each recipient in Covered, which are aliases.
	EventCopy Event = "mailbox-delivery"
	// EventDelivery: the message lies in the mailbox of each recipient in Covered, which Detail names; in all its mailboxes
	// when Detail is empty.
	EventDelivery Event = "delivery"
	// EventDeliveryReceipt: our delivery receipt for the one recipient in Covered was handed over; Detail says why it is the
	// complete one where a brief one was asked for.
	EventDeliveryReceipt Event = "delivery-receipt"
	// EventNonDelivery: our non-delivery notice for the recipient in Covered was handed over; Detail is its error text.
	EventNonDelivery Event = "non-delivery"
	// EventNonDeliveryVirus: the sender was told that the virus in the message kept it from the recipient in Covered;
	// Detail names it.
	EventNonDeliveryVirus Event = "non-delivery-virus"
	// EventVirusDetection: our virus detection notice for the recipient in Covered was handed over; Detail names the virus,
	// and Scan says who found it.
	EventVirusDetection Event = "virus-detection"
	// EventTimeout12 and EventTimeout24: the sender was told that nothing is known of the recipients in Covered.
	EventTimeout12 Event = "timeout-12h"
	EventTimeout24 Event = "timeout-24h"
	// EventAnomaly: a message that is not what it says, or ordinary mail, was delivered in an anomaly envelope to the
	// recipients in Covered; Detail is the reason.
	EventAnomaly Event = "anomaly"
	// EventAnomalyRefused: the mailbox in Covered does not take an anomaly envelope; Detail is what it says. Postfix tells
	// the sender.
	EventAnomalyRefused Event = "anomaly-refused"
	// EventNotification: a receipt or notice of another provider came in and its facts were recorded; Kind is what it is,
	// Covered the recipients it speaks of, Provider who made it.
	EventNotification Event = "notification-received"
	// EventNotificationDelivered: such a notification lies in the mailbox of the user it is for, in Covered.
	EventNotificationDelivered Event = "notification-delivered"
	// EventDSN: a bounce of our own servers became the facts of the recipient in Covered.
	EventDSN Event = "dsn"
	// EventDSNIgnored: a bounce changes nothing: success, delay, a receipt's, or a recipient with an outcome.
	EventDSNIgnored Event = "dsn-ignored"
	// EventDuplicate: a second copy of something came in and was dropped.
	EventDuplicate Event = "duplicate"
	// EventPossibleDuplicate: a hand-over of unknown outcome was repeated, or a sender may have sent twice.
	EventPossibleDuplicate Event = "possible-duplicate"
	// EventContradiction: what was learnt contradicts a final fact, which stands; Detail says both.
	EventContradiction Event = "contradiction"
	// EventUndeliverable: a receipt could not be put into the mailbox it is for, in Covered, and is tried no more.
	EventUndeliverable Event = "receipt-undeliverable"
	// EventKept: something was kept for the operator and reaches no mailbox; Detail says why.
	EventKept Event = "kept"
	// EventQuarantined: an infected message lies in the quarantine, as it came; Related is the id it has there, Detail its
	// SHA-256.
	EventQuarantined Event = "quarantined"
	// EventQuarantineRemoved: its 30 months are over, and it was removed; Related is the id that it had there.
	EventQuarantineRemoved Event = "quarantine-removed"
	// EventUntrusted: a message without a genuine transaction header was turned away; Detail says why. The identifier is
	// made of its digest.
	EventUntrusted Event = "untrusted"
)
