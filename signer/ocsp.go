package signer

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// ErrOCSP says that an answer about a certificate cannot be believed, or says nothing about it.
var ErrOCSP = errors.New("OCSP answer does not count")

// OCSPAnswer is what the issuer of a certificate said about it. Its signature was checked.
type OCSPAnswer struct {
	Revoked bool
	Since   time.Time // when it was revoked
	// ThisUpdate is the instant as of which the answer holds; NextUpdate is when the next one is due, zero when it is not said.
	ThisUpdate, NextUpdate time.Time
}

const (
	// maxOCSP bounds what is read of an answer, in bytes: with a certificate it has two thousand.
	maxOCSP = 64 << 10
	// ocspAge is how old an answer without a next one due may be.
	ocspAge = 10 * time.Minute
)

var (
	oidNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
)

// OCSPQuestion is a request about one certificate (RFC 6960).
type OCSPQuestion struct {
	// DER is what is sent.
	DER   []byte
	nonce []byte // the value of the extension
	certID
	cert, issuer *x509.Certificate
}

// certID names a certificate, as RFC 6960 section 4.1.1 has it; the hash is SHA-1, which names and proves nothing.
type certID struct {
	Hash              pkix.AlgorithmIdentifier
	NameHash, KeyHash []byte
	Serial            *big.Int
}

// NewOCSPQuestion asks about a certificate of issuer. It has a nonce, so that an answer that repeats it is known to be fresh.
func NewOCSPQuestion(cert, issuer *x509.Certificate) (*OCSPQuestion, error) {
	q := &OCSPQuestion{cert: cert, issuer: issuer}
	var err error
	if q.certID, err = newCertID(cert, issuer); err != nil {
		return nil, err
	}
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails: the runtime ends the process instead
	if q.nonce, err = asn1.Marshal(nonce); err != nil {
		return nil, err
	}
	type one struct{ ID certID }
	var request struct {
		TBS struct {
			List       []one
			Extensions []pkix.Extension `asn1:"explicit,tag:2"`
		}
	}
	request.TBS.List = []one{{q.certID}}
	request.TBS.Extensions = []pkix.Extension{{Id: oidNonce, Value: q.nonce}}
	q.DER, err = asn1.Marshal(request)
	return q, err
}

func newCertID(cert, issuer *x509.Certificate) (certID, error) {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if err := unmarshalAll(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return certID{}, err
	}
	name, public := sha1.Sum(issuer.RawSubject), sha1.Sum(key.Key.RightAlign())
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, Parameters: asn1.NullRawValue}
	return certID{algorithm, name[:], public[:], cert.SerialNumber}, nil
}

// Read reads the answer, as of now. It counts when the issuer signed it, or somebody whom the issuer made a certificate for
// this (RFC 6960 section 4.2.2.2); when it is about this certificate and says good or revoked; and when it is fresh: it
// repeats the nonce or was made for now, and is not over. Anything else is [ErrOCSP].
func (q *OCSPQuestion) Read(der []byte, now time.Time) (OCSPAnswer, error) {
	if len(der) > maxOCSP {
		return OCSPAnswer{}, fmt.Errorf("%w: it has more than %d bytes", ErrOCSP, maxOCSP)
	}
	response, err := ocsp.ParseResponseForCert(der, q.cert, q.issuer)
	if err != nil {
		return OCSPAnswer{}, fmt.Errorf("%w: %w", ErrOCSP, err)
	}
	for _, check := range []func(*ocsp.Response, time.Time) error{q.responder, q.about, fresh} {
		if err := check(response, now); err != nil {
			return OCSPAnswer{}, fmt.Errorf("%w: %w", ErrOCSP, err)
		}
	}
	answer := OCSPAnswer{ThisUpdate: response.ThisUpdate, NextUpdate: response.NextUpdate}
	switch response.Status {
	case ocsp.Good:
		return answer, nil
	case ocsp.Revoked:
		answer.Revoked, answer.Since = true, response.RevokedAt
		return answer, nil
	}
	return OCSPAnswer{}, fmt.Errorf("%w: the responder does not know the certificate", ErrOCSP)
}

// responder: the library has checked that the issuer signed the certificate of the responder, not that it is for this.
func (q *OCSPQuestion) responder(r *ocsp.Response, now time.Time) error {
	by := r.Certificate
	switch {
	case by == nil || by.Equal(q.issuer):
		return nil
	case !bytes.Equal(by.RawIssuer, q.issuer.RawSubject):
		return errors.New("the responder is of another authority")
	case !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("the responder's certificate is not for OCSP")
	case outsideDates(by, now):
		return errors.New("the responder's certificate is outside its dates")
	}
	return nil
}

// about: the library compares the serial number alone, and does not look for the nonce.
func (q *OCSPQuestion) about(r *ocsp.Response, _ time.Time) error {
	var data struct {
		Version    int `asn1:"optional,default:0,explicit,tag:0"`
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []asn1.RawValue
		Extensions []pkix.Extension `asn1:"optional,explicit,tag:1"`
	}
	if err := unmarshalAll(r.TBSResponseData, &data); err != nil {
		return err
	}
	for _, e := range data.Extensions {
		if e.Id.Equal(oidNonce) && !bytes.Equal(e.Value, q.nonce) {
			return errors.New("it answers another question: its nonce is not ours")
		}
	}
	if r.IssuerHash != crypto.SHA1 {
		return errors.New("it names the authority with another hash than the question")
	}
	for _, raw := range data.Responses {
		var id certID
		if _, err := asn1.Unmarshal(raw.Bytes, &id); err != nil {
			return err
		}
		if id.Serial.Cmp(q.Serial) == 0 {
			if !bytes.Equal(id.NameHash, q.NameHash) || !bytes.Equal(id.KeyHash, q.KeyHash) {
				return errors.New("it is about a certificate of another authority")
			}
			return nil // the library reads the first
		}
	}
	return errors.New("it is about another certificate")
}

// fresh asks for an answer as of now. [C113]
func fresh(r *ocsp.Response, now time.Time) error {
	switch {
	case r.ThisUpdate.After(now.Add(maxAhead)):
		return errors.New("it is of the future")
	case r.NextUpdate.IsZero() && now.Sub(r.ThisUpdate) > ocspAge:
		return fmt.Errorf("it is of %s, and does not say how long it holds", r.ThisUpdate.UTC().Format(time.RFC3339))
	case !r.NextUpdate.IsZero() && now.After(r.NextUpdate):
		return fmt.Errorf("it ended %s", r.NextUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}
