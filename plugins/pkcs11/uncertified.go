//go:build cgo

package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/ThalesGroup/crypto11"
)

// usualExponent is the public exponent of a key whose token does not tell it.
const usualExponent = 65537

// uncertified signs for a key that has no certificate here.
type uncertified struct {
	public *rsa.PublicKey
	sign   func(digest []byte) ([]byte, error)
}

var _ crypto.Signer = (*uncertified)(nil)

// Public implements crypto.Signer.
func (u *uncertified) Public() crypto.PublicKey { return u.public }

// Sign implements crypto.Signer, for SHA-256 alone.
func (u *uncertified) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return u.sign(digest)
}

// itself makes a certificate that the key signs itself, for a key that is not certified yet, or whose certificate only the host has:
// the contract wants one with each. It says which key it is, and is good for nothing else: it names nobody, and its dates are past.
func (c *connection) itself(key crypto11.RSAPrivateKey, sign func(digest []byte) ([]byte, error)) ([]*x509.Certificate, error) {
	public, err := c.public(key)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "not certified"}, SignatureAlgorithm: x509.SHA256WithRSA,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, &uncertified{public, sign})
	if err != nil {
		return nil, fmt.Errorf("it does not sign what its public key verifies: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return []*x509.Certificate{cert}, err
}

// public is the public key, as the token says it.
func (c *connection) public(key crypto11.RSAPrivateKey) (*rsa.PublicKey, error) {
	modulus, err := c.token.GetAttribute(key, crypto11.CkaModulus)
	if err != nil || modulus == nil || len(modulus.Value) == 0 {
		return nil, fmt.Errorf("the token has no certificate for it, and does not tell its public key (%v); write certificate, the path of a PEM file", err)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus.Value), E: usualExponent}
	if e, err := c.token.GetAttribute(key, crypto11.CkaPublicExponent); err == nil && e != nil && len(e.Value) > 0 && len(e.Value) <= 4 {
		public.E = int(new(big.Int).SetBytes(e.Value).Int64())
	}
	return public, nil
}
