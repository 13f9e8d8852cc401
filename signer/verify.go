package signer

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // senders of before 2026 use it [C256]
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ceralacca/ceralacca/signer/internal/ber"
)

// Bounds of what is decoded, in bytes.
const (
	maxCMS      = 64 << 10 // a detached signature with some certificates has two to eight KiB
	maxAttached = 16 << 20 // the directory of all providers has less than one MiB
)

// digestAlgorithm returns the hash of an algorithm that is still good enough: SHA-1 is accepted from others because
// the exchange still lives on it, MD5 is not. [C256]
func digestAlgorithm(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	switch {
	case oid.Equal(pkcs7.OIDDigestAlgorithmSHA1):
		return crypto.SHA1, true
	case oid.Equal(pkcs7.OIDDigestAlgorithmSHA256):
		return crypto.SHA256, true
	case oid.Equal(pkcs7.OIDDigestAlgorithmSHA384):
		return crypto.SHA384, true
	case oid.Equal(pkcs7.OIDDigestAlgorithmSHA512):
		return crypto.SHA512, true
	}
	return 0, false
}

// signatureAlgorithm reports whether a signature algorithm may stand beside a digest: the plain key algorithm beside
// any, the others only beside the hash that they name.
func signatureAlgorithm(oid asn1.ObjectIdentifier, hash crypto.Hash) bool {
	if oid.Equal(pkcs7.OIDEncryptionAlgorithmRSA) {
		return true
	}
	named := map[crypto.Hash][2]asn1.ObjectIdentifier{
		crypto.SHA1:   {pkcs7.OIDEncryptionAlgorithmRSASHA1, pkcs7.OIDDigestAlgorithmECDSASHA1},
		crypto.SHA256: {pkcs7.OIDEncryptionAlgorithmRSASHA256, pkcs7.OIDDigestAlgorithmECDSASHA256},
		crypto.SHA384: {pkcs7.OIDEncryptionAlgorithmRSASHA384, pkcs7.OIDDigestAlgorithmECDSASHA384},
		crypto.SHA512: {pkcs7.OIDEncryptionAlgorithmRSASHA512, pkcs7.OIDDigestAlgorithmECDSASHA512},
	}[hash]
	return oid.Equal(named[0]) || oid.Equal(named[1])
}

// opened is a signature that verified.
type opened struct {
	content      []byte // nil when detached
	signer       *x509.Certificate
	certificates []*x509.Certificate
	signingTime  time.Time // zero when it is not stated
	digest       []byte
	hash         crypto.Hash
}

// openCMS verifies a SignedData in DER or BER of at most limit bytes that has exactly one signer. For a detached one
// digestOf gives the digest of the content; nil means that the content must be within. With ErrExpired it returns what it
// opened: the signature is one of the content. [C109] [C257]
func openCMS(encoded []byte, limit int, digestOf func(crypto.Hash) ([]byte, error)) (*opened, error) {
	der, err := ber.ToDER(encoded, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: CMS: %w", ErrMalformed, err)
	}
	data, err := decodeSignedData(der)
	if err != nil {
		return nil, fmt.Errorf("%w: CMS: %w", ErrMalformed, err)
	}
	if detached := len(data.Encapsulated.Content.FullBytes) == 0; detached != (digestOf != nil) {
		return nil, fmt.Errorf("%w: CMS: the content is where it should not be", ErrMalformed)
	}
	if len(data.Signers) != 1 {
		return nil, fmt.Errorf("%w: %d signers, not one", ErrSignature, len(data.Signers))
	}
	parsed, err := pkcs7.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("%w: CMS: %w", ErrMalformed, err)
	}
	return verifyCMS(parsed, digestOf)
}

func verifyCMS(parsed *pkcs7.PKCS7, digestOf func(crypto.Hash) ([]byte, error)) (*opened, error) {
	o, err := readSigner(parsed)
	if err != nil {
		return nil, &unverified{parsed.GetOnlySigner(), fmt.Errorf("%w: %w", ErrSignature, err)}
	}
	if digestOf != nil {
		computed, err := digestOf(o.hash)
		if err != nil {
			return nil, err
		}
		parsed.Hasher = known(computed)
	}
	// No trust store: chains are judged by Trust. The instant is for chains only.
	err = parsed.VerifyWithChainAtTime(nil, time.Time{})
	if outside, ok := errors.AsType[*pkcs7.SigningTimeNotValidError](err); ok {
		return o.outside(parsed, outside)
	}
	if err != nil {
		return nil, &unverified{o.signer, fmt.Errorf("%w: %w", ErrSignature, plain(err))}
	}
	return o, nil
}

// unverified is a signature that does not hold. signer is the certificate that it names, which proves nothing; nil when
// it names none.
type unverified struct {
	signer *x509.Certificate
	err    error
}

func (u *unverified) Error() string { return u.err.Error() }

func (u *unverified) Unwrap() error { return u.err }

// outside is what comes of a signature made outside of the dates of its certificate, which the library does not check
// further: it is of the content or not, and that decides what can be said of it.
func (o *opened) outside(parsed *pkcs7.PKCS7, e *pkcs7.SigningTimeNotValidError) (*opened, error) {
	begin, end := o.signer.NotBefore, o.signer.NotAfter
	o.signer.NotBefore, o.signer.NotAfter = e.SigningTime, e.SigningTime
	err := parsed.VerifyWithChainAtTime(nil, time.Time{})
	o.signer.NotBefore, o.signer.NotAfter = begin, end
	if err != nil {
		return nil, &unverified{o.signer, fmt.Errorf("%w: %w", ErrSignature, plain(err))}
	}
	return o, &unverified{o.signer, fmt.Errorf("%w: %w: it was signed at %s, the certificate is of %s to %s", ErrSignature, ErrExpired,
		e.SigningTime.Format(time.RFC3339), begin.Format(time.RFC3339), end.Format(time.RFC3339))}
}

// inWords is an error of the library in words of ours.
type inWords struct {
	words string
	error
}

func (e inWords) Error() string { return e.words }

func (e inWords) Unwrap() error { return e.error }

// plain says in words what the library says in numbers.
func plain(err error) error {
	if _, ok := errors.AsType[*pkcs7.MessageDigestMismatchError](err); ok {
		return inWords{"what is signed was changed after it was signed", err}
	}
	if errors.Is(err, rsa.ErrVerification) {
		return inWords{"the signature itself was changed, or made with another key", err}
	}
	return err
}

// known stands for the hashing of content that was hashed before.
type known []byte

func (k known) Hash(crypto.Hash, io.Reader) ([]byte, error) { return k, nil }

// readSigner holds what is said of the one signer to our rules, which are stricter than the library's: signed
// attributes present, each of those that count once, algorithms that are still good.
func readSigner(parsed *pkcs7.PKCS7) (*opened, error) {
	if len(parsed.Signers) != 1 {
		return nil, errors.New("the signer cannot be read")
	}
	s := parsed.Signers[0]
	o := &opened{content: parsed.Content, signer: parsed.GetOnlySigner(), certificates: parsed.Certificates}
	if o.signer == nil {
		return nil, errors.New("the certificate of the signer is not there")
	}
	var ok bool
	if o.hash, ok = digestAlgorithm(s.DigestAlgorithm.Algorithm); !ok {
		return nil, fmt.Errorf("digest algorithm %v is not accepted", s.DigestAlgorithm.Algorithm)
	}
	if alg := s.DigestEncryptionAlgorithm.Algorithm; !signatureAlgorithm(alg, o.hash) {
		return nil, fmt.Errorf("signature algorithm %v is not accepted with %v", alg, o.hash)
	}
	values := map[string][]byte{}
	for _, a := range s.AuthenticatedAttributes {
		name := a.Type.String()
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("signed attribute %s is there twice", name)
		}
		values[name] = a.Value.Bytes
	}
	return o, o.readAttributes(values)
}

func (o *opened) readAttributes(values map[string][]byte) error {
	var contentType asn1.ObjectIdentifier
	if err := unmarshalAll(values[oidContentType.String()], &contentType); err != nil {
		return fmt.Errorf("signed attribute content type: %w", err)
	}
	if !contentType.Equal(oidData) {
		return errors.New("signed attribute content type is not plain data")
	}
	if err := unmarshalAll(values[oidMessageDigest.String()], &o.digest); err != nil {
		return fmt.Errorf("signed attribute message digest: %w", err)
	}
	if value, ok := values[oidSigningTime.String()]; ok {
		if err := unmarshalAll(value, &o.signingTime); err != nil {
			return fmt.Errorf("signed attribute signing time: %w", err)
		}
	}
	return nil
}

// OpenAttached opens a SignedData that holds its content, as the signed directory of providers is (p7m): DER, or BER
// in the encodings that others use, at most 16 MiB. It returns the content, the certificate of the one signer and
// all certificates within; whether the signer is trusted is for the caller to ask of a [Trust]. Errors are
// [ErrMalformed] and [ErrSignature]. [C211]
func OpenAttached(der []byte) (content []byte, signer *x509.Certificate, certs []*x509.Certificate, err error) {
	o, err := openCMS(der, maxAttached, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return o.content, o.signer, o.certificates, nil
}
