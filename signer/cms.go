package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// oids are the object identifiers of CMS that we write or insist on.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue // [0] EXPLICIT
}

type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Encapsulated encapsulated
	Certificates asn1.RawValue   `asn1:"optional,tag:0"`
	CRLs         asn1.RawValue   `asn1:"optional,tag:1"`
	Signers      []asn1.RawValue `asn1:"set"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
}

type signerInfo struct {
	Version    int
	Signer     issuerAndSerial
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue // [0] IMPLICIT SET
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type signingCertificateV2 struct {
	Certificates []struct{ Hash []byte } // SHA-256 is the default
}

// signCMS makes a detached SignedData over the content that has this SHA-256 digest: RSA PKCS#1 v1.5, with the
// certificates of the key. The same digest, key and instant give the same bytes. [C001] [C002] [C256]
func signCMS(ctx context.Context, key Key, digest [32]byte, at time.Time) ([]byte, error) {
	chain := key.Certificates()
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: it has no certificate", ErrKey)
	}
	attributes, err := signedAttributes(chain[0], digest, at)
	if err != nil {
		return nil, err
	}
	signature, err := signSet(ctx, key, attributes)
	if err != nil {
		return nil, err
	}
	return encodeCMS(chain, attributes, signature)
}

// signSet signs the DER of signed attributes, and holds the signature against the first certificate.
func signSet(ctx context.Context, key Key, attributes []byte) ([]byte, error) {
	public, ok := key.Certificates()[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is not RSA", ErrKey)
	}
	hash := sha256.Sum256(attributes)
	signature, err := key.Sign(ctx, hash[:])
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if _, verified := key.(*remoteKey); verified {
		return signature, nil // twice would cost as much again
	}
	// A faulty device, or one with another key, must not send out what nobody can verify.
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], signature); err != nil {
		return nil, fmt.Errorf("%w: its signature does not verify with its certificate", ErrKey)
	}
	return signature, nil
}

// signedAttributes returns the DER of the SET that is signed; encoding/asn1 sorts it as DER asks. The zero instant is not
// written.
func signedAttributes(cert *x509.Certificate, digest [32]byte, at time.Time) ([]byte, error) {
	hash := sha256.Sum256(cert.Raw)
	values := []struct {
		oid   asn1.ObjectIdentifier
		value any
	}{
		{oidContentType, oidData},
		{oidSigningTime, at.UTC().Truncate(time.Second)},
		{oidMessageDigest, digest[:]},
		{oidSigningCert, signingCertificateV2{[]struct{ Hash []byte }{{hash[:]}}}},
	}
	set := make([]attribute, 0, len(values))
	for _, v := range values {
		if at.IsZero() && v.oid.Equal(oidSigningTime) {
			continue
		}
		der, err := asn1.Marshal(v.value)
		if err != nil {
			return nil, err
		}
		set = append(set, attribute{v.oid, []asn1.RawValue{{FullBytes: der}}})
	}
	return asn1.MarshalWithParams(set, "set")
}

func encodeCMS(chain []*x509.Certificate, attributes, signature []byte) ([]byte, error) {
	return encodeSignedData(chain, attributes, signature, encapsulated{Type: oidData})
}

// encodeSignedData puts a SignedData together. One that has its content is DER throughout, with the certificates in the order
// of a SET; a detached one has them in that of the chain, as it always had.
func encodeSignedData(chain []*x509.Certificate, attributes, signature []byte, of encapsulated) ([]byte, error) {
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(attributes, &set); err != nil {
		return nil, err
	}
	sha256ID := pkix.AlgorithmIdentifier{Algorithm: oidSHA256}
	info, err := asn1.Marshal(signerInfo{
		Version:    1,
		Signer:     issuerAndSerial{asn1.RawValue{FullBytes: chain[0].RawIssuer}, chain[0].SerialNumber},
		Digest:     sha256ID,
		Attributes: contextTag(set.Bytes),
		Algorithm:  pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue},
		Signature:  signature,
	})
	if err != nil {
		return nil, err
	}
	all := slices.Clone(chain)
	if len(of.Content.Bytes) > 0 {
		slices.SortFunc(all, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	}
	var certificates []byte
	for _, c := range all {
		certificates = append(certificates, c.Raw...)
	}
	inner, err := asn1.Marshal(signedData{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{sha256ID},
		Encapsulated: of,
		Certificates: contextTag(certificates),
		Signers:      []asn1.RawValue{{FullBytes: info}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, contextTag(inner)})
}

// contextTag wraps content in a constructed [0].
func contextTag(content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
}

// decodeSignedData takes DER apart as far as strictness needs: the CMS library passes over what it cannot read.
func decodeSignedData(der []byte) (*signedData, error) {
	var info contentInfo
	if err := unmarshalAll(der, &info); err != nil {
		return nil, err
	}
	c := info.Content
	if !info.Type.Equal(oidSignedData) || c.Class != asn1.ClassContextSpecific || c.Tag != 0 {
		return nil, errors.New("not a SignedData")
	}
	data := new(signedData)
	if err := unmarshalAll(c.Bytes, data); err != nil {
		return nil, err
	}
	if !data.Encapsulated.Type.Equal(oidData) {
		return nil, errors.New("what is signed is not plain data")
	}
	return data, nil
}

func unmarshalAll(der []byte, value any) error {
	rest, err := asn1.Unmarshal(der, value)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	return err
}
