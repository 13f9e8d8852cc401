package signer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// usualExponent is the public exponent of a key that does not tell it.
const usualExponent = 65537

// Uncertified makes a certificate that a key signs itself, for one that nobody has certified yet: it says which key it is, and is
// good for nothing else, since it names nobody and its dates are past. modulus and exponent are of the public key, big-endian; an
// empty exponent is the usual one. sign is as for [NewRemoteKey]; that it is not of this public key is [ErrKey].
func Uncertified(ctx context.Context, modulus, exponent []byte, sign func(ctx context.Context, digest []byte) ([]byte, error)) (*x509.Certificate, error) {
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: usualExponent}
	if e := new(big.Int).SetBytes(exponent); e.Sign() > 0 {
		if e.BitLen() > 31 {
			return nil, fmt.Errorf("%w: its public exponent has %d bits", ErrKey, e.BitLen())
		}
		public.E = int(e.Int64())
	}
	of := &x509.Certificate{PublicKey: public}
	key, err := NewRemoteKey(sign, []*x509.Certificate{of}, nil)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "not certified"}, SignatureAlgorithm: x509.SHA256WithRSA,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, &requester{ctx, public, key})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
