package foreign

import (
	"slices"
	"strings"
)

// Set replaces the value of a field, and adds it when it is not there.
func Set(name, value string) func([]Field) []Field {
	return func(list []Field) []Field {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				list[i].Value = " " + value
				return list
			}
		}
		return append(list, Field{name, " " + value})
	}
}

// add puts fields at the end.
func add(more ...Field) func([]Field) []Field {
	return func(list []Field) []Field { return append(list, more...) }
}

// top puts fields before all others, as relays and mailboxes do.
func top(more ...Field) func([]Field) []Field {
	return func(list []Field) []Field { return append(more, list...) }
}

// drop takes a field away.
func drop(name string) func([]Field) []Field {
	return func(list []Field) []Field {
		return slices.DeleteFunc(list, func(f Field) bool { return strings.EqualFold(f.Name, name) })
	}
}

// rename spells the name of a field otherwise.
func rename(name, as string) func([]Field) []Field {
	return func(list []Field) []Field {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				list[i].Name = as
			}
		}
		return list
	}
}

// edit changes the value of a field.
func edit(name, old, with string) func([]Field) []Field {
	return func(list []Field) []Field {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				list[i].Value = strings.ReplaceAll(list[i].Value, old, with)
			}
		}
		return list
	}
}

func headers() []Difference {
	return slices.Concat(kindFields(), foreignFields(), addressFields(), subjects())
}

func kindFields() []Difference {
	return []Difference{
		{"X-Tiporicevuta", "C011, 10.3.5", "envelope", style(func(s *Style) { s.KindField = "X-Tiporicevuta" })},
		{"X-TIPORICEVUTA", "C011, 10.3.5", "envelope", style(func(s *Style) { s.KindField = "X-TIPORICEVUTA" })},
		{"X-TipoRicevuta absent", "10.3.5", "envelope", style(func(s *Style) { s.KindField = "" })},
		{"X-TipoRicevuta of no meaning", "10.3.5", "envelope", style(func(s *Style) { s.KindValue = "raccomandata" })},
		{"names of our fields in small letters", "C011", "", fields(func(l []Field) []Field {
			for i, f := range l {
				if strings.HasPrefix(f.Name, "X-") {
					l[i].Name = strings.ToLower(f.Name)
				}
			}
			return l
		})},
		{"value of X-Trasporto in capitals", "C011", "envelope", fields(edit("X-Trasporto", "posta", "Posta"))},
		{"value of X-Ricevuta in capitals", "C011", "receipt", fields(edit("X-Ricevuta", "avvenuta", "AVVENUTA"))},
		{"fields of the system before the others", "10.2", "", style(func(s *Style) { s.FieldsLast = false })},
		{"fields of the system after Content-Type", "10.2", "", style(func(s *Style) { s.FieldsLast = true })},
		{"fields in reverse order", "10.2", "", fields(func(l []Field) []Field { slices.Reverse(l); return l })},
	}
}

func foreignFields() []Difference {
	return []Difference{
		{"DKIM-Signature", "C260", "", fields(top(Field{"DKIM-Signature", " v=1; a=rsa-sha256; d=pec.example; s=k;\r\n\th=from:to; bh=AAAA=; b=BBBB="}))},
		{"X-REM-Subject", "C260", "", fields(add(Field{"X-REM-Subject", " REM ContentConsignment: prova"}))},
		{"X-CrmlId and X-CP", "C260", "", fields(add(Field{"X-CrmlId", " 12"}, Field{"X-CP-Something", " x"}, Field{"X-SentBy", " y"}, Field{"X-Attachment", " z"}))},
		{"copies of the original's own fields", "C260", "", fields(add(Field{"X-Priority", " 1"}, Field{"Importance", " high"},
			Field{"Disposition-Notification-To", " dora@delta.example"}, Field{"In-Reply-To", " <x@y.example>"}))},
		{"Return-Path and Delivered-To", "10.3.8", "", fields(top(Field{"Return-Path", " <posta-certificata@delta.example>"}, Field{"Delivered-To", " mario"},
			Field{"Received", " from mx.delta.example by mx.alfa.example;\r\n\tSat, 19 Sep 2026 10:11:12 +0200"}))},
		{"Received of three hops", "C260", "", fields(top(Field{"Received", " by a"}, Field{"Received", " by b"}, Field{"Received", " by c"}))},
	}
}

func addressFields() []Difference {
	return []Difference{
		{"From bare", "C261", "receipt", style(func(s *Style) { s.Author = "%s" })},
		{"From with a name", "C261", "receipt", style(func(s *Style) { s.Author = "Posta Certificata Legalmail <%s>" })},
		{"From with a quoted name", "C261", "receipt", style(func(s *Style) { s.Author = `"Posta Certificata" <%s>` })},
		{"From with its own address for a name", "C261", "receipt", style(func(s *Style) { s.Author = `"%s" <%s>` })},
		{"From in angle brackets", "C261", "receipt", style(func(s *Style) { s.Author = "<%s>" })},
		{"From with a name in encoded words", "C261", "receipt", style(func(s *Style) { s.Author = "=?iso-8859-1?Q?Posta_=E8?= <%s>" })},
		{"From with the sender's name and address", "C078", "envelope", fields(edit("From", "Per conto di: ", "Per conto di: Dora "))},
		{"Reply-To reduced to the address", "10.3.10", "envelope", facts(func(f *Facts) { f.ReplyTo = "Dora <" + f.Sender + ">" })},
		{"Reply-To absent", "10.3.10", "envelope", fields(drop("Reply-To"))},
		{"Reply-To with a name", "10.3.10", "envelope", fields(edit("Reply-To", " ", " Dora D. "))},
		{"To with a space after a dot", "10.3.6", "", fields(edit("To", "alfa.example", "alfa. example"))},
		{"To with stray brackets", "10.3.6", "", fields(edit("To", "@", ">\\@"))},
		{"To with an address for a name", "10.3.6", "", fields(func(l []Field) []Field {
			for i := range l {
				if l[i].Name == "To" {
					l[i].Value = ` "` + strings.TrimSpace(l[i].Value) + `" <` + strings.TrimSpace(l[i].Value) + ">"
				}
			}
			return l
		})},
		{"To of undisclosed recipients", "10.3.6", "envelope", fields(Set("To", "undisclosed-recipients:;"))},
		{"addresses in capitals", "2.2.1", "", Change{Data: func(s string) string {
			return strings.NewReplacer("alfa.example</destinatari>", "ALFA.Example</destinatari>", "dora@", "Dora@").Replace(s)
		}}},
	}
}

func subjects() []Difference {
	accented := func(f *Facts) { f.Subject = "Perché no: €uro — è così" }
	return []Difference{
		{"Subject encoded with its prefix", "section 1", "", style(func(s *Style) { s.WholeSubject = true })},
		{"Subject encoded after its prefix", "section 1", "", Change{Facts: accented, Fields: fieldsSubject("=?UTF-8?B?UGVyY2jDqSBubzog4oKsdXJvIOKAlCDDqCBjb3PDrA==?=", false)}},
		{"Subject encoded in folded words", "section 1", "", Change{Facts: accented,
			Fields: fieldsSubject("=?UTF-8?Q?Perch=C3=A9_no=3A_?=\r\n =?UTF-8?Q?=E2=82=ACuro_=E2=80=94_?=\r\n =?UTF-8?Q?=C3=A8_cos=C3=AC?=", false)}},
		{"Subject in bytes of UTF-8", "section 1", "", Change{Facts: accented, Fields: fieldsSubject("Perché no: €uro — è così", false)}},
		{"Subject with characters that were lost", "section 1", "", Change{Facts: accented, Fields: fieldsSubject("Perch? no: ?uro ? ? cos?", false)}},
		{"Subject that was cut", "section 1", "", Change{Facts: accented, Fields: fieldsSubject("Perch=?UTF-8?Q?=C3=A9?=", true)}},
		{"Subject empty", "section 1", "", facts(func(f *Facts) { f.Subject = "" })},
		{"Subject with entities", "section 1", "", facts(func(f *Facts) { f.Subject = `a < b & "c" > d` })},
		{"Subject of another PEC message", "10.3.13", "", facts(func(f *Facts) { f.Subject = "CONSEGNA: POSTA CERTIFICATA: prova" })},
		{"no reference: the client sent no Message-ID", "C038", "", facts(func(f *Facts) { f.MessageID = "" })},
	}
}

// fieldsSubject is a Subject in the spelling of a provider; cut leaves out the end of the prefix's text.
func fieldsSubject(value string, cut bool) func([]Field) []Field {
	return func(list []Field) []Field {
		for i := range list {
			if list[i].Name != "Subject" {
				continue
			}
			prefix, _, _ := strings.Cut(list[i].Value, ": ")
			if cut {
				value = "Perch"
			}
			list[i].Value = prefix + ": " + value
		}
		return list
	}
}

func contents() []Difference {
	return []Difference{
		{"receipt for a copy: no original, and complete all the same", "10.3.7", "receipt", facts(func(f *Facts) { f.Original = nil })},
		{"receipt of kind brief", "C176", "receipt", facts(func(f *Facts) { f.Receipt = "breve" })},
		{"receipt of kind concise", "C178", "receipt", facts(func(f *Facts) { f.Receipt, f.Original = "sintetica", nil })},
		{"ordinary recipients besides", "C087", "", facts(func(f *Facts) { f.Recipients = append(f.Recipients, Recipient{"esterno", "gino@gamma.example"}) })},
		{"recipients of other providers besides", "section 4", "", facts(func(f *Facts) {
			f.Recipients = append([]Recipient{{"certificato", "anna@beta.example"}}, f.Recipients...)
		})},
		{"original in bytes beyond ASCII, with long lines", "10.3.4", "", facts(func(f *Facts) {
			if f.Original != nil {
				f.Original = append(f.Original, []byte(strings.Repeat("\xe8\xf2", 6000)+"\r\n")...)
			}
		})},
		{"original with the delimiter of another multipart", "10.3.1", "", facts(func(f *Facts) {
			if f.Original != nil {
				f.Original = append(f.Original, "------=_Part_1\r\n--\r\n--x--\r\n"...)
			}
		})},
		{"original that is a PEC message itself", "10.3.13", "envelope", Change{By: func(f *Facts, who *Identity) {
			inner := *f
			inner.Original = f.letter()
			f.Original = Build(inner, OpenPEC(), who)
			f.Original = []byte(strings.ReplaceAll(string(f.Original), "----0123456789ABCDEF0123456789ABCDEF", "----ABCDEF0123456789ABCDEF0123456789"))
			f.Original = []byte(strings.ReplaceAll(string(f.Original), "----------=_1574000000-11111-2", "----------=_1474000000-11111-1"))
		}}},
		{"a further part", "C190", "", Change{Parts: func(p []Part) []Part {
			return append(p, Part{Name: "more", Lines: []string{"Content-Type: image/gif; name=logo.gif", "Content-Transfer-Encoding: base64"}, Body: []byte("R0lGODlh\r\n")})
		}}},
	}
}
