package lda

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// read takes the signed message apart again: digest and signature are checked anew, while chain, revocation and
// directory were judged by the milter at the instant of reception. What does not hold now did hold then, so that an
// error is temporary and an alarm, and never an anomaly. [C109]
func read(_ context.Context, j *job) error {
	var err error
	if j.signed, err = signer.Open(j.message); err != nil {
		return j.alarm("a message that the milter opened does not open", err)
	}
	if err := j.checkSigner(); err != nil {
		return j.alarm("a message is not signed by whom the milter said", err)
	}
	if j.parts, err = pec.ReadParts(j.signed.Content); err != nil {
		return j.alarm("a message that the milter read cannot be read", err)
	}
	if j.data, err = pec.ParseCertData(j.parts.CertData); err != nil {
		return j.alarm("a message that the milter read cannot be read", err)
	}
	j.provider, err = j.findProvider()
	return err
}

func (j *job) checkSigner() error {
	if j.record.Point == transaction.PointSubmission {
		return nil // sealed by us and proven by the record's digest; our certificate may have changed since
	}
	if sha256.Sum256(j.signed.Signer.Raw) != j.record.SignerCert {
		return errors.New("another certificate")
	}
	return nil
}

// findProvider returns the directory's record of who signed. A provider that left the directory since still gets its
// take-charge: its domain finds it.
func (j *job) findProvider() (*pec.ProviderRecord, error) {
	if j.record.Point == transaction.PointSubmission {
		p := j.live.config.Provider
		return &pec.ProviderRecord{Name: p.Name, MailReceipt: p.ServiceMailbox, Domains: p.Domains}, nil
	}
	directory := j.agent.o.Directory()
	if directory == nil {
		return nil, fail("read", j.data.Identifier, pec.ErrorTemporary, errors.New("no directory"))
	}
	if record, ok := directory.ByCertificate(j.signed.Signer); ok {
		return record, nil
	}
	if record, ok := directory.ByDomain(j.data.Sender.Domain()); ok && record.Name == j.record.Signer {
		return record, nil
	}
	return nil, fail("read", j.data.Identifier, pec.ErrorTemporary,
		fmt.Errorf("the provider %q is no longer in the directory", j.record.Signer))
}
