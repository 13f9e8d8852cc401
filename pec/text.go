package pec

import (
	"embed"
	"fmt"
	"html"
	"strings"
	"text/template"
	"time"

	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

//go:embed texts/*.txt
var textFiles embed.FS

// texts are the readable texts; nothing but text goes through them, header fields never.
var texts = template.Must(template.New("").Option("missingkey=error").ParseFS(textFiles, "texts/*.txt"))

// textData is what the texts speak of. Every string is one line: no text breaks out of its place.
type textData struct {
	Day, Hour, Zone string
	Subject, Sender string
	Recipients      []textRecipient
	Recipient       string
	Detail, Virus   string
	Identifier      Identifier
}

type textRecipient struct{ Address, Type string }

// The words for the types of recipient in the acceptance receipt. [C031]
const (
	textCertified = "posta certificata"
	textOrdinary  = "posta ordinaria"
)

// textUnknown stands for the sender of a message that has none.
const textUnknown = "mittente sconosciuto"

func timeText(t time.Time) textData {
	t = ItalianTime(t)
	return textData{Day: t.Format(dayFormat), Hour: t.Format(hourFormat), Zone: t.Format(zoneFormat)} // [C188]
}

// render makes a text, in lines that end in LF.
func render(name string, d textData) (string, error) {
	d.Subject, d.Sender, d.Recipient = rfc822.OneLine(d.Subject), rfc822.OneLine(d.Sender), rfc822.OneLine(d.Recipient)
	d.Detail, d.Virus = rfc822.OneLine(d.Detail), rfc822.OneLine(d.Virus)
	var b strings.Builder
	if err := texts.ExecuteTemplate(&b, name, d); err != nil {
		return "", fmt.Errorf("text %s: %w", name, err)
	}
	return b.String(), nil
}

// asHTML is the same text as a page that refers to nothing and does nothing. [C193] [C194] [C195]
func asHTML(text string) string {
	title, _, _ := strings.Cut(text, "\n")
	lines := strings.ReplaceAll(html.EscapeString(strings.TrimSuffix(text, "\n")), "\n", "<br>\n")
	return "<!DOCTYPE html>\n<html lang=\"it\">\n<head><title>" + html.EscapeString(title) + "</title></head>\n<body>\n<p>" +
		lines + "</p>\n</body>\n</html>\n"
}

// TimeoutDetail is the error text of the timeout notices: of the last one, when final, or of the first. The code of
// the last is what tells them apart. [C098] [C253]
func TimeoutDetail(provider string, final bool) string {
	if final {
		return "5.4.1 - " + provider + " - il messaggio non è stato consegnato nelle prime ventiquattro ore dal suo invio"
	}
	return provider + " - il messaggio non è stato consegnato nelle prime dodici ore dal suo invio"
}

// Italian is the reason in the words of the anomaly envelope. [C139]
func (p Problem) Italian() string {
	switch p {
	case ProblemNoSignature:
		return "messaggio di posta ordinaria, non proveniente da un gestore di posta certificata"
	case ProblemUnknownSigner:
		return "messaggio firmato da un soggetto che non è un gestore di posta certificata"
	case ProblemSignature:
		return "firma del gestore non valida: il contenuto è stato alterato"
	case ProblemRevoked:
		return "certificato di firma del gestore revocato"
	case ProblemExpired:
		return "certificato di firma del gestore scaduto o non ancora valido"
	case ProblemChain:
		return "certificato di firma del gestore non emesso da un'autorità riconosciuta"
	case ProblemMalformed:
		return "messaggio di posta certificata non conforme alle regole tecniche"
	case ProblemRouting:
		return "mittente o destinatari della trasmissione non corrispondenti ai dati di certificazione"
	case ProblemTooOld:
		return "busta di trasporto troppo vecchia per essere certificata"
	case ProblemOtherContent:
		return "identificativo già usato da un messaggio di contenuto diverso"
	case ProblemFrom:
		return "indirizzo del mittente non appartenente al gestore che ha firmato il messaggio"
	case ProblemUndelivered:
		return "avviso di mancato recapito a un destinatario di posta ordinaria, generato dal sistema di posta"
	}
	return "errore non specificato"
}
