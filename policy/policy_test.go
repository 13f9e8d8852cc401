package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func address(t *testing.T, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// good is a submission in order; a test changes one thing.
func good(t *testing.T) *Submission {
	return &Submission{
		Sender:     address(t, "mario@alfa.example"),
		Recipients: []pec.Address{address(t, "anna@beta.example"), address(t, "ugo@gamma.example")},
		Header: pec.Header{
			{Name: "From", Value: " Mario Rossi <mario@ALFA.example>"},
			{Name: "To", Value: " \"Anna (ufficio)\" <anna@beta.example>"},
			{Name: "Cc", Value: " ugo@Gamma.Example (Ugo)"},
			{Name: "Date", Value: " Sun, 22 Nov 2026 10:00:00 +0100"},
			{Name: "Message-ID", Value: " <1@client.example>"},
			{Name: "Subject", Value: " prova"},
		},
		Size: 1000, LongestLine: 998,
		Limits: Limits{Size: 100_000, Product: 200_000, HardSize: 1 << 20},
	}
}

func codes(list []Fault) []pec.FaultCode {
	var out []pec.FaultCode
	for _, f := range list {
		out = append(out, f.Code)
	}
	return out
}

func TestCheckSubmission(t *testing.T) {
	conformance.Covers(t, "C014", "C039", "C040", "C041", "C042", "C043", "C044", "C045", "C046")
	set := func(name, value string) func(*Submission) {
		return func(s *Submission) {
			s.Header = s.Header.Without(name)
			s.Header = append(s.Header, pec.Field{Name: name, Value: " " + value})
		}
	}
	drop := func(name string) func(*Submission) {
		return func(s *Submission) { s.Header = s.Header.Without(name) }
	}
	also := func(name, value string) func(*Submission) {
		return func(s *Submission) { s.Header = append(s.Header, pec.Field{Name: name, Value: " " + value}) }
	}
	tests := []struct {
		name   string
		change func(*Submission)
		want   []pec.FaultCode
	}{
		{"in order", func(*Submission) {}, nil},
		{"no message id", drop("Message-ID"), nil},
		{"no subject", drop("Subject"), nil},
		{"empty bcc", also("Bcc", ""), nil},
		{"space round the dots of a domain", set("To", "anna@beta. example"), nil},
		{"no from", drop("From"), []pec.FaultCode{pec.FaultFrom}},
		{"an author and what is no address", set("From", "mario@alfa.example, luigi"), []pec.FaultCode{pec.FaultFrom}},
		{"what is no address and an author", set("From", "luigi, mario@alfa.example"), []pec.FaultCode{pec.FaultFrom}},
		{"two authors", set("From", "mario@alfa.example, luigi@alfa.example"), []pec.FaultCode{pec.FaultFrom}},
		{"another author", set("From", "luigi@alfa.example"), []pec.FaultCode{pec.FaultSender}},
		{"no to", drop("To"), []pec.FaultCode{pec.FaultTo, pec.FaultHidden}},
		{"undisclosed to", set("To", "undisclosed-recipients:;"), []pec.FaultCode{pec.FaultTo, pec.FaultHidden}},
		{"hidden recipient", drop("Cc"), []pec.FaultCode{pec.FaultHidden}},
		{"bcc", also("Bcc", "x@beta.example"), []pec.FaultCode{pec.FaultBcc}},
		{"resent-bcc", also("Resent-Bcc", "x@beta.example"), []pec.FaultCode{pec.FaultBcc}},
		{"two subjects", also("Subject", "y"), []pec.FaultCode{pec.FaultDuplicate}},
		{"bad message id", set("Message-ID", "<a b@c>"), []pec.FaultCode{pec.FaultSyntax}},
		{"message id between comments", set("Message-ID", "(mine (really)) <1@client.example> (so it is)"), nil},
		{"message id in a comment", set("Message-ID", "(<1@client.example>)"), []pec.FaultCode{pec.FaultSyntax}},
		{"message id and more", set("Message-ID", "<1@client.example> (c) x"), []pec.FaultCode{pec.FaultSyntax}},
		{"two message ids", set("Message-ID", "<1@client.example> (c) <2@x>"), []pec.FaultCode{pec.FaultSyntax}},
		{"sender without an address", also("Sender", "Mario"), []pec.FaultCode{pec.FaultSyntax}},
		{"another sender", also("Sender", "luigi@alfa.example"), nil},
		{"reply to nobody", also("Reply-To", "segreteria"), []pec.FaultCode{pec.FaultSyntax}},
		{"reply to a quoted name", also("Reply-To", "\"la segreteria\"@x.example"), nil},
		{"reply to nothing", also("Reply-To", ""), nil},
		{"empty date", set("Date", ""), []pec.FaultCode{pec.FaultSyntax}},
		{"bad date", set("Date", "yesterday"), []pec.FaultCode{pec.FaultSyntax}},
		{"8 bit header", set("Subject", "perch\xc3\xa9"), []pec.FaultCode{pec.FaultHeaderBytes}},
		{"field of 59,000 bytes", set("X-Long", strings.Repeat("a", 59_000)), []pec.FaultCode{pec.FaultField}},
		{"long line", func(s *Submission) { s.LongestLine = 999 }, []pec.FaultCode{pec.FaultLine}},
		{"thousand fields", func(s *Submission) { fillHeader(s, 1000) }, nil},
		{"more than a thousand fields", func(s *Submission) { fillHeader(s, 1001) }, []pec.FaultCode{pec.FaultFields}},
		{"nul", func(s *Submission) { s.NUL = true }, []pec.FaultCode{pec.FaultNUL}},
		{"size", func(s *Submission) { s.Size = 100_001 }, []pec.FaultCode{pec.FaultSize, pec.FaultProduct}},
		{"product alone", func(s *Submission) { s.Size = 100_000; s.Limits.Product = 199_999 }, []pec.FaultCode{pec.FaultProduct}},
		{"both limits just kept", func(s *Submission) { s.Size = 100_000 }, nil},
	}
	for _, tt := range tests {
		s := good(t)
		tt.change(s)
		if diff := cmp.Diff(tt.want, codes(CheckSubmission(s))); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", tt.name, diff)
		}
	}
}

// fillHeader gives s a header of n fields.
func fillHeader(s *Submission, n int) {
	for len(s.Header) < n {
		s.Header = append(s.Header, pec.Field{Name: "X-More", Value: " x"})
	}
}

func TestWantedReceipt(t *testing.T) {
	conformance.Covers(t, "C081", "C082")
	for word, want := range map[string]pec.ReceiptKind{
		"": pec.ReceiptComplete, "junk": pec.ReceiptComplete, "completa": pec.ReceiptComplete,
		"BREVE": pec.ReceiptBrief, " sintetica ": pec.ReceiptConcise,
	} {
		if got := WantedReceipt(pec.Header{{Name: "X-Tiporicevuta", Value: word}}); got != want {
			t.Errorf("WantedReceipt of %q is %q, want %q", word, got, want)
		}
	}
}

var (
	self  = &pec.ProviderRecord{Name: "Alfa", Domains: []string{"alfa.example"}}
	other = &pec.ProviderRecord{Name: "Beta", Domains: []string{"beta.example"}}
)

// incoming is an envelope from beta to mario@alfa.example, valid; a test changes one thing.
func incoming(t *testing.T) *Incoming {
	return &Incoming{
		Verification: &pec.Verification{
			Provider: other, Kind: pec.KindTransport, Parts: &pec.Parts{Original: pec.Bytes([]byte("\r\n"))},
			Data: &pec.CertData{
				Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: address(t, "anna@beta.example"),
				Recipients: []pec.Recipient{
					{Address: address(t, "mario@alfa.example"), Type: pec.Certified},
					{Address: address(t, "x@alfa.example"), Type: pec.Ordinary},
				},
			},
		},
		Sender: address(t, "Anna@beta.example"), Recipients: []pec.Address{address(t, "MARIO@alfa.example")},
		Self: self, Service: []pec.Address{address(t, "posta@alfa.example"), address(t, "ricevute@alfa.example")},
	}
}

func TestJudgeIncoming(t *testing.T) {
	conformance.Covers(t, "C020", "C084", "C103", "C105", "C114", "C117", "C118", "C119", "C131")
	to := func(s string) func(*Incoming) {
		return func(in *Incoming) { in.Recipients = []pec.Address{address(t, s)} }
	}
	notice := func(kind pec.Kind, provider *pec.ProviderRecord, subject, rcpt string) func(*Incoming) {
		return func(in *Incoming) {
			a := address(t, subject)
			in.Verification.Provider, in.Verification.Kind = provider, kind
			in.Verification.Data = &pec.CertData{
				Kind: kind, Error: pec.ErrorNone, Sender: address(t, "mario@alfa.example"),
				Recipients: []pec.Recipient{{Address: address(t, "anna@beta.example"), Type: pec.Certified}},
			}
			if kind == pec.KindNonDelivery {
				in.Verification.Data.Error = pec.ErrorRecipient
			}
			if kind == pec.KindTakeCharge {
				in.Verification.Data.Taken = []pec.Address{a}
			} else {
				in.Verification.Data.Delivery = &a
			}
			in.Recipients = []pec.Address{address(t, rcpt)}
		}
	}
	failing := func(kind pec.Kind, code pec.ErrorCode, rcpt string) func(*Incoming) {
		return func(in *Incoming) {
			notice(kind, other, "anna@beta.example", rcpt)(in)
			in.Verification.Data.Error = code
		}
	}
	tests := []struct {
		name    string
		change  func(*Incoming)
		outcome Outcome
		problem pec.Problem
	}{
		{"valid envelope", func(*Incoming) {}, OutcomeEnvelope, ""},
		{"not signed", func(in *Incoming) { in.Verification = &pec.Verification{Problem: pec.ProblemNoSignature} }, OutcomeOrdinary, pec.ProblemNoSignature},
		{"stranger", func(in *Incoming) { in.Verification = &pec.Verification{Problem: pec.ProblemUnknownSigner} }, OutcomeOrdinary, pec.ProblemUnknownSigner},
		{"a signature that nobody can read", func(in *Incoming) { in.Verification = &pec.Verification{Problem: pec.ProblemMalformed} }, OutcomeOrdinary, pec.ProblemMalformed},
		{"malformed, by a provider", func(in *Incoming) { in.Verification.Problem = pec.ProblemMalformed }, OutcomeAnomaly, pec.ProblemMalformed},
		{"tampered", func(in *Incoming) { in.Verification.Problem = pec.ProblemSignature }, OutcomeAnomaly, pec.ProblemSignature},
		{"revoked", func(in *Incoming) { in.Verification.Problem = pec.ProblemRevoked }, OutcomeAnomaly, pec.ProblemRevoked},
		{"another sender", func(in *Incoming) { in.Sender = pec.Address{} }, OutcomeAnomaly, pec.ProblemRouting},
		{"not among the recipients", to("luigi@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"among them as ordinary", to("x@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"a provider that does not manage the sender", func(in *Incoming) { in.Verification.Provider = &pec.ProviderRecord{Name: "Delta"} }, OutcomeAnomaly, pec.ProblemRouting},
		{"no original", func(in *Incoming) { in.Verification.Parts.Original = nil }, OutcomeAnomaly, pec.ProblemMalformed},
		{"an error in an envelope", func(in *Incoming) { in.Verification.Data.Error = pec.ErrorVirus }, OutcomeAnomaly, pec.ProblemMalformed},
		{"an error in a delivery receipt", failing(pec.KindDelivery, pec.ErrorOther, "mario@alfa.example"), OutcomeAnomaly, pec.ProblemMalformed},
		{"a non-delivery without an error", failing(pec.KindNonDelivery, pec.ErrorNone, "mario@alfa.example"), OutcomeAnomaly, pec.ProblemMalformed},
		{"an error in a take-charge", failing(pec.KindTakeCharge, pec.ErrorOther, "ricevute@alfa.example"), OutcomeKept, pec.ProblemMalformed},
		{"our own, from the network", func(in *Incoming) {
			in.Verification.Provider, in.Sender = self, address(t, "luigi@alfa.example")
			in.Verification.Data.Sender = in.Sender
		}, OutcomeAnomaly, pec.ProblemRouting},
		{"our own receipt, from the network", func(in *Incoming) {
			notice(pec.KindDelivery, self, "luigi@alfa.example", "mario@alfa.example")(in)
			in.Verification.Data.Recipients[0].Address = address(t, "luigi@alfa.example")
		}, OutcomeAnomaly, pec.ProblemRouting},
		{"signed and wrong, to the service mailbox", func(in *Incoming) { to("ricevute@alfa.example")(in); in.Verification.Problem = pec.ProblemRevoked }, OutcomeKept, pec.ProblemRevoked},
		{"delivery receipt", notice(pec.KindDelivery, other, "anna@beta.example", "mario@alfa.example"), OutcomeNotification, ""},
		{"non-delivery", notice(pec.KindNonDelivery, other, "anna@beta.example", "mario@alfa.example"), OutcomeNotification, ""},
		{"receipt of a provider for another's user", notice(pec.KindDelivery, &pec.ProviderRecord{Name: "Delta", Domains: []string{"delta.example"}}, "anna@beta.example", "mario@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"receipt for a recipient that was none", notice(pec.KindDelivery, other, "bob@beta.example", "mario@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"receipt aimed at another user", notice(pec.KindDelivery, other, "anna@beta.example", "luigi@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"acceptance by another provider", notice(pec.KindAcceptance, other, "anna@beta.example", "mario@alfa.example"), OutcomeAnomaly, pec.ProblemRouting},
		{"take-charge", notice(pec.KindTakeCharge, other, "anna@beta.example", "ricevute@alfa.example"), OutcomeNotification, ""},
		{"take-charge aimed at a user", notice(pec.KindTakeCharge, other, "anna@beta.example", "mario@alfa.example"), OutcomeKept, pec.ProblemRouting},
		{"take-charge for another's user", notice(pec.KindTakeCharge, other, "x@delta.example", "ricevute@alfa.example"), OutcomeKept, pec.ProblemRouting},
		{"about a message of another provider", func(in *Incoming) {
			notice(pec.KindDelivery, other, "anna@beta.example", "mario@alfa.example")(in)
			in.Verification.Data.Sender = address(t, "z@delta.example")
		}, OutcomeAnomaly, pec.ProblemRouting},
	}
	for _, tt := range tests {
		in := incoming(t)
		tt.change(in)
		if got := JudgeIncoming(in); got.Outcome != tt.outcome || got.Problem != tt.problem {
			t.Errorf("%s: got %q for %q (%s), want %q for %q", tt.name, got.Outcome, got.Problem, got.Detail, tt.outcome, tt.problem)
		}
	}
}

func TestNonDelivery(t *testing.T) {
	conformance.Covers(t, "C181")
	tests := []struct {
		enhanced string
		want     Failure
	}{
		{"5.1.1", Failure{pec.ErrorRecipient, "5.1.1 - Beta - indirizzo non valido", "indirizzo non valido"}},
		{"5.4.4", Failure{pec.ErrorDomain, "5.1.2 - Beta - dominio non valido", "dominio non valido"}},
		{"5.2.2", Failure{pec.ErrorOther, "5.2.2 - Beta - casella piena", "casella piena"}},
		{"5.2.1", Failure{pec.ErrorOther, "5.2.1 - Beta - casella disabilitata", "casella disabilitata"}},
		{"4.4.1", Failure{pec.ErrorOther, "5.4.7 - Beta - tempo massimo di consegna superato", "tempo massimo di consegna superato"}},
		{"", Failure{pec.ErrorOther, "5.0.0 - Beta - messaggio rifiutato dal sistema di destinazione", "messaggio rifiutato dal sistema di destinazione"}},
	}
	for _, tt := range tests {
		if got := NonDelivery("Beta", Attempt{Code: 550, Enhanced: tt.enhanced}); got != tt.want {
			t.Errorf("NonDelivery of %q is %+v, want %+v", tt.enhanced, got, tt.want)
		}
	}
}

func TestReceiptFor(t *testing.T) {
	conformance.Covers(t, "C013", "C164", "C166", "C168", "C169", "C170", "C178")
	original := func(to, cc string) pec.Header {
		return pec.Header{{Name: "To", Value: " " + to}, {Name: "Cc", Value: " " + cc}}
	}
	asked := func(word string) pec.Header { return pec.Header{{Name: pec.FieldReceiptKind, Value: " " + word}} }
	tests := []struct {
		name               string
		stated             pec.ReceiptKind
		envelope, original pec.Header
		kind               pec.ReceiptKind
		attached           bool
	}{
		{"primary", "", nil, original("a@b.example", "c@b.example"), pec.ReceiptComplete, true},
		{"copied", "", nil, original("c@b.example", "A@b.example"), pec.ReceiptComplete, false},
		{"in both", "", nil, original("a@b.example", "a@b.example"), pec.ReceiptComplete, true},
		{"in neither", "", nil, original("c@b.example", "d@b.example"), pec.ReceiptComplete, true},
		{"To unreadable", "", nil, original("<<>", "a@b.example"), pec.ReceiptComplete, true},
		{"concise asked", "", asked("Sintetica"), original("a@b.example", ""), pec.ReceiptConcise, false},
		{"concise in the data alone", pec.ReceiptConcise, asked("junk"), original("a@b.example", ""), pec.ReceiptConcise, false},
		{"brief asked", "", asked("breve"), original("a@b.example", ""), pec.ReceiptBrief, true},
		{"brief in the data alone", pec.ReceiptBrief, nil, original("a@b.example", ""), pec.ReceiptBrief, true},
		{"brief asked, copied", "", asked("BREVE"), original("c@b.example", "a@b.example"), pec.ReceiptBrief, false},
		{"brief asked, in neither", "", asked("breve"), original("c@b.example", ""), pec.ReceiptBrief, true},
	}
	for _, tt := range tests {
		kind, attached := ReceiptFor(&pec.CertData{Receipt: tt.stated}, tt.envelope, tt.original, address(t, "a@b.example"))
		if kind != tt.kind || attached != tt.attached {
			t.Errorf("%s: got %q, attached %v; want %q, %v", tt.name, kind, attached, tt.kind, tt.attached)
		}
	}
}
