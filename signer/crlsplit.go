package signer

import (
	"encoding/asn1"
	"errors"
	"slices"
)

// element is one element of DER: all of it, and what is in it.
type element struct{ full, content []byte }

var errDER = errors.New("it is not DER")

// constructed is the bit of a tag that says that elements are within.
const constructed = 0x20

// cut takes the first element off der, which must have the tag, below 31. Lengths are at most four bytes long.
func cut(der []byte, tag byte) (e element, rest []byte, err error) {
	if tag == asn1.TagSequence {
		tag |= constructed
	}
	if len(der) < 2 || der[0] != tag {
		return e, nil, errDER
	}
	header, length := 2, int(der[1])
	if der[1] >= 0x80 {
		more := int(der[1] & 0x7f)
		if more == 0 || more > 4 || len(der) < 2+more || der[2] == 0 {
			return e, nil, errDER
		}
		header, length = 2+more, 0
		for _, b := range der[2:header] {
			length = length<<8 | int(b)
		}
		if length < 0x80 {
			return e, nil, errDER
		}
	}
	if length > len(der)-header {
		return e, nil, errDER
	}
	return element{der[:header+length], der[header : header+length]}, der[header+length:], nil
}

// signedPart is the tbsCertList of a CertificateList.
func signedPart(der []byte) ([]byte, error) {
	whole, _, err := cut(der, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	tbs, _, err := cut(whole.content, asn1.TagSequence)
	return tbs.full, err
}

// splitCRL returns a CertificateList without its revokedCertificates, and the entries of these, which share memory with der.
// The standard library makes several hundred bytes of each entry; the signature is over the whole.
func splitCRL(der []byte) (head, entries []byte, err error) {
	whole, rest, err := cut(der, asn1.TagSequence)
	if err != nil || len(rest) > 0 {
		return nil, nil, errDER
	}
	tbs, signature, err := cut(whole.content, asn1.TagSequence)
	if err != nil {
		return nil, nil, err
	}
	from, to, entries, err := findEntries(tbs.content)
	if err != nil {
		return nil, nil, err
	}
	short, err := sequence(tbs.content[:from], tbs.content[to:])
	if err != nil {
		return nil, nil, err
	}
	head, err = sequence(short, signature)
	return head, entries, err
}

// findEntries says where in a tbsCertList the revokedCertificates lie, an empty place when there are none.
func findEntries(tbs []byte) (from, to int, entries []byte, err error) {
	rest := tbs
	next := func(tags ...byte) error {
		if len(rest) == 0 || !slices.Contains(tags, rest[0]) {
			return errDER
		}
		_, after, err := cut(rest, rest[0])
		rest = after
		return err
	}
	const set = asn1.TagSequence | constructed
	_ = next(asn1.TagInteger) // version, which is optional
	if err := errors.Join(next(set), next(set), next(asn1.TagUTCTime, asn1.TagGeneralizedTime)); err != nil {
		return 0, 0, nil, errDER // algorithm, issuer, this update
	}
	_ = next(asn1.TagUTCTime, asn1.TagGeneralizedTime) // next update
	from = len(tbs) - len(rest)
	if len(rest) == 0 || rest[0] != set {
		return from, from, nil, nil
	}
	e, _, err := cut(rest, asn1.TagSequence)
	return from, from + len(e.full), e.content, err
}

// sequence is a SEQUENCE of what is given.
func sequence(parts ...[]byte) ([]byte, error) {
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(parts...)})
}
