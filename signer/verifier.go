package signer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec"
)

// Directory finds providers. It is safe for concurrent use and immutable.
type Directory interface {
	// ByCertificate returns the provider that has exactly this certificate, the whole of it. [C105] [C107]
	ByCertificate(*x509.Certificate) (*pec.ProviderRecord, bool)
}

// Verifier finds out what a message is that claims to be of the system. It is safe for concurrent use.
type Verifier struct {
	Trust *Trust
	// Directory returns the directory as it stands; it is asked once for each message.
	Directory func() Directory
}

// Verify takes a message apart and judges it as of an instant. It stops at the first problem, in this order: there is
// a signature, its signer is in the directory, it verifies, chain, dates and revocation hold, From is an address of
// the signing provider, the parts and the certification data can be read, the outer header, which no signature
// covers, agrees with them. What was found before the problem is filled in. A signature that cannot be read names
// nobody: then there is no Provider.
//
// An anomaly envelope has no certification data: it is told by its header alone and comes back with KindAnomaly, no
// problem and no Data. An error is always temporary: src could not be read, or [ErrNoCRL]. The parts read from src.
// [C103] [C114]
func (v *Verifier) Verify(src pec.Source, at time.Time) (*pec.Verification, error) {
	found := new(pec.Verification)
	for _, step := range []func() error{
		func() error { return v.openStep(found, src) },
		func() error { return v.signerStep(found) },
		func() error { return v.trustStep(found, at) },
		func() error { return fromStep(found) },
		func() error { return partsStep(found) },
		func() error { return headerStep(found) },
		func() error { return fieldsStep(found) },
	} {
		err := step()
		if p, ok := errors.AsType[*problem](err); ok {
			found.Problem, found.Detail = p.problem, p.err.Error()
			return found, nil
		}
		if err != nil {
			return nil, &pec.Error{Op: "signer: verify", Kind: pec.ErrorTemporary, Err: err}
		}
	}
	return found, nil
}

// problem is a finding about the message, not a failure to find out.
type problem struct {
	problem pec.Problem
	err     error
}

func (p *problem) Error() string { return p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

func problemf(p pec.Problem, format string, args ...any) error {
	return &problem{p, fmt.Errorf(format, args...)}
}

func (v *Verifier) openStep(found *pec.Verification, src pec.Source) error {
	message, err := Open(src)
	if broken, ok := errors.AsType[*unverified](err); ok && broken.signer != nil {
		if err := v.origin(found, broken.signer); err != nil {
			return err
		}
	}
	switch {
	case err == nil:
		found.Message = message
	case errors.Is(err, ErrNotSigned):
		return &problem{pec.ProblemNoSignature, err}
	case errors.Is(err, ErrMalformed):
		return &problem{pec.ProblemMalformed, err}
	case errors.Is(err, ErrExpired):
		return &problem{pec.ProblemExpired, err}
	case errors.Is(err, ErrSignature):
		return &problem{pec.ProblemSignature, err}
	}
	return err
}

// signerStep: the certificate itself is looked up, not only its hash. [C105] [C106] [C107]
func (v *Verifier) signerStep(found *pec.Verification) error {
	return v.origin(found, found.Message.Signer)
}

// origin finds the provider whose certificate a signature names, whether it holds or not: a broken one that names
// nobody of the directory comes from outside of the system. [C118] [C119]
func (v *Verifier) origin(found *pec.Verification, signer *x509.Certificate) error {
	record, ok := v.Directory().ByCertificate(signer)
	if !ok {
		return problemf(pec.ProblemUnknownSigner, "the certificate of %s is not in the directory", signer.Subject)
	}
	found.Provider = record
	return nil
}

// trustStep: [C110] [C111] [C112].
func (v *Verifier) trustStep(found *pec.Verification, at time.Time) error {
	err := v.Trust.Check(found.Message.Signer, found.Message.Certificates, at)
	switch {
	case errors.Is(err, ErrRevoked):
		return &problem{pec.ProblemRevoked, err}
	case errors.Is(err, ErrExpired):
		return &problem{pec.ProblemExpired, err}
	case errors.Is(err, ErrChain):
		return &problem{pec.ProblemChain, err}
	}
	return err
}

// fromStep: the one author is of a domain of the provider, or the address that the certificate names. [C108]
func fromStep(found *pec.Verification) error {
	fields := found.Message.Header.Values("From")
	if len(fields) != 1 {
		return problemf(pec.ProblemFrom, "From is there %d times", len(fields))
	}
	list, err := pec.ParseAddressList(fields[0].Value)
	if err != nil || len(list) != 1 {
		return problemf(pec.ProblemFrom, "From is not one address")
	}
	if !found.Provider.Manages(list[0].Domain()) && !hasAddress(found.Message.Signer, list[0]) {
		return problemf(pec.ProblemFrom, "From is %s, which is no address of %s", list[0], found.Provider.Name)
	}
	return nil
}

// partsStep reads what is signed; the type of the message is what the one daticert.xml says.
func partsStep(found *pec.Verification) error {
	w := &watched{Source: found.Message.Content}
	parts, err := pec.ReadParts(w)
	if w.err != nil {
		return &readError{w.err}
	}
	if err != nil {
		return problemf(pec.ProblemMalformed, "parts: %w", err)
	}
	found.Parts = parts
	if parts.CertData == nil {
		if kind, err := headerKind(found.Message.Header); err != nil || kind != pec.KindAnomaly {
			return problemf(pec.ProblemMalformed, "there are no certification data")
		}
		found.Kind = pec.KindAnomaly
		return nil
	}
	data, err := pec.ParseCertData(parts.CertData)
	if err != nil {
		return problemf(pec.ProblemMalformed, "certification data: %w", err)
	}
	found.Data, found.Kind = data, data.Kind
	return nil
}

// headerKind returns the kind that the outer header states: [C011] [C022].
func headerKind(header pec.Header) (pec.Kind, error) {
	receipt, transport := header.Values(pec.FieldReceipt), header.Values(pec.FieldTransport)
	fields := append(receipt, transport...)
	if len(fields) != 1 {
		return pec.KindNone, fmt.Errorf("%d of %s and %s, not one", len(fields), pec.FieldReceipt, pec.FieldTransport)
	}
	kind := pec.Kind(strings.ToLower(mediatype.Unfold(fields[0].Value)))
	if envelope := kind == pec.KindTransport || kind == pec.KindAnomaly; envelope != (len(transport) == 1) {
		return pec.KindNone, fmt.Errorf("%s in the wrong field", kind)
	}
	return kind, nil
}

// headerStep: the outer header says of the message what the certification data say.
func headerStep(found *pec.Verification) error {
	if found.Data == nil {
		return nil
	}
	kind, err := headerKind(found.Message.Header)
	if err != nil {
		return problemf(pec.ProblemMalformed, "header: %w", err)
	}
	if kind != found.Kind {
		return problemf(pec.ProblemMalformed, "header: it says %s, the certification data %s", kind, found.Kind)
	}
	if err := agrees(found.Message.Header, pec.FieldReference, found.Data.MessageID); err != nil {
		return err
	}
	if kind != pec.KindTransport { // the identifier of a receipt is its own [C204]
		return nil
	}
	return agrees(found.Message.Header, "Message-ID", found.Data.Identifier.Bracketed())
}

// agrees compares a field of the header, which may be absent, with what the certification data say, "" for nothing.
func agrees(header pec.Header, name, want string) error {
	fields := header.Values(name)
	if len(fields) > 1 {
		return problemf(pec.ProblemMalformed, "header: %s is there %d times", name, len(fields))
	}
	got := ""
	if len(fields) == 1 {
		got = mediatype.Unfold(fields[0].Value)
	}
	if got != strings.TrimSpace(want) {
		return problemf(pec.ProblemMalformed, "header: %s is %q, the certification data say %q", name, got, want)
	}
	return nil
}
