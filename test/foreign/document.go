package foreign

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// Document is how daticert.xml is spelled.
type Document struct {
	BOM        bool
	Encoding   string // of the XML declaration; "" is UTF-8
	Prologue   string // between the declaration and the document: DOCTYPE, stylesheet, comment
	Indent     string
	EOL        string // "" is LF
	End        string // what follows the last line
	Pair       bool   // <ricevuta …></ricevuta>
	NoReplies  bool   // <risposte></risposte> is empty
	BareMsgID  bool   // < and > of msgid stand as they are, which is not XML
	NoError    bool   // the attribute "errore" is left to its default
	Namespaces bool   // a schema location, as some tools add it
}

// legalTime is that of Italy, to the second, computed here: the last Sundays of March and October at 01:00 UTC.
func legalTime(t time.Time) time.Time {
	change := func(month time.Month) time.Time {
		last := time.Date(t.UTC().Year(), month, 31, 1, 0, 0, 0, time.UTC)
		return last.AddDate(0, 0, -int(last.Weekday()))
	}
	if t.Before(change(time.March)) || !t.Before(change(time.October)) {
		return t.In(time.FixedZone("CET", 3600))
	}
	return t.In(time.FixedZone("CEST", 7200))
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}

// write makes the document.
func (d Document) write(f *Facts) string {
	eol := d.EOL
	if eol == "" {
		eol = "\n"
	}
	lines := append([]string{d.root(f)}, d.envelope(f)...)
	lines = append(append(lines, d.data(f)...), "</postacert>")
	encoding := d.Encoding
	if encoding == "" {
		encoding = "UTF-8"
	}
	head := `<?xml version="1.0" encoding="` + encoding + `"?>` + eol
	if d.Prologue != "" {
		head += strings.ReplaceAll(d.Prologue, "\n", eol) + eol
	}
	if d.BOM {
		head = "\uFEFF" + head
	}
	return head + strings.Join(lines, eol) + eol + d.End
}

func (d Document) root(f *Facts) string {
	more := ""
	if d.Namespaces {
		more = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="postacert.xsd"`
	}
	if !d.NoError {
		more = ` errore="` + f.Error + `"` + more
	}
	return `<postacert tipo="` + f.Kind + `"` + more + `>`
}

func (d Document) envelope(f *Facts) []string {
	in, deep := d.Indent, d.Indent+d.Indent
	lines := []string{in + "<intestazione>", deep + "<mittente>" + text(f.Sender) + "</mittente>"}
	for _, r := range f.Recipients {
		lines = append(lines, deep+`<destinatari tipo="`+r.Type+`">`+text(r.Address)+"</destinatari>")
	}
	replies := text(f.ReplyTo)
	if d.NoReplies {
		replies = ""
	}
	return append(lines, deep+"<risposte>"+replies+"</risposte>", deep+"<oggetto>"+text(f.Subject)+"</oggetto>", in+"</intestazione>")
}

func (d Document) data(f *Facts) []string {
	in, deep, deeper := d.Indent, d.Indent+d.Indent, d.Indent+d.Indent+d.Indent
	at := legalTime(f.Time)
	lines := []string{
		in + "<dati>", deep + "<gestore-emittente>" + text(f.Provider) + "</gestore-emittente>", deep + `<data zona="` + at.Format("-0700") + `">`,
		deeper + "<giorno>" + at.Format("02/01/2006") + "</giorno>", deeper + "<ora>" + at.Format("15:04:05") + "</ora>", deep + "</data>",
		deep + "<identificativo>" + text(f.Identifier) + "</identificativo>",
	}
	add := func(format, value string) {
		if value != "" {
			lines = append(lines, deep+fmt.Sprintf(format, value))
		}
	}
	msgid := text(f.MessageID)
	if d.BareMsgID {
		msgid = f.MessageID
	}
	add("<msgid>%s</msgid>", msgid)
	if d.Pair {
		add(`<ricevuta tipo="%s"></ricevuta>`, f.Receipt)
	} else {
		add(`<ricevuta tipo="%s" />`, f.Receipt)
	}
	add("<consegna>%s</consegna>", text(f.Delivery))
	for _, a := range f.Taken {
		add("<ricezione>%s</ricezione>", text(a))
	}
	add("<errore-esteso>%s</errore-esteso>", text(f.Detail))
	return append(lines, in+"</dati>")
}
