package foreign

import (
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// bodyOf cuts a message into its header, without MIME-Version and Content-Type, and the rest as an entity of its own.
func bodyOf(message string) (own, entity string) {
	head, body, _ := strings.Cut(message, "\r\n\r\n")
	var kind []string
	for _, field := range strings.Split(strings.ReplaceAll(strings.ReplaceAll(head, "\r\n ", "\x00 "), "\r\n\t", "\x00\t"), "\r\n") {
		text := strings.ReplaceAll(field, "\x00", "\r\n") + "\r\n"
		switch {
		case strings.HasPrefix(field, "Content-Type:"):
			kind = append(kind, text)
		case !strings.HasPrefix(field, "MIME-Version:"):
			own += text
		}
	}
	return own, strings.Join(kind, "") + "\r\n" + body
}

// wrapped puts a message into another structure, as lists and forwarders do.
func wrapped(contentType, before, after string) func(string) string {
	return func(s string) string {
		own, entity := bodyOf(s)
		return own + "MIME-Version: 1.0\r\nContent-Type: " + contentType + "\r\n\r\n" + before + entity + after
	}
}

func structureMutations() []mutation {
	const quoted = `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="%s"`
	typed := func(name, value string, want verdict, says string) mutation {
		return mutation{name: name, change: style(func(s *Style) { s.SignedType = value }), want: want, says: says}
	}
	return []mutation{
		{name: "no signature: the signed part alone", change: Change{Sent: func(s string) string {
			own, _ := bodyOf(s)
			return own + "MIME-Version: 1.0\r\n" + s[strings.Index(s, "Content-Type: multipart/mixed"):]
		}}, want: unsigned},
		{name: "a mailing list's footer around it", change: Change{Sent: wrapped(`multipart/mixed; boundary="list"`, "--list\r\n",
			"\r\n--list\r\nContent-Type: text/plain\r\n\r\nLista di prova\r\n--list--\r\n")}, want: unsigned},
		{name: "forwarded as an attachment", change: Change{Sent: func(s string) string {
			return "From: x@network.example\r\nTo: mario@alfa.example\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + s
		}}, want: unsigned},
		{name: "text after the signature", change: Change{Sent: func(s string) string { return s + "-- \r\nLista di prova\r\n" }}, want: valid},
		typed("opaque: application/pkcs7-mime", `application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"; boundary="%s"`, unsigned, ""),
		typed("signed by OpenPGP", `multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary="%s"`, unsigned, ""),
		typed("protocol application/pkcs7-mime", `multipart/signed; protocol="application/pkcs7-mime"; micalg=sha-256; boundary="%s"`, unsigned, "protocol"),
		typed("multipart/mixed in the place of multipart/signed", `multipart/mixed; boundary="%s"`, unsigned, ""),
		typed("boundary twice", quoted+`; boundary="%s-"`, unread, "twice"),
		typed("protocol twice", quoted+`; protocol="application/pgp-signature"`, unread, "twice"),
		typed("no boundary", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; x="%s"`, unread, "boundary"),
		typed("boundary in an encoded parameter", `multipart/signed; protocol="application/pkcs7-signature"; boundary*=us-ascii''x; boundary="%s"`, unread, "encoded"),
		{name: "two Content-Type", change: fields(top(Field{"Content-Type", " text/plain"})), want: unread, says: "more than one Content-Type"},
		{name: "the whole called base64", change: fields(add(Field{"Content-Transfer-Encoding", " base64"})), want: unread, says: "encoding"},
		{name: "the whole called 8bit", change: fields(add(Field{"Content-Transfer-Encoding", " 8bit"})), want: valid},
		{name: "signature first", change: Change{Sent: swapParts}, want: unread, says: "the second part is not one signature"},
		{name: "a third part after the signature", change: Change{Sent: func(s string) string {
			at := strings.LastIndex(s, "\r\n--")
			end := strings.Index(s[at+4:], "--\r\n") + at + 4
			return s[:end] + "\r\nContent-Type: text/plain\r\n\r\nx" + s[at:]
		}}, want: unread, says: "more than two parts"},
		{name: "no signature part", change: Change{Sent: func(s string) string {
			at := strings.LastIndex(s[:strings.LastIndex(s, "smime.p7s")], "\r\n--")
			return s[:at] + s[strings.LastIndex(s, "\r\n--"):]
		}}, want: unread, says: "not two parts"},
		{name: "no closing delimiter", change: Change{Sent: func(s string) string { return s[:strings.LastIndex(s, "\r\n--")+2] }}, want: unread, says: ""},
		{name: "lines that end with LF alone", change: Change{Sent: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }}, want: unread, says: "signed message is malformed"},
		{name: "signature of type octet-stream", change: style(func(s *Style) { s.SignatureType = "application/octet-stream" }), want: unread, says: "not one signature"},
		{name: "signature in quoted-printable", change: Change{Sent: func(s string) string {
			at := strings.LastIndex(s, "Content-Transfer-Encoding: base64")
			return s[:at] + "Content-Transfer-Encoding: quoted-printable" + s[at+len("Content-Transfer-Encoding: base64"):]
		}}, want: unread, says: "not in base64"},
	}
}

// swapParts puts the signature before what it signs.
func swapParts(s string) string {
	second := strings.LastIndex(s[:strings.LastIndex(s, "smime.p7s")], "\r\n--")
	last := strings.LastIndex(s, "\r\n--")
	delimiter := s[second+2 : second+2+strings.Index(s[second+2:], "\r\n")]
	first := strings.Index(s, delimiter+"\r\n")
	return s[:first] + s[second+2:last] + "\r\n" + s[first:second] + s[last:]
}

// pick returns the part of that name.
func pick(parts []Part, name string) (int, Part) {
	i := slices.IndexFunc(parts, func(p Part) bool { return p.Name == name })
	return i, parts[i]
}

// without takes a part away.
func without(name string) Change {
	return Change{Parts: func(p []Part) []Part { return slices.DeleteFunc(p, func(one Part) bool { return one.Name == name }) }}
}

// again puts a part a second time, at the end.
func again(name string) Change {
	return Change{Parts: func(p []Part) []Part { _, one := pick(p, name); return append(p, one) }}
}

// nested puts a part into a multipart of its own, inside of the signed one.
func nested(name string) Change {
	return Change{Parts: func(p []Part) []Part {
		i, one := pick(p, name)
		p[i] = Part{Name: "more", Lines: []string{`Content-Type: multipart/mixed; boundary="deep"`}, Body: []byte(joined("", "deep", []Part{one}))}
		return p
	}}
}

func partMutations() []mutation {
	return []mutation{
		{name: "daticert.xml twice", change: again("data"), want: malformed, says: "daticert.xml is there twice"},
		{name: "postacert.eml twice", change: again("original"), want: malformed, says: "postacert.eml is there twice"},
		{name: "no daticert.xml", change: without("data"), want: malformed, says: "no certification data"},
		{name: "no daticert.xml in a receipt", kind: "receipt", change: without("data"), want: malformed, says: "no certification data"},
		{name: "no postacert.eml", change: without("original"), want: malformed, says: "no original message"},
		{name: "no readable text", change: without("text"), want: valid},
		{name: "daticert.xml one multipart deeper", change: nested("data"), want: malformed, says: "no certification data"},
		{name: "daticert.xml in the original alone", change: Change{Parts: func(p []Part) []Part {
			i, one := pick(p, "data")
			j, letter := pick(p, "original")
			p[j].Body = []byte("Content-Type: multipart/mixed; boundary=\"in\"\r\n\r\n" + joined("", "in", []Part{one, letter}))
			return slices.Delete(p, i, i+1)
		}}, want: malformed, says: "no certification data"},
		{name: "daticert.xml under another name", change: Change{Parts: line("data", "Content-Type", `application/xml; name="dati.xml"`)}, want: malformed, says: "no certification data"},
		{name: "postacert.eml in base64", change: Change{Parts: func(p []Part) []Part {
			i, one := pick(p, "original")
			p[i].Lines = []string{`Content-Type: message/rfc822; name="postacert.eml"`, "Content-Transfer-Encoding: base64"}
			p[i].Body = encode("base64", 76, one.Body)
			return p
		}}, want: malformed, says: "postacert.eml is encoded"},
		{name: "daticert.xml in an encoding that does not exist", change: Change{Style: func(s *Style) { s.DataCoding = "7bit" },
			Parts: line("data", "Content-Transfer-Encoding", "x-uuencode")}, want: malformed, says: "x-uuencode"},
		{name: "daticert.xml in broken base64", change: Change{Style: func(s *Style) { s.DataCoding = "base64" }, Parts: func(p []Part) []Part {
			i, _ := pick(p, "data")
			p[i].Body = []byte("PD94*bWw\r\n")
			return p
		}}, want: malformed, says: "base64"},
		{name: "multipart/alternative is signed", change: Change{Signed: replaced("multipart/mixed", "multipart/alternative")}, want: malformed, says: "the type is"},
		{name: "a text is signed", change: Change{Signed: func(string) string { return "Content-Type: text/plain\r\n\r\nciao\r\n" }}, want: malformed, says: "the type is"},
		{name: "the signed multipart has no boundary", change: Change{Signed: replaced("boundary=", "x-boundary=")}, want: malformed, says: "parts"},
		{name: "the signed multipart has no parts", change: Change{Signed: func(s string) string {
			return s[:strings.Index(s, "\r\n\r\n")] + "\r\n\r\nnothing\r\n"
		}}, want: malformed, says: "parts"},
		{name: "an envelope inside of a signed message", change: Change{Parts: func(p []Part) []Part {
			_, letter := pick(p, "original")
			return []Part{{Name: "text", Lines: []string{"Content-Type: text/plain"}, Body: []byte("ciao\r\n")},
				{Name: "inner", Lines: []string{"Content-Type: message/rfc822"}, Body: letter.Body}}
		}}, want: malformed, says: "no certification data"},
		{name: "a genuine anomaly envelope of another provider", change: Change{Parts: without("data").Parts, Fields: Set("X-Trasporto", "errore")}, want: malformed, says: "without certification data"},
		{name: "a take-charge without daticert.xml", kind: "take-charge", change: without("data"), want: kept(pec.ProblemMalformed), says: "no certification data"},
	}
}
