package lda

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// open proves that a message is what our milter let in, for these recipients: the agent is closed by default.
func (a *Agent) open(p *presentation) (*job, error) {
	record, rest, err := a.o.HMAC.Open(p.header)
	if err != nil {
		return nil, opening(err)
	}
	following := len(transaction.Following(p.header))
	message, err := p.after(len(p.header) - following)
	if err != nil {
		return nil, fail("open", record.Identifier, pec.ErrorTemporary, err)
	}
	digest, err := digestOf(message)
	if err != nil {
		return nil, fail("open", record.Identifier, pec.ErrorTemporary, err)
	}
	if digest != record.Digest {
		return nil, fail("open", record.Identifier, pec.ErrorTemporary, errAltered)
	}
	j := a.newJob(p, record)
	j.above = rest[:len(rest)-following]
	j.message = message
	j.header = rest[len(rest)-following:]
	j.body = pec.Section(p.message, p.body, p.message.Size()-p.body)
	if err := j.cover(); err != nil {
		return nil, fail("open", record.Identifier, pec.ErrorUntrusted, err)
	}
	return j, nil
}

// digestOf is the SHA-256 of a source.
func digestOf(src pec.Source) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	if _, err = io.Copy(hash, whole(src)); err == nil {
		hash.Sum(sum[:0])
	}
	return sum, err
}

// errAltered says that what follows a genuine record is not what the milter sealed: Postfix or a filter changed it.
var errAltered = errors.New("the message was altered after the milter")

// opening gives the errors of a record their kind. Settings that are wrong, and our own other version, are temporary.
func opening(err error) error {
	if errors.Is(err, transaction.ErrNone) || errors.Is(err, transaction.ErrForged) {
		return fail("open", "", pec.ErrorUntrusted, err)
	}
	return fail("open", "", pec.ErrorTemporary, err)
}

// fail makes an error of package pec.
func fail(op string, id pec.Identifier, kind pec.ErrorKind, err error) error {
	return &pec.Error{Op: "lda: " + op, ID: id, Kind: kind, Err: err}
}

// cover checks that the record speaks of every recipient, and says for which certified recipient each one stands: after
// an alias that is the address of ORCPT. A message that was sent on to somebody else is not covered. [C012]
func (j *job) cover() error {
	named := make(map[pec.Address]pec.Address, len(j.record.Recipients))
	for _, a := range j.record.Recipients {
		named[a.Fold()] = a
	}
	j.certified = make([]pec.Address, len(j.recipients))
	for i, r := range j.recipients {
		original, isOriginal := named[r.original.Fold()]
		itself, isNamed := named[r.address.Fold()]
		switch {
		case r.address.IsZero():
			return fmt.Errorf("recipient %.100q is not in the plain form", r.raw)
		case j.internal(r.address):
		case isOriginal && !r.original.IsZero():
			j.certified[i] = original
		case isNamed:
			j.certified[i] = itself
		default:
			return fmt.Errorf("recipient %.100q is not in the record", r.raw)
		}
	}
	return nil
}

// internal says whether a is the address that the milter added for the agent to this verdict.
func (j *job) internal(a pec.Address) bool {
	return a.Domain() == j.live.config.Provider.InternalDomain && a.Local() == mailboxFor(j.record.Verdict)
}

func mailboxFor(v transaction.Verdict) string {
	switch v {
	case transaction.VerdictEnvelope:
		return pec.AcceptanceMailbox
	case transaction.VerdictRefused, transaction.VerdictVirus:
		return pec.RefusalMailbox
	}
	return ""
}

// ours says whether a's domain is a certified one of ours.
func (s *settings) ours(a pec.Address) bool {
	return slices.Contains(s.config.Provider.Domains, a.Domain())
}
