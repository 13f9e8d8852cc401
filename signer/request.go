package signer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/ceralacca/ceralacca/pec"
)

// maxRSABits is the longest key that is made.
const maxRSABits = 8192

// NewRequest makes an RSA key, of 2048 bits or more, and the request (PKCS#10) for the certificate that p signs with, by the
// profile of RFC 6109 section 5.5, both in PEM. The caller MUST keep the key to itself. [C003] [C233] [C234] [C235] [C237] [C238]
func NewRequest(p pec.Provider, bits int) (key, request []byte, err error) {
	if bits < minRSABits || bits > maxRSABits {
		return nil, nil, fmt.Errorf("a key of %d bits: from %d to %d", bits, minRSABits, maxRSABits)
	}
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, nil, err
	}
	if request, err = makeRequest(p, private); err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), request, nil
}

// KeyRequest is the request of [NewRequest] for a key that is there, which signs it: one in a device. It gives up when ctx ends.
func KeyRequest(ctx context.Context, p pec.Provider, key Key) (request []byte, err error) {
	public, err := publicKey(key.Certificates())
	if err != nil {
		return nil, err
	}
	return makeRequest(p, &requester{ctx, public, key})
}

// makeRequest makes a request for what private has signed.
func makeRequest(p pec.Provider, private crypto.Signer) (request []byte, err error) {
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}) // digitalSignature
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{Country: []string{"IT"}, Organization: []string{p.Name}, CommonName: pec.CertificateName},
		EmailAddresses:     []string{p.Address.String()},
		ExtraExtensions:    []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: usage}},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}, private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// requester is a Key as the standard library wants one, for one call.
type requester struct {
	ctx    context.Context
	public *rsa.PublicKey
	key    Key
}

var _ crypto.Signer = (*requester)(nil)

// Public implements crypto.Signer.
func (r *requester) Public() crypto.PublicKey { return r.public }

// Sign implements crypto.Signer: SHA-256 and PKCS#1 v1.5 alone.
func (r *requester) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if _, pss := o.(*rsa.PSSOptions); pss || o.HashFunc() != crypto.SHA256 {
		return nil, fmt.Errorf("%w: it signs SHA-256 by PKCS#1 v1.5 alone", ErrKey)
	}
	return r.key.Sign(r.ctx, digest)
}
