package policy

import (
	"fmt"
	"slices"

	"github.com/ceralacca/ceralacca/pec"
)

// Directory finds the provider that manages a mail domain.
type Directory interface {
	// ByDomain looks a domain up without regard to case. [C030]
	ByDomain(domain string) (*pec.ProviderRecord, bool)
}

// Types tells for each recipient whether its domain is managed by a certified provider. [C030] [C031] [C087]
func Types(d Directory, recipients []pec.Address) []pec.Recipient {
	out := make([]pec.Recipient, len(recipients))
	for i, a := range recipients {
		out[i] = pec.Recipient{Address: a, Type: pec.Ordinary}
		if _, ok := d.ByDomain(a.Domain()); ok {
			out[i].Type = pec.Certified
		}
	}
	return out
}

// Outcome is what an incoming message turns out to be.
type Outcome string

// The outcomes.
const (
	OutcomeEnvelope     Outcome = "envelope"     // a correct transport envelope [C115] [C116]
	OutcomeNotification Outcome = "notification" // a correct receipt or notice [C117]
	OutcomeAnomaly      Outcome = "anomaly"      // signed by a provider, and wrong: it must be propagated [C118]
	OutcomeOrdinary     Outcome = "ordinary"     // not from a certified provider: the provider's choice [C119]
	OutcomeKept         Outcome = "kept"         // goes to no mailbox: the operator gets it
)

// Incoming is all that the incoming point knows of one SMTP transaction.
type Incoming struct {
	Verification *pec.Verification
	Sender       pec.Address   // of MAIL FROM; zero is the null sender
	Recipients   []pec.Address // of RCPT TO
	Self         *pec.ProviderRecord
	Service      []pec.Address // the provider's own addresses: of the certificate, and the service mailbox
}

// Judgement is an outcome with its reason: Problem for people (it has an Italian text), Detail for the log.
type Judgement struct {
	Outcome Outcome
	Problem pec.Problem
	Detail  string
}

// IsService tells whether a is one of the provider's own addresses, or a subaddress that leads to its mailbox.
func IsService(service []pec.Address, a pec.Address) bool {
	return slices.ContainsFunc(service, func(s pec.Address) bool { return s.Fold() == a.WithoutDetail().Fold() })
}

// JudgeIncoming decides what an incoming message is, from its verification and from the envelope of its SMTP
// transaction. [C103] [C114]
func JudgeIncoming(in *Incoming) Judgement {
	j := judge(in)
	if j.Outcome == OutcomeAnomaly && mustBeKept(in) {
		j.Outcome = OutcomeKept
	}
	return j
}

// mustBeKept tells what may not reach a mailbox even inside an anomaly envelope: signed mail to the service address
// [C184], and the two kinds that are between providers [C020].
func mustBeKept(in *Incoming) bool {
	if k := in.Verification.Kind; k == pec.KindTakeCharge || k == pec.KindVirusDetection {
		return true
	}
	return allService(in)
}

func allService(in *Incoming) bool {
	return !slices.ContainsFunc(in.Recipients, func(a pec.Address) bool { return !IsService(in.Service, a) })
}

func judge(in *Incoming) Judgement {
	v := in.Verification
	switch {
	case v.Problem != "" && v.Provider == nil: // nothing in it names a certificate of the directory
		return Judgement{OutcomeOrdinary, v.Problem, v.Detail} // [C119]
	case v.Problem != "": // [C118]
		return Judgement{OutcomeAnomaly, v.Problem, v.Detail}
	case v.Data == nil || v.Provider == nil:
		return malformed("signed by a provider, without certification data")
	case !v.Data.ErrorFits(): // [C114] [C200]
		return malformed(fmt.Sprintf("the error %q in %s", v.Data.Error, v.Kind))
	case v.Provider.Name == in.Self.Name:
		// What we sign for our own users never leaves our hosts, so somebody sends it again.
		return anomalous("signed by ourselves, but it comes from the network")
	case v.Kind == pec.KindTransport:
		return judgeEnvelope(in)
	default:
		return judgeNotification(in)
	}
}

func anomalous(detail string) Judgement {
	return Judgement{OutcomeAnomaly, pec.ProblemRouting, detail}
}

func malformed(detail string) Judgement {
	return Judgement{OutcomeAnomaly, pec.ProblemMalformed, detail}
}

// judgeEnvelope asks that the envelope of the SMTP transaction is the one that was certified: an envelope sent again to
// somebody else earns no receipt. An envelope without its original has nothing to deliver.
func judgeEnvelope(in *Incoming) Judgement {
	v := in.Verification
	if v.Parts == nil || v.Parts.Original == nil { // [C084] [C114]
		return malformed("there is no original message in it")
	}
	if in.Sender.Fold() != v.Data.Sender.Fold() {
		return anomalous("the sender of the SMTP envelope is not the certified one")
	}
	if !v.Provider.Manages(v.Data.Sender.Domain()) {
		return anomalous("the provider that signed does not manage the sender's domain")
	}
	for _, r := range in.Recipients {
		if !certifiedFor(v.Data, r) {
			return anomalous("the recipient " + r.String() + " is not among the certified ones")
		}
	}
	return Judgement{Outcome: OutcomeEnvelope}
}

func certifiedFor(c *pec.CertData, a pec.Address) bool {
	return slices.ContainsFunc(c.Recipients, func(r pec.Recipient) bool {
		return r.Type == pec.Certified && r.Address.Fold() == a.Fold()
	})
}

// judgeNotification asks that the provider that signed has the right to say what it says (it manages the recipient it
// speaks for) and that the notification goes to whom it is due. [C117] [C131]
func judgeNotification(in *Incoming) Judgement {
	c := in.Verification.Data
	if !in.Self.Manages(c.Sender.Domain()) {
		return anomalous("it is about a message that was not sent from here")
	}
	switch c.Kind {
	case pec.KindDelivery, pec.KindNonDelivery:
		return judgeOutcomeNotice(in)
	case pec.KindTakeCharge, pec.KindVirusDetection:
		return judgeServiceNotice(in)
	}
	return anomalous("only the sender's own provider issues this kind of notification")
}

func judgeOutcomeNotice(in *Incoming) Judgement {
	c := in.Verification.Data
	for _, r := range in.Recipients {
		if r.Fold() != c.Sender.Fold() {
			return anomalous("it is due to the sender, and goes to " + r.String())
		}
	}
	if c.Delivery == nil {
		return malformed("it names no recipient")
	}
	return speaksFor(in, []pec.Address{*c.Delivery}, OutcomeNotification)
}

// judgeServiceNotice is for the kinds that providers send each other. [C129] [C147] [C184]
func judgeServiceNotice(in *Incoming) Judgement {
	c := in.Verification.Data
	if !allService(in) {
		return anomalous("it is due to the service mailbox, and goes to a user")
	}
	covered := c.Taken
	if c.Delivery != nil {
		covered = append(slices.Clone(covered), *c.Delivery)
	}
	if len(covered) == 0 {
		return malformed("it names no recipient")
	}
	return speaksFor(in, covered, OutcomeNotification)
}

// speaksFor asks that each address is a certified recipient whose domain the signing provider manages: no provider
// certifies for another.
func speaksFor(in *Incoming, list []pec.Address, good Outcome) Judgement {
	v := in.Verification
	for _, a := range list {
		if !v.Provider.Manages(a.Domain()) {
			return anomalous("the provider that signed does not manage the domain of " + a.String())
		}
		if !certifiedFor(v.Data, a) {
			return anomalous(a.String() + " is not a certified recipient of the message")
		}
	}
	return Judgement{Outcome: good}
}
