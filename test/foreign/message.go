package foreign

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// Field is a field of the outer header; Value has its leading space, and CRLF where it is folded.
type Field struct{ Name, Value string }

// Part is a part of a multipart: the lines of its header, and its bytes as they stand in the message.
type Part struct {
	Name  string // for whoever changes the list: "text", "data", "original", or another
	Lines []string
	Body  []byte
}

// Style is how a provider's software spells a message. The zero value is no message; see [OpenPEC] and [Java].
type Style struct {
	Document Document
	CMS      CMS

	Order      []string // of the parts
	Plain      bool     // the text has no HTML form
	TextCoding string   // "quoted-printable", "7bit", "8bit"
	Note       string   // what the text says beyond the model

	DataCoding      string // of daticert.xml: "base64", "quoted-printable", "7bit", "8bit", "binary"
	Columns         int    // of base64
	DataDisposition string // "inline", "attachment", "" for no field
	DataType        string // of daticert.xml
	BareNames       bool   // name=daticert.xml
	NoName          bool   // the name stands in Content-Disposition alone
	LetterCoding    string // field of postacert.eml, "" for none
	LetterDisposed  string

	InnerBoundary, InnerCoding, InnerPreamble string
	OuterBoundary, OuterPreamble, OuterEnd    string
	SignedType                                string // the value of the outer Content-Type; %s is the boundary
	SignatureType                             string // of the signature part, without its name
	SignatureDisposed                         string
	SignatureColumns                          int

	Author       string // the value of From of receipts; %s is the provider's address
	KindField    string // the spelling of X-TipoRicevuta, "" for none
	KindValue    string // in the place of the right one
	WholeSubject bool   // the prefix is inside of the encoded word
	FieldsLast   bool   // the fields of the system follow Content-Type
	More         []Field
}

// Change alters a message at one of the stages of its making. Those that are nil change nothing.
type Change struct {
	Facts  func(*Facts)
	Style  func(*Style)
	Data   func(document string) string      // daticert.xml, before it is encoded
	Parts  func([]Part) []Part               // of the signed multipart
	Signed func(content string) string       // after the parts were joined, before it is signed
	CMS    func(*CMS)                        // after the style
	Fields func([]Field) []Field             // the outer header, without MIME-Version and Content-Type
	Sent   func(message string) string       // the whole message, after it was signed
	By     func(facts *Facts, who *Identity) // facts that depend on who signs
}

// Build makes a message.
func Build(f Facts, s Style, who *Identity, changes ...Change) []byte {
	s.CMS.Time = f.Time
	for _, c := range changes {
		call(c.Facts, &f)
		call(c.Style, &s)
		if c.By != nil {
			c.By(&f, who)
		}
	}
	document := s.Document.write(&f)
	for _, c := range changes {
		document = through(c.Data, document)
		call(c.CMS, &s.CMS)
	}
	parts := s.parts(&f, document)
	for _, c := range changes {
		parts = through(c.Parts, parts)
	}
	content := s.mixed(parts)
	fields := s.fields(&f)
	for _, c := range changes {
		content = through(c.Signed, content)
		fields = through(c.Fields, fields)
	}
	message := s.message(fields, content, s.CMS.sign(who, []byte(content)))
	for _, c := range changes {
		message = through(c.Sent, message)
	}
	return []byte(message)
}

func call[T any](f func(*T), v *T) {
	if f != nil {
		f(v)
	}
}

func through[T any](f func(T) T, v T) T {
	if f == nil {
		return v
	}
	return f(v)
}

// parts are those of the signed multipart, in the order of the style.
func (s *Style) parts(f *Facts, document string) []Part {
	all := map[string]Part{
		"text": s.text(f),
		"data": s.named("daticert.xml", s.DataType, s.DataCoding, s.DataDisposition),
	}
	if f.Original != nil {
		all["original"] = s.named("postacert.eml", "message/rfc822", s.LetterCoding, s.LetterDisposed)
	}
	bodies := map[string][]byte{"text": all["text"].Body, "data": encode(s.DataCoding, s.Columns, []byte(document)), "original": f.Original}
	var out []Part
	for _, name := range s.Order {
		if p, there := all[name]; there {
			p.Name, p.Body = name, bodies[name]
			out = append(out, p)
		}
	}
	return out
}

// named is the header of a part with a name of its own.
func (s *Style) named(file, kind, coding, disposition string) Part {
	quoted := `"` + file + `"`
	if s.BareNames {
		quoted = file
	}
	p := Part{}
	if s.NoName {
		p.Lines = append(p.Lines, "Content-Type: "+kind)
	} else {
		p.Lines = append(p.Lines, "Content-Type: "+kind+"; name="+quoted)
	}
	if coding != "" {
		p.Lines = append(p.Lines, "Content-Transfer-Encoding: "+coding)
	}
	if disposition != "" {
		p.Lines = append(p.Lines, "Content-Disposition: "+disposition+"; filename="+quoted)
	}
	return p
}

// text is the readable part.
func (s *Style) text(f *Facts) Part {
	at := legalTime(f.Time)
	lines := []string{
		f.Title, "Il giorno " + at.Format("02/01/2006") + " alle ore " + at.Format("15:04:05 (-0700)") + " il messaggio", `"` + f.Subject + `" ` + f.Sentence,
		`da "` + f.Sender + `" ed indirizzato a:`,
	}
	for _, r := range f.Recipients {
		lines = append(lines, r.Address)
	}
	lines = append(lines, "Identificativo messaggio: "+f.Identifier, s.Note)
	latin := latin1(strings.Join(lines, "\r\n") + "\r\n")
	plain := Part{Name: "text", Lines: s.textHeader("text/plain"), Body: encode(s.TextCoding, 76, latin)}
	if s.Plain {
		return plain
	}
	page := latin1("<html><head><title></title><STYLE>p { margin: 0 }</STYLE></head><body><p>" + strings.Join(lines, "<br>\r\n") + "</p></body></html>\r\n")
	hypertext := Part{Lines: s.textHeader("text/html"), Body: encode(s.TextCoding, 76, page)}
	boundary := s.InnerBoundary + "-a"
	return Part{Name: "text", Lines: []string{`Content-Type: multipart/alternative; boundary="` + boundary + `"`},
		Body: []byte(joined("", boundary, []Part{plain, hypertext}))}
}

func (s *Style) textHeader(kind string) []string {
	return []string{"Content-Type: " + kind + "; charset=iso-8859-1", "Content-Transfer-Encoding: " + s.TextCoding, "Content-Disposition: inline"}
}

func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// encode writes bytes as a transfer encoding has them.
func encode(coding string, columns int, b []byte) []byte {
	switch coding {
	case "base64":
		text := base64.StdEncoding.EncodeToString(b)
		var lines []string
		for chunk := range slices.Chunk([]byte(text), max(4, columns)) {
			lines = append(lines, string(chunk))
		}
		return []byte(strings.Join(lines, "\r\n") + "\r\n")
	case "quoted-printable":
		var out bytes.Buffer
		w := quotedprintable.NewWriter(&out)
		_, _ = w.Write(b) // a buffer never fails
		_ = w.Close()
		return toCRLF(out.Bytes())
	}
	return toCRLF(b) // SMTP carries no other line ends, whatever a part says
}

func toCRLF(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// mixed is the signed entity.
func (s *Style) mixed(parts []Part) string {
	head := "Content-Type: multipart/mixed; boundary=\"" + s.InnerBoundary + "\"\r\n"
	if s.InnerCoding != "" {
		head += "Content-Transfer-Encoding: " + s.InnerCoding + "\r\n"
	}
	return head + "\r\n" + joined(s.InnerPreamble, s.InnerBoundary, parts)
}

// joined is the body of a multipart.
func joined(preamble, boundary string, parts []Part) string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, p := range parts {
		b.WriteString("\r\n--" + boundary + "\r\n" + strings.Join(p.Lines, "\r\n") + "\r\n\r\n")
		b.Write(p.Body)
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return strings.TrimPrefix(b.String(), "\r\n")
}

// fields is the outer header.
func (s *Style) fields(f *Facts) []Field {
	subject := " " + f.SubjectPrefix + f.Subject
	if s.WholeSubject {
		subject = " =?UTF-8?Q?" + strings.ReplaceAll(strings.ReplaceAll(f.SubjectPrefix+f.Subject, " ", "_"), ":", "=3A") + "?="
	}
	from := strings.ReplaceAll(s.Author, "%s", f.Address)
	own := []Field{{f.FieldName, " " + f.Purpose}}
	if f.Kind == "posta-certificata" {
		from = `"Per conto di: ` + f.Sender + `" <` + f.Address + ">"
		if s.KindField != "" {
			own = append(own, Field{s.KindField, " " + or(s.KindValue, f.Receipt)})
		}
	}
	if f.MessageID != "" {
		own = append(own, Field{"X-Riferimento-Message-ID", " " + f.MessageID})
	}
	common := []Field{{"Date", " " + legalTime(f.Time).Format("Mon, 2 Jan 2006 15:04:05 -0700")}, {"Subject", subject}, {"From", " " + from}, {"To", " " + f.To},
		{"Message-ID", " <" + f.ID + ">"}}
	if f.Kind == "posta-certificata" {
		common = append(common, Field{"Reply-To", " " + f.ReplyTo})
	}
	if s.FieldsLast {
		return append(append(common, s.More...), own...)
	}
	return append(append(own[:1:1], common...), append(own[1:len(own):len(own)], s.More...)...)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// message puts all together.
func (s *Style) message(fields []Field, content string, cms []byte) string {
	var own strings.Builder
	for _, f := range fields {
		own.WriteString(f.Name + ":" + f.Value + "\r\n")
	}
	kind := "MIME-Version: 1.0\r\nContent-Type: " + strings.ReplaceAll(s.SignedType, "%s", s.OuterBoundary) + "\r\n"
	head := own.String() + kind
	if s.FieldsLast {
		head = kind + own.String()
	}
	signature := Part{
		Lines: []string{"Content-Type: " + s.SignatureType + `; name="smime.p7s"`, "Content-Transfer-Encoding: base64",
			"Content-Disposition: " + or(s.SignatureDisposed, "attachment") + `; filename="smime.p7s"`},
		Body: encode("base64", s.SignatureColumns, cms),
	}
	b := s.OuterBoundary
	return head + "\r\n" + s.OuterPreamble + fmt.Sprintf("--%s\r\n%s\r\n", b, content) + joined("", b, []Part{signature}) + s.OuterEnd
}
