package foreign

import (
	"crypto"
	"crypto/x509"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// plainData makes daticert.xml readable in the message, so that a change after signing can find it.
func plainData(s *Style) { s.DataCoding, s.LetterCoding = "7bit", "" }

func signatureMutations() []mutation {
	inText := Change{Style: func(s *Style) { s.TextCoding = "7bit" }, Sent: replaced("Identificativo", "identificativo")}
	return []mutation{
		{name: "a letter of the text changed after signing", change: inText, want: signature, says: "changed after it was signed"},
		{name: "a letter of the original changed after signing", change: sent("Fine.", "Fino."), want: signature, says: "changed after it was signed"},
		{name: "a byte beyond ASCII of the original encoded after signing", change: sent("Perch\xc3\xa9 s", "Perch=C3=A9 s"), want: signature, says: "changed"},
		{name: "certification data changed after signing", change: Change{Style: plainData, Sent: replaced("<consegna", "<Consegna")}, kind: "receipt", want: signature, says: "changed"},
		{name: "certified recipient changed after signing", change: Change{Style: plainData, Sent: replaced("mario@alfa.example</destinatari>", "maria@alfa.example</destinatari>")},
			want: signature, says: "changed"},
		{name: "type of the signed part changed", change: sent("Content-Type: multipart/mixed", "Content-type: multipart/mixed"), want: signature, says: "changed"},
		{name: "blank line added at the end of the signed part", change: Change{Sent: beforeSignature("\r\n")}, want: signature, says: "changed"},
		{name: "footer added inside of the signed part", change: Change{Sent: beforeSignature("-- \r\nLista di prova\r\n")}, want: signature, says: "changed"},
		{name: "white space at the end of a line taken away", change: Change{Signed: replaced("lunga \r\n", "lunga  \r\n"), Sent: replaced("lunga  \r\n", "lunga\r\n")},
			want: signature, says: "changed"},
		{name: "a receipt changed after signing", kind: "receipt", change: sent("Fine.", "Fino."), want: signature, says: "changed"},
		{name: "a take-charge changed after signing", kind: "take-charge", change: sent("quoted-printable", "quoted-Printable"), want: kept(pec.ProblemSignature), says: "changed"},
	}
}

// beforeSignature puts text in front of the delimiter of the signature.
func beforeSignature(text string) func(string) string {
	return func(s string) string {
		at := strings.LastIndex(s[:strings.LastIndex(s, "smime.p7s")], "\r\n--")
		return s[:at] + "\r\n" + text + s[at:]
	}
}

func cmsMutations() []mutation {
	w := theWorld
	set := func(name string, change func(*CMS), want verdict, says string) mutation {
		return mutation{name: name, change: cms(change), want: want, says: says}
	}
	return []mutation{
		set("digest of something else", func(c *CMS) { c.Digest = make([]byte, c.Hash.Size()) }, signature, "changed after it was signed"),
		set("a bit of the signature itself", func(c *CMS) { c.Spoil = true }, signature, "the signature itself"),
		set("signed attribute content type of something else", func(c *CMS) { c.ContentType = oidSignedData }, signature, "not plain data"),
		set("no signed attribute content type", func(c *CMS) { c.Omit = oidContentType }, signature, "content type"),
		set("no signed attribute message digest", func(c *CMS) { c.Omit = oidDigest }, signature, "message digest"),
		set("signed attribute message digest twice", func(c *CMS) { c.Twice = oidDigest }, signature, "twice"),
		set("signed attribute signing time twice", func(c *CMS) { c.Twice = oidSigningTime }, signature, "twice"),
		set("no signed attributes", func(c *CMS) { c.Unsigned = true }, signature, "content type"),
		set("digest called MD5", func(c *CMS) { c.Named = oidMD5 }, signature, "not accepted"),
		set("signature algorithm of another digest", func(c *CMS) { c.Hash, c.Algorithm, c.Protection = crypto.SHA256, oidRSASHA1, false }, signature, "not accepted with"),
		set("RSA-PSS", func(c *CMS) { c.Hash, c.Algorithm = crypto.SHA256, oidRSAPSS }, signature, "not accepted with"),
		{name: "an elliptic curve, by a certificate of the directory", by: "EC", change: cms(func(c *CMS) { c.Hash, c.Algorithm = crypto.SHA256, oidECDSASHA256 }), want: valid},
		set("two signers", func(c *CMS) { c.Signers = 2 }, nobody, "2 signers"),
		set("no signers", func(c *CMS) { c.Signers = -1 }, nobody, "0 signers"),
		set("no certificate within", func(c *CMS) { c.Bare = true }, nobody, "certificate of the signer is not there"),
		set("somebody else's certificate within", func(c *CMS) { c.Certificates = []*x509.Certificate{w().who["beta"].Cert} }, nobody, "not there"),
		set("somebody else's certificate before the signer's", func(c *CMS) {
			c.Certificates = []*x509.Certificate{w().who["beta"].Cert, w().who["delta"].Cert}
		}, valid, ""),
		set("content within the signature", func(c *CMS) { c.Within = []byte("x") }, unread, "where it should not be"),
		set("CMS nested 100 deep", func(c *CMS) { c.Deep = 100 }, unread, "nested deeper"),
		set("CMS of 70 KB", func(c *CMS) { c.Padding = 70 << 10 }, unread, "bytes, more than"),
		{name: "CMS of 1 MB", change: cms(func(c *CMS) { c.Padding = 1 << 20 }), want: unread, says: "the signature part has"},
		{name: "signature that is no base64", change: sent("smime.p7s\"\r\n\r\nM", "smime.p7s\"\r\n\r\n*"), want: unread, says: "the signature"},
		{name: "signature that is no CMS", change: Change{Sent: signatureText("TmllbnRl\r\n")}, want: unread, says: "CMS"},
		{name: "signature that is empty", change: Change{Sent: signatureText("")}, want: unread, says: "empty"},
		{name: "signature that is cut", change: Change{Sent: signatureText("MIAGCSqGSIb3DQEHAqCAMIACAQExDzAN\r\n")}, want: unread, says: "CMS"},
	}
}

// signatureText replaces the base64 of the signature.
func signatureText(text string) func(string) string {
	return func(s string) string {
		at := strings.LastIndex(s, "\"\r\n\r\n") + 5
		end := strings.LastIndex(s, "\r\n--")
		return s[:at] + text + s[end:]
	}
}

func signerMutations() []mutation {
	own := Change{By: func(f *Facts, who *Identity) { f.Address, f.Provider = who.Address, who.Name }}
	noTime := cms(func(c *CMS) { c.Omit = oidSigningTime })
	return []mutation{
		{name: "the provider's other certificate", by: "renewed", want: valid},
		{name: "a revoked certificate", by: "revoked", want: anomaly(pec.ProblemRevoked)},
		{name: "an expired certificate", by: "expired", want: anomaly(pec.ProblemExpired), says: "the certificate is of"},
		{name: "an expired certificate, signing time not stated", by: "expired", change: noTime, want: anomaly(pec.ProblemExpired)},
		{name: "an expired certificate, signed when it was good", by: "expired", change: cms(func(c *CMS) { c.Time = now.AddDate(0, 0, -10) }), want: anomaly(pec.ProblemExpired)},
		{name: "a certificate that is not valid yet", by: "future", want: anomaly(pec.ProblemExpired)},
		{name: "a certificate of another authority, in the directory", by: "chainless", want: anomaly(pec.ProblemChain)},
		{name: "a certificate of the right authority, not in the directory", by: "unlisted", want: ordinary(pec.ProblemUnknownSigner), says: "not in the directory"},
		{name: "another provider, under this one's address", by: "beta", want: author, says: "no address of Beta"},
		{name: "another provider, under its own address", by: "beta", change: own, want: routing, says: "does not manage the sender's domain"},
		{name: "a receipt by another provider", by: "beta", kind: "receipt", change: own, want: routing, says: "does not manage the domain of"},
		{name: "ourselves, from the network", by: "alfa", change: own, want: routing, says: "signed by ourselves"},
	}
}
