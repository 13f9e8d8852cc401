package foreign

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // others sign with it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Identity is who signs.
type Identity struct {
	Name    string // of the provider
	Address string // posta-certificata@…
	Cert    *x509.Certificate
	Key     crypto.Signer
}

// Object identifiers of what is in a SignedData.
var (
	oidData         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidCapabilities = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 15}
	oidProtection   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 52}
	oidRSA          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAPSS       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidRSASHA1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}
	oidRSASHA256    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidECDSASHA256  = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidAES          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidMD5          = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}
)

// oidOfHash are the digests that others use.
func oidOfHash(h crypto.Hash) asn1.ObjectIdentifier {
	switch h {
	case crypto.SHA1:
		return asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	case crypto.SHA512:
		return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	}
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
}

// CMS is how a signature is made. Its zero value is no signature of anybody; a [Style] has a good one.
type CMS struct {
	Hash         crypto.Hash
	Null         bool                  // the digest's AlgorithmIdentifier has NULL
	Algorithm    asn1.ObjectIdentifier // of the signature; nil is rsaEncryption
	Indefinite   bool                  // BER as Java writes it
	Capabilities bool                  // SMIMECapabilities among the signed attributes
	Protection   bool                  // CMSAlgorithmProtection among them

	Time         time.Time             // of signing; zero is not stated
	Unsigned     bool                  // there are no signed attributes
	Omit         asn1.ObjectIdentifier // a signed attribute that is not there
	Twice        asn1.ObjectIdentifier // one that is there twice
	ContentType  asn1.ObjectIdentifier // what is said to be signed; nil is data
	Named        asn1.ObjectIdentifier // the digest algorithm that is stated in the place of that of Hash
	Digest       []byte                // in the place of the right one
	Spoil        bool                  // one bit of the signature is wrong
	Signers      int                   // how often the signer is there; 0 is once, less is never
	Certificates []*x509.Certificate   // in the place of the signer's own
	Bare         bool                  // no certificates at all
	Within       []byte                // content that is in the signature itself
	Deep         int                   // so many sequences round each other among the unsigned things
	Padding      int                   // so many bytes more
}

// sign makes the SignedData of content.
func (c CMS) sign(who *Identity, content []byte) []byte {
	wrap := tlv
	if c.Indefinite {
		wrap = indefinite
	}
	info := c.signerInfo(who, content)
	inner := [][]byte{
		tlv(tagInteger, []byte{1}), tlv(tagSet, algorithm(c.digestOID(), c.Null)), wrap(tagSequence, encoded(oidData), c.within()),
	}
	if certificates := c.certificates(who); len(certificates) > 0 {
		inner = append(inner, wrap(tagContext0, certificates...))
	}
	inner = append(inner, tlv(tagSet, bytes.Repeat(info, c.signers())))
	return wrap(tagSequence, encoded(oidSignedData), wrap(tagContext0, wrap(tagSequence, inner...)))
}

func (c CMS) signers() int {
	if c.Signers == 0 {
		return 1
	}
	return max(0, c.Signers)
}

func (c CMS) digestOID() asn1.ObjectIdentifier {
	if c.Named != nil {
		return c.Named
	}
	return oidOfHash(c.Hash)
}

func (c CMS) within() []byte {
	if c.Within == nil {
		return nil
	}
	return tlv(tagContext0, tlv(tagOctets, c.Within))
}

func (c CMS) certificates(who *Identity) [][]byte {
	var out [][]byte
	switch {
	case c.Bare:
		return nil
	case c.Certificates == nil:
		out = [][]byte{who.Cert.Raw}
	}
	for _, one := range c.Certificates {
		out = append(out, one.Raw)
	}
	return out
}

func (c CMS) signerInfo(who *Identity, content []byte) []byte {
	digest := c.Digest
	if digest == nil {
		digest = hashed(c.Hash, content)
	}
	parts := [][]byte{
		tlv(tagInteger, []byte{1}), tlv(tagSequence, who.Cert.RawIssuer, encoded(who.Cert.SerialNumber)), algorithm(c.digestOID(), c.Null),
	}
	toSign := content
	if !c.Unsigned {
		set := bytes.Join(c.attributes(digest), nil)
		parts, toSign = append(parts, tlv(tagContext0, set)), tlv(tagSet, set)
	}
	oid := c.Algorithm
	if oid == nil {
		oid = oidRSA
	}
	parts = append(parts, algorithm(oid, !oid.Equal(oidECDSASHA256)), tlv(tagOctets, c.signature(who, toSign)))
	if c.Deep > 0 || c.Padding > 0 {
		parts = append(parts, c.unsigned())
	}
	return tlv(tagSequence, parts...)
}

// unsigned is an attribute that no signature covers, large or deep.
func (c CMS) unsigned() []byte {
	value := tlv(tagOctets, make([]byte, c.Padding))
	for range c.Deep {
		value = tlv(tagSequence, value)
	}
	return tlv(tagContext0+1, tlv(tagSequence, encoded(oidCapabilities), tlv(tagSet, value)))
}

// attributes are the signed ones, in the order that DER wants.
func (c CMS) attributes(digest []byte) [][]byte {
	contentType := c.ContentType
	if contentType == nil {
		contentType = oidData
	}
	list := [][]byte{c.attribute(oidContentType, encoded(contentType)), c.attribute(oidDigest, tlv(tagOctets, digest))}
	if !c.Time.IsZero() {
		list = append(list, c.attribute(oidSigningTime, encoded(c.Time.UTC())))
	}
	if c.Capabilities {
		list = append(list, c.attribute(oidCapabilities, tlv(tagSequence, tlv(tagSequence, encoded(oidAES)))))
	}
	if c.Protection {
		signing := tlv(0xa1, encoded(oidRSASHA256), []byte{tagNull, 0})
		list = append(list, c.attribute(oidProtection, tlv(tagSequence, algorithm(oidOfHash(c.Hash), c.Null), signing)))
	}
	list = slices.DeleteFunc(list, func(b []byte) bool { return b == nil })
	if c.Twice != nil {
		list = append(list, tlv(tagSequence, encoded(c.Twice), tlv(tagSet, tlv(tagOctets, digest))))
	}
	slices.SortFunc(list, bytes.Compare)
	return list
}

func (c CMS) attribute(oid asn1.ObjectIdentifier, value []byte) []byte {
	if oid.Equal(c.Omit) {
		return nil
	}
	return tlv(tagSequence, encoded(oid), tlv(tagSet, value))
}

func (c CMS) signature(who *Identity, toSign []byte) []byte {
	var options crypto.SignerOpts = c.Hash
	if c.Algorithm.Equal(oidRSAPSS) {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: c.Hash}
	}
	signature, err := who.Key.Sign(rand.Reader, hashed(c.Hash, toSign), options)
	if err != nil {
		panic(fmt.Sprintf("sign as %s: %v", who.Name, err)) // a key that the test made
	}
	if c.Spoil {
		signature[len(signature)/2] ^= 1
	}
	return signature
}

func hashed(h crypto.Hash, content []byte) []byte {
	w := h.New()
	_, _ = w.Write(content) // a hash never fails
	return w.Sum(nil)
}
