package foreign

import "crypto"

// OpenPEC is the spelling of the family of Aruba until 2023, Sogei and Namirial: a content filter in Perl and OpenSSL.
func OpenPEC() Style {
	return Style{
		Document: Document{Indent: "    "},
		CMS:      CMS{Hash: crypto.SHA1, Null: true, Capabilities: true},
		Order:    []string{"text", "data", "original"}, TextCoding: "quoted-printable",
		DataCoding: "base64", Columns: 60, DataDisposition: "inline", DataType: "application/xml",
		LetterCoding: "7bit", LetterDisposed: "inline",
		InnerBoundary: "----------=_1574000000-11111-2", InnerCoding: "binary", InnerPreamble: "This is a multi-part message in MIME format...\r\n",
		OuterBoundary: "----0123456789ABCDEF0123456789ABCDEF", OuterPreamble: "This is an S/MIME signed message\r\n\r\n", OuterEnd: "\r\n",
		SignedType:    `multipart/signed; protocol="application/x-pkcs7-signature"; micalg="sha1"; boundary="%s"`,
		SignatureType: "application/x-pkcs7-signature", SignatureColumns: 64,
		Author: "%s", KindField: "X-Tiporicevuta",
		More: []Field{{"X-Priority", " 3"}, {"X-Mailer", " Posta 1.0"}},
	}
}

// Java is the spelling of the family of InfoCert, Postecom and Aruba since 2026: JavaMail and Bouncy Castle.
func Java() Style {
	return Style{
		Document: Document{Indent: "  ", EOL: "\r\n", End: "\n\r\n", Pair: true},
		CMS:      CMS{Hash: crypto.SHA256, Algorithm: oidRSASHA256, Indefinite: true, Protection: true},
		Order:    []string{"data", "text", "original"}, TextCoding: "7bit",
		Note:       "NOTA: per maggiori informazioni https://www.pec.example/nota\r\n\r\n----\r\nCertified e-mail message. The original message is attached.",
		DataCoding: "quoted-printable", Columns: 76, DataDisposition: "attachment", DataType: "application/xml", BareNames: true,
		InnerBoundary: "----=_Part_7_1234567890.1789800000000",
		OuterBoundary: "----=_Part_8_987654321.1789800000001",
		SignedType:    "multipart/signed; protocol=application/pkcs7-signature; micalg=sha-256; \r\n\tboundary=\"%s\"; ",
		SignatureType: "application/pkcs7-signature", SignatureColumns: 76,
		Author: "Posta Certificata Legalmail <%s>", KindField: "X-TipoRicevuta", FieldsLast: true,
		More: []Field{{"X-CrmlId", " 7"}, {"X-CP-Queue", " 1"}, {"X-SentBy", " jpec"}, {"X-Attachment", " yes"}, {"X-REM-Subject", " REM SubmissionAcceptance: prova"}},
	}
}
