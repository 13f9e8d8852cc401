//go:build cgo

package main

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/ThalesGroup/crypto11"

	"github.com/ceralacca/ceralacca/signer"
)

// itself makes a certificate that the key signs itself, for a key that is not certified yet, or whose certificate only the host has:
// the contract wants one with each.
func (c *connection) itself(key crypto11.RSAPrivateKey, sign func(digest []byte) ([]byte, error)) ([]*x509.Certificate, error) {
	modulus, err := c.token.GetAttribute(key, crypto11.CkaModulus)
	if err != nil || modulus == nil || len(modulus.Value) == 0 {
		return nil, fmt.Errorf("the token has no certificate for it, and does not tell its public key (%v); write certificate, the path of a PEM file", err)
	}
	var exponent []byte
	if e, err := c.token.GetAttribute(key, crypto11.CkaPublicExponent); err == nil && e != nil { // some do not tell it
		exponent = e.Value
	}
	cert, err := signer.Uncertified(context.Background(), modulus.Value, exponent, func(_ context.Context, digest []byte) ([]byte, error) { return sign(digest) })
	return []*x509.Certificate{cert}, err
}
