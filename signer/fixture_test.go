package signer

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"
)

// cmsOf lets OpenSSL sign content, detached, in DER.
func cmsOf(t testing.TB, p *party, content string, args ...string) []byte {
	t.Helper()
	args = append([]string{"cms", "-sign", "-binary", "-in", writeFile(t, "content", []byte(content)),
		"-signer", p.certFile, "-inkey", p.keyFile, "-outform", "DER"}, args...)
	der, err := openssl(t, args...)
	if err != nil {
		t.Fatalf("openssl %s: %v", strings.Join(args, " "), err)
	}
	return der
}

// indefinite writes every constructed element of DER with an indefinite length, as Java libraries do, and every octet
// string of more than four bytes in pieces when chunks says so. The certificate stays as it was signed, and the signed attributes
// in DER, as RFC 5652 asks even in BER.
func indefinite(t testing.TB, der []byte, chunks bool, cert []byte) []byte {
	t.Helper()
	var out []byte
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		der = rest
		switch {
		case bytes.Equal(v.FullBytes, cert) || isAttributes(v):
			out = append(out, v.FullBytes...)
		case v.IsCompound:
			out = append(out, v.FullBytes[0], 0x80)
			out = append(out, indefinite(t, v.Bytes, chunks, cert)...)
			out = append(out, 0, 0)
		case chunks && v.FullBytes[0] == 0x04 && len(v.Bytes) > 4:
			half := len(v.Bytes) / 2
			out = append(out, 0x24, 0x80, 0x04, 0x81, byte(half))
			out = append(out, v.Bytes[:half]...)
			piece, err := asn1.Marshal(v.Bytes[half:])
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(out, piece...), 0, 0)
		default:
			out = append(out, v.FullBytes...)
		}
	}
	return out
}

// isAttributes tells a [0] whose first child is a SEQUENCE that begins with an object identifier.
func isAttributes(v asn1.RawValue) bool {
	var first asn1.RawValue
	_, err := asn1.Unmarshal(v.Bytes, &first)
	return v.FullBytes[0] == 0xa0 && err == nil && first.Tag == asn1.TagSequence && len(first.Bytes) > 0 && first.Bytes[0] == asn1.TagOID
}

// replaceLast replaces the last occurrence, which in a CMS is in the part that belongs to the signer.
func replaceLast(b, old, with []byte) []byte {
	i := bytes.LastIndex(b, old)
	return bytes.Join([][]byte{b[:i], with, b[i+len(old):]}, nil)
}

// fixture is a signed message of another provider.
type fixture struct {
	fields      string // before Content-Type, each with its CRLF
	contentType string // the raw value, after the colon
	preamble    string
	padding     string // after each delimiter
	content     string
	between     string // what stands between content and signature, after the first delimiter
	partHeader  string
	signature   string
	epilogue    string
}

const boundaryOfOthers = "----=_Part_12_34.5678"

func newFixture(content string, cms []byte) fixture {
	return fixture{
		fields:      "From: <" + providerAddress + ">\r\nMIME-Version: 1.0\r\n",
		contentType: ` multipart/signed; protocol="application/x-pkcs7-signature"; micalg="sha1"; boundary="` + boundaryOfOthers + `"`,
		content:     content,
		partHeader: "Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\r\n" +
			"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n",
		signature: lines(base64.StdEncoding.EncodeToString(cms)),
	}
}

func lines(text string) string {
	var b strings.Builder
	for len(text) > 64 {
		b.WriteString(text[:64] + "\r\n")
		text = text[64:]
	}
	return b.String() + text + "\r\n"
}

func (f fixture) String() string {
	delimiter := "--" + boundaryOfOthers
	return f.fields + "Content-Type:" + f.contentType + "\r\n\r\n" + f.preamble +
		delimiter + f.padding + "\r\n" + f.content + f.between +
		"\r\n" + delimiter + f.padding + "\r\n" + f.partHeader + "\r\n" + f.signature +
		"\r\n" + delimiter + "--" + f.padding + "\r\n" + f.epilogue
}

func (f fixture) with(change func(*fixture)) fixture {
	change(&f)
	return f
}
