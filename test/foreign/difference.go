package foreign

import (
	"crypto"
	"slices"
	"strings"
)

// Difference is a spelling that is found in valid messages.
type Difference struct {
	Name string
	Rows string // of the conformance table, or the section of the dossier on the wire
	Only string // "envelope" or "receipt" when it makes sense in one of them only
	Change
}

func style(change func(*Style)) Change      { return Change{Style: change} }
func document(c func(*Document)) Change     { return Change{Style: func(s *Style) { c(&s.Document) }} }
func cms(change func(*CMS)) Change          { return Change{CMS: change} }
func facts(change func(*Facts)) Change      { return Change{Facts: change} }
func fields(c func([]Field) []Field) Change { return Change{Fields: c} }

// Differences are all of them; each alone is applied to both families.
func Differences() []Difference {
	return slices.Concat(orders(), encodings(), documents(), structures(), signatures(), headers(), contents())
}

func orders() []Difference {
	var out []Difference
	for _, order := range []string{"text data original", "text original data", "data text original", "data original text", "original data text"} {
		out = append(out, Difference{"parts in the order " + strings.ReplaceAll(order, " ", ", "), "C190, C259", "",
			style(func(s *Style) { s.Order = strings.Fields(order) })})
	}
	return out
}

func encodings() []Difference {
	var out []Difference
	for _, coding := range []string{"base64", "quoted-printable", "7bit", "8bit", "binary"} {
		out = append(out, Difference{"daticert.xml in " + coding, "C259", "", style(func(s *Style) { s.DataCoding = coding })})
	}
	return append(out,
		Difference{"daticert.xml without an encoding", "C259", "", style(func(s *Style) { s.DataCoding = "" })},
		Difference{"base64 of 60 columns", "C259", "", style(func(s *Style) { s.DataCoding, s.Columns = "base64", 60 })},
		Difference{"base64 of 76 columns", "C259", "", style(func(s *Style) { s.DataCoding, s.Columns = "base64", 76 })},
		Difference{"base64 in one long line", "C259", "", style(func(s *Style) { s.DataCoding, s.Columns = "base64", 1<<20 })},
		Difference{"encoding in capitals, with a semicolon", "C259", "", Change{Parts: line("data", "Content-Transfer-Encoding", "BASE64;"),
			Style: func(s *Style) { s.DataCoding = "base64" }}},
		Difference{"text in quoted-printable", "10.3.1", "", style(func(s *Style) { s.TextCoding = "quoted-printable" })},
		Difference{"text in 8bit", "10.3.1", "", style(func(s *Style) { s.TextCoding = "8bit" })},
		Difference{"text alone", "10.3.1", "", style(func(s *Style) { s.Plain = true })},
		Difference{"text with a note, an address of the web and English", "10.3.11", "", style(func(s *Style) { s.Note = Java().Note })},
		Difference{"postacert.eml without an encoding", "C259", "", style(func(s *Style) { s.LetterCoding = "" })},
		Difference{"postacert.eml called 8bit", "C259", "", style(func(s *Style) { s.LetterCoding = "8bit" })},
		Difference{"parts inline", "C259", "", style(func(s *Style) { s.DataDisposition, s.LetterDisposed = "inline", "inline" })},
		Difference{"parts attached", "C259", "", style(func(s *Style) { s.DataDisposition, s.LetterDisposed = "attachment", "attachment" })},
		Difference{"parts without Content-Disposition", "C259", "", style(func(s *Style) { s.DataDisposition, s.LetterDisposed = "", "" })},
		Difference{"names bare", "C259", "", style(func(s *Style) { s.BareNames = true })},
		Difference{"names in Content-Disposition alone", "C259", "", style(func(s *Style) {
			s.NoName, s.DataDisposition, s.LetterDisposed = true, "attachment", "attachment"
		})},
		Difference{"names in capitals", "C259", "", Change{Parts: func(p []Part) []Part {
			for i := range p {
				for j := range p[i].Lines {
					p[i].Lines[j] = strings.NewReplacer("daticert.xml", "DatiCert.XML", "postacert.eml", "PostaCert.eml").Replace(p[i].Lines[j])
				}
			}
			return p
		}}},
		Difference{"daticert.xml of type text/xml", "C259", "", style(func(s *Style) { s.DataType = "text/xml" })},
		Difference{"daticert.xml of type application/octet-stream", "C259", "", style(func(s *Style) { s.DataType = "application/octet-stream" })},
	)
}

// line replaces the value of a field of a part.
func line(part, name, value string) func([]Part) []Part {
	return func(parts []Part) []Part {
		for i := range parts {
			for j, l := range parts[i].Lines {
				if parts[i].Name == part && strings.HasPrefix(l, name+":") {
					parts[i].Lines[j] = name + ": " + value
				}
			}
		}
		return parts
	}
}

func documents() []Difference {
	const dtd = `<!DOCTYPE postacert PUBLIC "posta certificata" "https://www.pec.example/dtd/postacert.dtd">`
	const sheet = `<?xml-stylesheet type="text/xsl" href="https://www.pec.example/postacert.xsl"?>`
	return []Difference{
		{"DOCTYPE with an address", "C258", "", document(func(d *Document) { d.Prologue = dtd })},
		{"stylesheet with an address", "C258", "", document(func(d *Document) { d.Prologue = sheet })},
		{"stylesheet, DOCTYPE and a comment", "C258", "", document(func(d *Document) { d.Prologue = sheet + "\n" + dtd + "\n<!-- 1 -->" })},
		{"byte order mark", "C258", "", document(func(d *Document) { d.BOM = true })},
		{"CRLF", "C258", "", document(func(d *Document) { d.EOL = "\r\n" })},
		{"LF", "C258", "", document(func(d *Document) { d.EOL = "\n" })},
		{"empty lines at the end", "C258", "", document(func(d *Document) { d.End = "\n\r\n\r\n \n" })},
		{"no indentation", "C258", "", document(func(d *Document) { d.Indent = "" })},
		{"tabs for indentation", "C258", "", document(func(d *Document) { d.Indent = "\t" })},
		{"ricevuta as a pair", "section 4", "", document(func(d *Document) { d.Pair = true })},
		{"ricevuta as one element", "section 4", "", document(func(d *Document) { d.Pair = false })},
		{"risposte is empty", "section 4", "", document(func(d *Document) { d.NoReplies = true })},
		{"attribute errore left out", "section 4", "", document(func(d *Document) { d.NoError = true })},
		{"namespace of a schema", "C258", "", document(func(d *Document) { d.Namespaces = true })},
		{"declared ISO-8859-1", "C258", "", Change{Style: func(s *Style) { s.Document.Encoding, s.DataCoding = "ISO-8859-1", "base64" },
			Facts: func(f *Facts) { f.Subject = "Perche' no" }}},
		{"declared in small letters", "C258", "", document(func(d *Document) { d.Encoding = "utf-8" })},
		{"zone with a colon", "RFC 6109, 4.2", "", Change{Data: func(s string) string {
			return strings.NewReplacer(`zona="+0100"`, `zona="+01:00"`, `zona="+0200"`, `zona="+02:00"`).Replace(s)
		}}},
		{"space round values", "section 4", "", Change{Data: func(s string) string {
			return strings.NewReplacer("<mittente>", "<mittente> ", "</identificativo>", "\n</identificativo>", "<gestore-emittente>", "<gestore-emittente>\n").Replace(s)
		}}},
	}
}

func structures() []Difference {
	return []Difference{
		{"signature of type application/pkcs7-signature", "C104", "", style(func(s *Style) { s.SignatureType = "application/pkcs7-signature" })},
		{"signature of type application/x-pkcs7-signature", "C104", "", style(func(s *Style) { s.SignatureType = "application/x-pkcs7-signature" })},
		{"signature type in capitals", "C104", "", style(func(s *Style) { s.SignatureType = "Application/X-PKCS7-Signature" })},
		{"signature inline", "C259", "", style(func(s *Style) { s.SignatureDisposed = "inline" })},
		{"signature in lines of 60", "C259", "", style(func(s *Style) { s.SignatureColumns = 60 })},
		{"no preamble", "10.3.1", "", style(func(s *Style) { s.OuterPreamble, s.InnerPreamble = "", "" })},
		{"preamble", "10.3.1", "", style(func(s *Style) { s.OuterPreamble = "This is a S/MIME signed message\r\n\r\n" })},
		{"preamble and epilogue", "10.3.1", "", style(func(s *Style) { s.OuterPreamble, s.OuterEnd = "Testo firmato\r\n", "\r\nfine\r\n" })},
		{"multiparts called binary", "10.2", "", style(func(s *Style) { s.InnerCoding = "binary" })},
		{"multiparts without an encoding", "10.2", "", style(func(s *Style) { s.InnerCoding = "" })},
		typed("micalg sha1 quoted", `multipart/signed; protocol="application/x-pkcs7-signature"; micalg="sha1"; boundary="%s"`),
		typed("micalg SHA1 quoted", `multipart/signed; protocol="application/x-pkcs7-signature"; micalg="SHA1"; boundary="%s"`),
		typed("micalg sha-1 bare", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-1; boundary="%s"`),
		typed("micalg sha-256 bare", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="%s"`),
		typed("micalg sha256", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha256; boundary="%s"`),
		typed("micalg unknown", `multipart/signed; protocol="application/pkcs7-signature"; micalg=unknown; boundary="%s"`),
		typed("micalg of another digest", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-512; boundary="%s"`),
		typed("no micalg", `multipart/signed; protocol="application/pkcs7-signature"; boundary="%s"`),
		typed("no protocol", `multipart/signed; micalg=sha-256; boundary="%s"`),
		typed("protocol bare", `multipart/signed; protocol=application/pkcs7-signature; micalg=sha-256; boundary="%s"`),
		typed("protocol in capitals", `multipart/signed; protocol="APPLICATION/PKCS7-SIGNATURE"; micalg=sha-256; boundary="%s"`),
		typed("parameters folded, another order", "multipart/signed; boundary=\"%s\";\r\n\tmicalg=sha-1;\r\n protocol=\"application/pkcs7-signature\""),
		typed("type in capitals, stray semicolons", `Multipart/Signed; protocol="application/pkcs7-signature";; micalg=sha-256; boundary="%s"; `),
	}
}

func typed(name, value string) Difference {
	return Difference{name, "C104, C109", "", style(func(s *Style) { s.SignedType = value })}
}

func signatures() []Difference {
	return []Difference{
		{"CMS in DER", "C257", "", cms(func(c *CMS) { c.Indefinite = false })},
		{"CMS in BER of indefinite lengths", "C257", "", cms(func(c *CMS) { c.Indefinite = true })},
		{"digest SHA-1", "C256", "", cms(func(c *CMS) { c.Hash, c.Algorithm, c.Protection = crypto.SHA1, nil, false })},
		{"digest SHA-1, sha1WithRSAEncryption", "C256", "", cms(func(c *CMS) { c.Hash, c.Algorithm, c.Protection = crypto.SHA1, oidRSASHA1, false })},
		{"digest SHA-256, rsaEncryption", "C256", "", cms(func(c *CMS) { c.Hash, c.Algorithm = crypto.SHA256, nil })},
		{"digest SHA-256, sha256WithRSAEncryption", "C256", "", cms(func(c *CMS) { c.Hash, c.Algorithm = crypto.SHA256, oidRSASHA256 })},
		{"digest SHA-512", "C256", "", cms(func(c *CMS) { c.Hash, c.Algorithm, c.Protection = crypto.SHA512, nil, false })},
		{"digest algorithm with NULL", "section 8", "", cms(func(c *CMS) { c.Null = true })},
		{"digest algorithm without NULL", "section 8", "", cms(func(c *CMS) { c.Null = false })},
		{"SMIMECapabilities among the signed attributes", "section 8", "", cms(func(c *CMS) { c.Capabilities = true })},
		{"CMSAlgorithmProtection among the signed attributes", "section 8", "", cms(func(c *CMS) { c.Protection, c.Algorithm, c.Hash = true, oidRSASHA256, crypto.SHA256 })},
		{"no signing time", "section 8", "", cms(func(c *CMS) { c.Omit = oidSigningTime })},
		{"unsigned attributes", "section 8", "", cms(func(c *CMS) { c.Padding = 100 })},
	}
}
