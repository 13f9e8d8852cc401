package transaction

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// Version is the version of [Record] that this package writes.
const Version = 1

// Point says through which door a message came in. Its zero value is not legal.
type Point string

// The points. The values are in queue files: they MUST NOT change.
const (
	PointSubmission Point = "submission" // the access point
	PointIncoming   Point = "incoming"   // the incoming point
)

// Verdict is what the milter made of a message. Its zero value is not legal.
type Verdict string

// The verdicts. The values are in queue files: they MUST NOT change.
const (
	// VerdictEnvelope: a submission in order; the message is our transport envelope. [C025]
	VerdictEnvelope Verdict = "envelope"
	// VerdictRefused: a submission with a formal fault; the message is as it came. [C026]
	VerdictRefused Verdict = "refused"
	// VerdictValidEnvelope: a valid transport envelope of a provider. [C101]
	VerdictValidEnvelope Verdict = "valid-envelope"
	// VerdictNotification: a valid receipt or notice of a provider.
	VerdictNotification Verdict = "notification"
	// VerdictAnomaly: signed but wrong, or ordinary mail; the message is our anomaly envelope, Reason says why. [C132]
	VerdictAnomaly Verdict = "anomaly"
	// VerdictKept: an incoming message that goes to no mailbox, as signed but wrong mail for the service address; the
	// message is as it came, and the agent keeps it for the operator. [C184]
	VerdictKept Verdict = "kept"
	// VerdictVirus: a virus was found, at either point; the message is as it came. [C027]
	VerdictVirus Verdict = "virus"
)

// verdicts are those that each point can give.
var verdicts = map[Point][]Verdict{
	PointSubmission: {VerdictEnvelope, VerdictRefused, VerdictVirus},
	PointIncoming:   {VerdictValidEnvelope, VerdictNotification, VerdictAnomaly, VerdictKept, VerdictVirus},
}

// ScanVerdict is what an antivirus made of a message. Its zero value says that none was asked.
type ScanVerdict string

// The verdicts of an antivirus. The values are in queue files: they MUST NOT change.
const (
	ScanClean     ScanVerdict = "clean"
	ScanInfected  ScanVerdict = "infected"
	ScanEncrypted ScanVerdict = "encrypted" // part of it cannot be looked into by anybody without a key; it is no virus
)

// Scan is an answer of an antivirus, as the legal log and the notices give it.
type Scan struct {
	Verdict ScanVerdict `json:"verdict,omitempty"`
	// Virus is what was found, not empty if and only if Verdict is [ScanInfected]. One line, printable.
	Virus string `json:"virus,omitempty"`
	// Engine and Signatures name the program and the version of its signatures. One line each, printable.
	Engine     string `json:"engine,omitempty"`
	Signatures string `json:"signatures,omitempty"`
}

// Record is what the milter knows and decided of one SMTP transaction. The agent believes it, once its HMAC is good.
type Record struct {
	// Version is that of the layout. Seal writes [Version], whatever stands here; Open sets what it found.
	Version int
	Point   Point
	Verdict Verdict
	// Reason is a code, for the log and for choosing a text; empty when all is in order. Detail says it to a person,
	// in Italian where it goes into a notice, in UTF-8.
	Reason, Detail string
	// ID is this transaction's, 32 hexadecimal digits in lower case.
	ID string
	// Identifier is that of the envelope: ours on a submission, the sending provider's on an incoming message; empty
	// when there is none.
	Identifier pec.Identifier
	// Instant is the one instant of the transaction, of header, text, certification data and log.
	Instant time.Time
	// Sender is the SMTP reverse path, zero for <>. [C012]
	Sender pec.Address
	// Recipients are those of the SMTP transaction, in RCPT order, as the client gave them: all of a submission,
	// the certified ones of ours of an incoming message, also when the queue file was left without them. [C012]
	Recipients []pec.Address
	// Types are those of Recipients, in the same order, on a submission; empty on an incoming message. [C031]
	Types []pec.RecipientType
	// Signer is the name of the provider whose signature held, SignerCert the SHA-256 of the certificate that made it;
	// zero when none did, and on a submission.
	Signer     string
	SignerCert [32]byte
	// Kind is what the message was when it came in. [pec.KindNone] is an ordinary one.
	Kind pec.Kind
	// Login is the user who submitted, Client the address of the SMTP client.
	Login, Client string
	// Scan is what the antivirus said; zero when nobody asked it.
	Scan Scan
	// Digest is the SHA-256 of what follows the fields of this record: see [Digest].
	Digest [32]byte
	// Subject and MessageID are the original's, decoded and with its angle brackets; HasSubject tells an empty Subject
	// from none, and need not be set for Seal when Subject is not empty.
	Subject, MessageID string
	HasSubject         bool
}

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// check says whether r can be sealed: a record that makes no sense is a fault of ours, found before it is in a queue.
func (r *Record) check() error {
	if !allowed(r.Point, r.Verdict) {
		return fmt.Errorf("transaction: verdict %q at point %q", r.Verdict, r.Point)
	}
	if !idForm.MatchString(r.ID) {
		return fmt.Errorf("transaction: id %q is not 32 hexadecimal digits", r.ID)
	}
	if r.Instant.IsZero() {
		return errors.New("transaction: no instant")
	}
	if infected := r.Scan.Verdict == ScanInfected; infected != (r.Verdict == VerdictVirus) || infected != (r.Scan.Virus != "") {
		return fmt.Errorf("transaction: verdict %q with scan %q and virus %q", r.Verdict, r.Scan.Verdict, r.Scan.Virus)
	}
	if len(r.Recipients) == 0 {
		return errors.New("transaction: no recipient")
	}
	if len(r.Types) != 0 && len(r.Types) != len(r.Recipients) {
		return fmt.Errorf("transaction: %d types for %d recipients", len(r.Types), len(r.Recipients))
	}
	return nil
}

func allowed(p Point, v Verdict) bool {
	for _, one := range verdicts[p] {
		if one == v {
			return true
		}
	}
	return false
}
