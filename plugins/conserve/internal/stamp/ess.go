package stamp

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"

	"github.com/digitorus/pkcs7"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// token takes the token out of an answer whose status is granted (0) or grantedWithMods (1); with any other it has none that
// counts (RFC 3161, 2.4.2).
func token(answer []byte) ([]byte, error) {
	outer := cryptobyte.String(answer)
	var inner, status, content cryptobyte.String
	var code int
	if !outer.ReadASN1(&inner, asn1.SEQUENCE) || !outer.Empty() || !inner.ReadASN1(&status, asn1.SEQUENCE) || !status.ReadASN1Integer(&code) {
		return nil, fmt.Errorf("%w: it is no answer to a question (TimeStampResp)", ErrStamp)
	}
	if code != 0 && code != 1 {
		return nil, fmt.Errorf("%w: the authority did not grant it (status %d)", ErrStamp, code)
	}
	if !inner.ReadASN1Element(&content, asn1.SEQUENCE) || !inner.Empty() {
		return nil, fmt.Errorf("%w: there is no token in the answer", ErrStamp)
	}
	return content, nil
}

// The attributes that say by which certificate a stamp is signed.
const (
	attributeV1 = "1.2.840.113549.1.9.16.2.12" // ESSCertID, SHA-1 (RFC 2634)
	attributeV2 = "1.2.840.113549.1.9.16.2.47" // ESSCertIDv2 (RFC 5035)
)

// names holds what the signed attributes say of the certificate against the one that was used. Without it a certificate of
// the same key, with other dates or another usage, could be put in the place of the one that stamped (RFC 3161, 2.4.2;
// RFC 5816, 2.2.1). One attribute has to be there; when both are, both have to hold.
func names(p7 *pkcs7.PKCS7, signer *x509.Certificate) error {
	found := 0
	for _, a := range p7.Signers[0].AuthenticatedAttributes {
		kind := a.Type.String()
		if kind != attributeV1 && kind != attributeV2 {
			continue
		}
		found++
		if !identifies(cryptobyte.String(a.Value.Bytes), kind == attributeV2, signer) {
			return fmt.Errorf("%w: it was made with another certificate than the one in it", ErrStamp)
		}
	}
	if found == 0 {
		return fmt.Errorf("%w: it does not say with which certificate it was made (RFC 3161, 2.4.2)", ErrStamp)
	}
	return nil
}

// identifies reads a SigningCertificate or SigningCertificateV2: the first identifier in it is that of the signer.
func identifies(values cryptobyte.String, second bool, signer *x509.Certificate) bool {
	var attribute, list, id cryptobyte.String
	if !values.ReadASN1(&attribute, asn1.SEQUENCE) || !values.Empty() || !attribute.ReadASN1(&list, asn1.SEQUENCE) || !list.ReadASN1(&id, asn1.SEQUENCE) {
		return false
	}
	sum := sha1.Sum(signer.Raw)
	want := sum[:]
	if second {
		var ok bool
		if want, ok = digest(&id, signer.Raw); !ok {
			return false
		}
	}
	var got cryptobyte.String
	return id.ReadASN1(&got, asn1.OCTET_STRING) && bytes.Equal(got, want) && (id.Empty() || issued(id, signer))
}

// digest reads the algorithm, which SHA-256 may leave out, and hashes with it.
func digest(id *cryptobyte.String, der []byte) ([]byte, bool) {
	if !id.PeekASN1Tag(asn1.SEQUENCE) {
		sum := sha256.Sum256(der)
		return sum[:], true
	}
	var algorithm, oid cryptobyte.String
	if !id.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return nil, false
	}
	family := []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02} // 2.16.840.1.101.3.4.2, where the SHA-2 are
	if len(oid) != len(family)+1 || !bytes.HasPrefix(oid, family) {
		return nil, false
	}
	switch oid[len(family)] {
	case 1:
		sum := sha256.Sum256(der)
		return sum[:], true
	case 2:
		sum := sha512.Sum384(der)
		return sum[:], true
	case 3:
		sum := sha512.Sum512(der)
		return sum[:], true
	}
	return nil, false
}

// issued reads an IssuerSerial, whose issuer is one directory name.
func issued(id cryptobyte.String, signer *x509.Certificate) bool {
	var both, general, name cryptobyte.String
	number := new(big.Int)
	return id.ReadASN1(&both, asn1.SEQUENCE) && id.Empty() &&
		both.ReadASN1(&general, asn1.SEQUENCE) && general.ReadASN1(&name, asn1.Tag(4).Constructed().ContextSpecific()) && general.Empty() &&
		both.ReadASN1Integer(number) && both.Empty() &&
		bytes.Equal(name, signer.RawIssuer) && number.Cmp(signer.SerialNumber) == 0
}
