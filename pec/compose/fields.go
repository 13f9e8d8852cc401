package compose

import (
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// builder makes the header of a message of ours.
type builder struct{ header pec.Header }

// add appends a field of ours. The value is one line or folded already.
func (b *builder) add(name, value string) {
	b.header = append(b.header, pec.Field{Name: name, Value: " " + value})
}

// inherit copies fields of the original unmodified: all of Received, whose number means something, and the first of
// any other, of which a message may have but one (RFC 5322, 3.6); the rest remain readable in the original. Bytes beyond
// ASCII are inherited too, since the rule is MUST. [C021] [C075] [C134]
func (b *builder) inherit(original pec.Header, names ...string) {
	for _, name := range names {
		fields := original.Values(name)
		if len(fields) > 1 && name != "Received" {
			fields = fields[:1]
		}
		for _, f := range fields {
			b.header = append(b.header, pec.Field{Name: name, Value: sound(f.Value)})
		}
	}
}

// sound is value, unless it has what would end the field or the header: a line end that does not fold, or NUL.
func sound(value string) string {
	if !strings.ContainsAny(value, "\r\n\x00") {
		return value
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", " ").Replace(value), "\n")
	var b strings.Builder
	for i, line := range lines {
		switch {
		case i == 0:
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			b.WriteString("\r\n")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return b.String()
}

func (b *builder) date(t time.Time) { b.add("Date", pec.ItalianTime(t).Format(time.RFC1123Z)) } // [C051] [C069] [C076]

// subject puts the prefix before the subject of the original; the prefix alone when that has none.
func (b *builder) subject(prefix string, subject *string) {
	text := ""
	if subject != nil {
		text = *subject
	}
	b.add("Subject", pec.EncodeSubject(prefix, text))
}

func (b *builder) reference(c *pec.CertData) {
	if id := c.Reference(); id != "" {
		b.add(pec.FieldReference, id)
	}
}

// author adds the From of an envelope: the provider, on behalf of the sender. An address has no character that is
// special within quotes. There is no Sender. [C005] [C006] [C078] [C138]
func (b *builder) author(p pec.Provider, sender string) {
	value := `"` + pec.OnBehalfOf + sender + `" <` + p.Address.String() + ">"
	if len("From: ")+len(value) > rfc822.MaxLine {
		value = strings.Replace(value, `" <`, "\"\r\n <", 1)
	}
	b.add("From", value)
}

// replyTo copies Reply-To, or makes one of From where there is none, or nothing in it. [C007] [C008] [C079]
func (b *builder) replyTo(original pec.Header, otherwise pec.Address) {
	switch from := fromAddress(original); {
	case original.Get("Reply-To") != "":
		b.inherit(original, "Reply-To")
	case !from.IsZero():
		b.add("Reply-To", from.String())
	case !otherwise.IsZero():
		b.add("Reply-To", otherwise.String())
	}
}

// fromAddress is the author of the original, zero when there is not exactly one.
func fromAddress(original pec.Header) pec.Address {
	list, err := pec.ParseAddressList(original.Get("From"))
	if err != nil || len(list) != 1 {
		return pec.Address{}
	}
	return list[0]
}

// finish adds what every message has and returns it all. [C001]
func (b *builder) finish(boundary string) pec.Header {
	b.add("MIME-Version", "1.0")
	b.add("Content-Type", `multipart/signed; protocol="application/pkcs7-signature";`+"\r\n"+
		` micalg=sha-256; boundary="`+boundary+`"`)
	return b.header
}
