package signer

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Authorities say whether a certificate leads to one of them. Revocation is [Trust]'s: whoever judges traffic needs that.
// They are immutable and safe for concurrent use.
type Authorities struct {
	list          []*x509.Certificate
	roots, others *x509.CertPool
}

// ReadAuthorities reads a PEM file: the self-signed certificates in it are trusted, the others are for building chains.
// The error names the file.
func ReadAuthorities(path string) (*Authorities, error) {
	list, err := ReadCertificates(path)
	if err != nil {
		return nil, err
	}
	a := &Authorities{list: list, roots: x509.NewCertPool(), others: x509.NewCertPool()}
	trusted := 0
	for _, c := range list {
		if selfSigned(c) {
			a.roots.AddCert(c)
			trusted++
		} else {
			a.others.AddCert(c)
		}
	}
	if trusted == 0 {
		return nil, fmt.Errorf("%s: it has no self-signed authority", path)
	}
	return a, nil
}

// Check judges chain and dates of a certificate as of an instant, with the certificates that came along. Errors are
// [ErrExpired] and [ErrChain]. [C110] [C112]
func (a *Authorities) Check(cert *x509.Certificate, extra []*x509.Certificate, at time.Time) error {
	_, err := a.chains(cert, extra, at)
	return err
}

// chains returns all chains that lead to a trusted authority, at least one, all longer than one certificate.
func (a *Authorities) chains(cert *x509.Certificate, extra []*x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	if outsideDates(cert, at) {
		return nil, fmt.Errorf("%w: %s to %s", ErrExpired,
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	}
	others := a.others.Clone()
	for _, c := range extra {
		others.AddCert(c)
	}
	// Certificates without extended key usage pass, those for something else do not.
	all, err := cert.Verify(x509.VerifyOptions{Roots: a.roots, Intermediates: others, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	for _, chain := range all {
		if len(chain) == 1 {
			return nil, fmt.Errorf("%w: an authority signs no mail", ErrChain)
		}
	}
	return all, nil
}
