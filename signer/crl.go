package signer

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

const maxCRL = 64 << 20 // bytes of a file of revocation lists

var oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// crl is a revocation list whose signature was checked. It is immutable.
type crl struct {
	file    string // or where it was fetched
	list    *x509.RevocationList
	issuer  *x509.Certificate // one of those that the list may be of; others have the same name and key
	scope   distributionPoint
	revoked serials
}

// distributionPoint is the extension that says of which certificates a list speaks (RFC 5280 section 5.2.5).
type distributionPoint struct {
	Name     asn1.RawValue `asn1:"optional,tag:0"`
	UserOnly bool          `asn1:"optional,tag:1"`
	CAOnly   bool          `asn1:"optional,tag:2"`
	Reasons  asn1.RawValue `asn1:"optional,tag:3"`
	Indirect bool          `asn1:"optional,tag:4"`
	Attrs    bool          `asn1:"optional,tag:5"`
}

// readCRLs reads the lists of a file, PEM or DER, and checks that each was signed by one of the authorities.
func readCRLs(path string, authorities []*x509.Certificate) ([]*crl, error) {
	content, err := readFile(path, maxCRL)
	if err != nil {
		return nil, err
	}
	blocks, err := crlBlocks(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var lists []*crl
	for _, der := range blocks {
		c, err := parseCRL(der, authorities)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.file = path
		lists = append(lists, c)
	}
	return lists, nil
}

func crlBlocks(content []byte) ([][]byte, error) {
	if len(content) > 0 && content[0] == 0x30 { // a SEQUENCE: DER
		return [][]byte{content}, nil
	}
	var blocks [][]byte
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("PEM block %q is not a revocation list", block.Type)
		}
		blocks = append(blocks, block.Bytes)
	}
	if len(blocks) == 0 {
		return nil, errors.New("it has no revocation list, in PEM or DER")
	}
	return blocks, nil
}

// parseCRL reads a list and checks its signature. What it revokes is kept apart, in little space: the list of an authority of
// the world at large may have a million entries.
func parseCRL(der []byte, authorities []*x509.Certificate) (*crl, error) {
	head, revoked, err := splitCRL(der)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(head)
	if err != nil {
		return nil, err
	}
	if len(list.RevokedCertificateEntries) > 0 {
		return nil, errors.New("the revocation list has two lists of entries")
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("the revocation list does not say when the next is due")
	}
	if a := list.SignatureAlgorithm; a == x509.SHA1WithRSA || a == x509.ECDSAWithSHA1 || a == x509.MD5WithRSA {
		return nil, fmt.Errorf("the revocation list is signed with %v", a)
	}
	c := &crl{list: list}
	if list.RawTBSRevocationList, err = signedPart(der); err != nil {
		return nil, err
	}
	if err := c.findIssuer(authorities); err != nil {
		return nil, err
	}
	list.Raw, list.RawTBSRevocationList = nil, nil // the bytes are the caller's
	if err := c.readScope(); err != nil {
		return nil, err
	}
	c.revoked, err = readSerials(revoked)
	return c, err
}

// findIssuer: authorities re-issue their certificates with the same key, so that any copy will do.
func (c *crl) findIssuer(authorities []*x509.Certificate) error {
	err := fmt.Errorf("no authority %s is configured", c.list.Issuer)
	for _, a := range authorities {
		if !bytes.Equal(a.RawSubject, c.list.RawIssuer) {
			continue
		}
		if err = c.list.CheckSignatureFrom(a); err == nil {
			c.issuer = a
			return nil
		}
	}
	return fmt.Errorf("revocation list of %s: %w", c.list.Issuer, err)
}

// readScope refuses lists that do not say all there is to say of the certificates they speak of.
func (c *crl) readScope() error {
	for _, e := range c.list.Extensions {
		switch {
		case e.Id.Equal(oidIssuingDistributionPoint):
			if err := unmarshalAll(e.Value, &c.scope); err != nil {
				return fmt.Errorf("issuing distribution point: %w", err)
			}
			if s := c.scope; s.Indirect || s.Attrs || len(s.Reasons.FullBytes) > 0 {
				return errors.New("the revocation list is indirect, of attributes, or of some reasons only")
			}
		case e.Critical:
			return fmt.Errorf("the revocation list has the critical extension %v (a delta list?)", e.Id)
		}
	}
	return nil
}

// speaksOf reports whether the list is of the authority that issued a certificate, and covers it.
func (c *crl) speaksOf(cert, issuer *x509.Certificate) bool {
	if !bytes.Equal(c.issuer.RawSubject, issuer.RawSubject) ||
		!bytes.Equal(c.issuer.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		return false
	}
	if c.scope.UserOnly && cert.IsCA || c.scope.CAOnly && !cert.IsCA {
		return false
	}
	name := c.scope.Name.Bytes
	return len(name) == 0 || slices.ContainsFunc(cert.CRLDistributionPoints, func(uri string) bool {
		general, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(uri)})
		return err == nil && bytes.Contains(name, general)
	})
}

// tagURI is the kind of GeneralName that is a URI.
const tagURI = 6

// revokedAt reports whether a certificate was revoked at an instant or before. One that is on hold is.
func (c *crl) revokedAt(cert *x509.Certificate, at time.Time) bool {
	since, found := c.revoked.find(cert.SerialNumber)
	return found && !since.After(at)
}

// newest returns the list that speaks of a certificate and was made last, nil when there is none.
func newest(lists []*crl, cert, issuer *x509.Certificate) *crl {
	var best *crl
	for _, c := range lists {
		if c.speaksOf(cert, issuer) && (best == nil || c.list.ThisUpdate.After(best.list.ThisUpdate)) {
			best = c
		}
	}
	return best
}

// selfSigned tells a root from what stands below one.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}
