// Package texts renders the readable part of what we send: the Italian words of the technical rules, whose templates
// stand beside it. It decides nothing and writes no header field and no MIME: package compose does.
package texts

import (
	"embed"
	"fmt"
	"html"
	"strings"
	"text/template"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

//go:embed *.txt
var files embed.FS

// templates are the readable texts; nothing but text goes through them, header fields never.
var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "*.txt"))

// Data is what the texts speak of. Its strings may hold anything: Render makes each of them one line, so that none
// breaks out of its place.
type Data struct {
	Day, Hour, Zone string // as of At
	Subject, Sender string
	Recipients      []Recipient
	Recipient       string // the one that a notification is about
	Detail, Virus   string
	Encrypted       bool // of envelopes: no antivirus could look into part of the message
	Identifier      pec.Identifier
}

// Recipient is an addressee as the texts list it. Type is in Italian, and "" where the list does not say it.
type Recipient struct{ Address, Type string }

// The words for the types of recipient in the acceptance receipt. [C031]
const (
	certified = "posta certificata"
	ordinary  = "posta ordinaria"
)

// UnknownSender stands for the sender of a message that names none.
const UnknownSender = "mittente sconosciuto"

// At is the instant of a message, in the legal time of Italy, and nothing else. [C188]
func At(t time.Time) Data {
	t = pec.ItalianTime(t)
	return Data{Day: t.Format(pec.DayFormat), Hour: t.Format(pec.HourFormat), Zone: t.Format(pec.ZoneFormat)}
}

// Of is what the texts say of certification data.
func Of(c *pec.CertData) Data {
	d := At(c.Time)
	d.Sender, d.Detail, d.Identifier = c.Sender.String(), c.Detail, c.Identifier
	if c.Subject != nil {
		d.Subject = strings.TrimSpace(*c.Subject)
	}
	if c.Delivery != nil {
		d.Recipient = c.Delivery.String()
	}
	for _, r := range c.Recipients {
		word := certified
		if r.Type == pec.Ordinary {
			word = ordinary
		}
		d.Recipients = append(d.Recipients, Recipient{Address: r.Address.String(), Type: word})
	}
	if c.Kind == pec.KindTakeCharge {
		// The text says that these were accepted: it cannot list whom others serve. [C126]
		d.Recipients = nil
		for _, a := range c.Taken {
			d.Recipients = append(d.Recipients, Recipient{Address: a.String()})
		}
	}
	return d
}

// Render makes the text that a template of that name defines, in lines that end in LF. An error is a fault of ours:
// no such template.
func Render(name string, d Data) (string, error) {
	d.Subject, d.Sender, d.Recipient = rfc822.OneLine(d.Subject), rfc822.OneLine(d.Sender), rfc822.OneLine(d.Recipient)
	d.Detail, d.Virus = rfc822.OneLine(d.Detail), rfc822.OneLine(d.Virus)
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, d); err != nil {
		return "", fmt.Errorf("text %s: %w", name, err)
	}
	return b.String(), nil
}

// HTML is a rendered text as a page that refers to nothing and does nothing. [C193] [C194] [C195]
func HTML(text string) string {
	title, _, _ := strings.Cut(text, "\n")
	lines := strings.ReplaceAll(html.EscapeString(strings.TrimSuffix(text, "\n")), "\n", "<br>\n")
	return "<!DOCTYPE html>\n<html lang=\"it\">\n<head><title>" + html.EscapeString(title) + "</title></head>\n<body>\n<p>" +
		lines + "</p>\n</body>\n</html>\n"
}
