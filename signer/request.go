package signer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"

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
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}) // digitalSignature
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{Country: []string{"IT"}, Organization: []string{p.Name}, CommonName: pec.CertificateName},
		EmailAddresses:     []string{p.Address.String()},
		ExtraExtensions:    []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: usage}},
		SignatureAlgorithm: x509.SHA256WithRSA,
	}, private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}
