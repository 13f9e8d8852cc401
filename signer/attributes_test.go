package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// signAttributes makes a CMS whose signature is good and whose signed attributes are as given.
func signAttributes(t *testing.T, p *party, set []attribute) []byte {
	t.Helper()
	der, err := asn1.MarshalWithParams(set, "set")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(der)
	signature, err := p.key.Sign(context.Background(), hash[:])
	if err != nil {
		t.Fatal(err)
	}
	cms, err := encodeCMS(p.key.Certificates(), der, signature)
	if err != nil {
		t.Fatal(err)
	}
	return cms
}

func value(t *testing.T, oid asn1.ObjectIdentifier, values ...any) attribute {
	t.Helper()
	a := attribute{Type: oid}
	for _, v := range values {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		a.Values = append(a.Values, asn1.RawValue{FullBytes: der})
	}
	return a
}

func TestSignedAttributesThatCount(t *testing.T) {
	conformance.Covers(t, "C109")
	p := newParty(t)
	right, wrong := sha256.Sum256([]byte(testContent)), sha256.Sum256([]byte("x"))
	digest, kind := value(t, oidMessageDigest, right[:]), value(t, oidContentType, oidData)
	other := value(t, asn1.ObjectIdentifier{1, 2, 3}, 5)
	for _, c := range []struct {
		name string
		set  []attribute
		want error
	}{
		{"the two that must be", []attribute{kind, digest}, nil},
		{"with a further one", []attribute{kind, digest, other}, nil},
		{"no digest", []attribute{kind}, ErrSignature},
		{"no content type", []attribute{digest}, ErrSignature},
		{"two digests, the right one first", []attribute{kind, digest, value(t, oidMessageDigest, wrong[:])}, ErrSignature},
		{"the same digest twice", []attribute{kind, digest, digest}, ErrSignature},
		{"a digest of two values", []attribute{kind, value(t, oidMessageDigest, right[:], wrong[:])}, ErrSignature},
		{"a digest of no value", []attribute{kind, {Type: oidMessageDigest}}, ErrSignature},
		{"a digest that is no octet string", []attribute{kind, value(t, oidMessageDigest, 5)}, ErrSignature},
		{"a digest cut short", []attribute{kind, value(t, oidMessageDigest, right[:20])}, ErrSignature},
		{"another content type", []attribute{digest, value(t, oidContentType, oidSignedData)}, ErrSignature},
		{"a further one twice", []attribute{kind, digest, other, other}, ErrSignature},
		{"a time", []attribute{kind, digest, value(t, oidSigningTime, now.UTC())}, nil},
		{"a time that is none", []attribute{kind, digest, value(t, oidSigningTime, "noon")}, ErrSignature},
		{"a time after the certificate", []attribute{kind, digest, value(t, oidSigningTime, now.UTC().AddDate(2, 0, 0))}, ErrExpired},
		{"a time before the certificate", []attribute{kind, digest, value(t, oidSigningTime, now.UTC().AddDate(-2, 0, 0))}, ErrExpired},
	} {
		message := newFixture(testContent, signAttributes(t, p, c.set)).String()
		m, err := Open(pec.Bytes([]byte(message)))
		if !errors.Is(err, c.want) {
			t.Errorf("Open of a signature with attributes: %s = %v, want %v", c.name, err, c.want)
		}
		if want := c.want == nil || c.want == ErrExpired; (m != nil) != want {
			t.Errorf("Open of a signature with attributes: %s returns a message: %v, want %v", c.name, m != nil, want)
		}
	}
}

// A date that is wrong does not hide that the content is, and the dates of the certificate stay what they are.
func TestOutsideOfItsDatesAndOfOtherContent(t *testing.T) {
	conformance.Covers(t, "C109", "C110")
	p := newParty(t)
	digest := sha256.Sum256([]byte(testContent))
	late := []attribute{value(t, oidContentType, oidData), value(t, oidMessageDigest, digest[:]), value(t, oidSigningTime, now.UTC().AddDate(2, 0, 0))}
	cms := signAttributes(t, p, late)
	m, err := Open(pec.Bytes([]byte(newFixture(testContent, cms).String())))
	if m == nil || !errors.Is(err, ErrSignature) || !m.Signer.NotAfter.Equal(p.cert.NotAfter) || !m.Signer.NotBefore.Equal(p.cert.NotBefore) {
		t.Fatalf("Open of a late signature = %v, %v", m, err)
	}
	flipped := bytes.Clone(cms)
	flipped[len(flipped)-1] ^= 1
	for name, message := range map[string]string{
		"other content": newFixture(testContent+"x", cms).String(), "a bit of the signature changed": newFixture(testContent, flipped).String(),
	} {
		if m, err := Open(pec.Bytes([]byte(message))); m != nil || !errors.Is(err, ErrSignature) || errors.Is(err, ErrExpired) {
			t.Errorf("Open of a late signature of %s = %v, %v", name, m, err)
		}
	}
}

func TestTheSigningTimeIsTheInstantOfTheTransaction(t *testing.T) {
	p := newParty(t)
	at := now.Add(-3 * time.Hour).Add(400 * time.Millisecond)
	s, err := draft(t, testArtefact(testContent)).SealTo(context.Background(), nil, p.key, at)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(pec.Bytes([]byte(newFixture(testContent, s.CMS()).String())))
	if err != nil || !opened.SigningTime.Equal(at.Truncate(time.Second)) {
		t.Errorf("the signing time is %v, %v, want %v", opened.SigningTime, err, at.Truncate(time.Second))
	}
}
