package foreign

import (
	"fmt"
	"strings"
	"time"
)

// Recipient is one that the certification data name, "certificato" or "esterno".
type Recipient struct{ Type, Address string }

// Facts are what a message says, in the words of the wire.
type Facts struct {
	Kind, Error        string // attributes "tipo" and "errore"
	Sender             string
	Recipients         []Recipient
	ReplyTo, Subject   string
	Provider           string
	Identifier         string // of the envelope, without brackets
	MessageID          string // of the client, with brackets
	Time               time.Time
	Receipt            string // "completa", "breve", "sintetica", "" for none
	Delivery           string
	Taken              []string
	Detail             string
	Address            string // of the provider, in From
	To                 string // the value of To
	ID                 string // the Message-ID of the message itself, without brackets
	Original           []byte // postacert.eml, nil for none
	Title, Sentence    string // of the readable text
	SubjectPrefix      string
	FieldName, Purpose string // X-Trasporto or X-Ricevuta, and its value
}

// letter is what a user wrote, as providers attach it: 8-bit bytes, a line of 1,500 bytes, the reference as the last field.
func (f *Facts) letter() []byte {
	return []byte("Received: from desk by " + f.Address + "; Thu, 1 Jan 2026 00:00:00 +0100\r\nFrom: Dora <" + f.Sender + ">\r\nTo: " + f.To +
		"\r\nSubject: " + f.Subject + "\r\nMessage-ID: <" + f.Identifier + ">\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"X-Riferimento-Message-ID: " + f.MessageID + "\r\n\r\nPerch\xc3\xa9 s\xc3\xac.\r\n" + strings.Repeat("lunga ", 250) + "\r\nFine.\r\n")
}

// Envelope are the facts of a transport envelope by a provider, from a sender to certified recipients.
func Envelope(by *Identity, id string, at time.Time, from string, to ...string) Facts {
	f := Facts{
		Kind: "posta-certificata", Error: "nessuno", Sender: from, ReplyTo: from, Subject: "Richiesta di prova", Provider: by.Name,
		Identifier: "opec2112.20260919101112.11111.22.1.63." + id, MessageID: "<" + id + "@client.example>", Time: at.Truncate(time.Second),
		Receipt: "completa", Address: by.Address, To: strings.Join(to, ", "), Title: "Messaggio di posta certificata",
		Sentence: "è stato inviato da", SubjectPrefix: "POSTA CERTIFICATA: ", FieldName: "X-Trasporto", Purpose: "posta-certificata",
	}
	_, domain, _ := strings.Cut(from, "@")
	f.Identifier += "@" + domain
	f.ID = f.Identifier
	for _, a := range to {
		f.Recipients = append(f.Recipients, Recipient{"certificato", a})
	}
	f.Original = f.letter()
	return f
}

// About are the facts of a receipt or notice about an envelope, by the provider of the recipient. kind is the value of "tipo";
// to is the addressee.
func (f *Facts) About(by *Identity, kind, recipient, to string, at time.Time) Facts {
	n := *f
	n.Kind, n.Purpose, n.FieldName, n.Error, n.Receipt = kind, kind, "X-Ricevuta", "nessuno", ""
	n.Provider, n.Address, n.To, n.Time = by.Name, by.Address, to, at.Truncate(time.Second)
	n.ID, n.Original, n.Delivery, n.Taken = fmt.Sprintf("A1B2C3D4.%08X.0000FFFF.12345678.%s", at.UnixNano()&0xffffffff, by.Address), nil, recipient, nil
	switch kind {
	case "avvenuta-consegna":
		n.Title, n.Sentence, n.SubjectPrefix = "Ricevuta di avvenuta consegna", "è stato consegnato nella casella di destinazione", "CONSEGNA: "
		n.Receipt, n.Original = "completa", f.Original
	case "errore-consegna":
		n.Title, n.Sentence, n.SubjectPrefix = "Avviso di mancata consegna", "è stato rilevato un errore", "AVVISO DI MANCATA CONSEGNA: "
		n.Error, n.Detail = "no-dest", "5.1.1 - "+by.Name+" - indirizzo non valido"
	case "presa-in-carico":
		n.Title, n.Sentence, n.SubjectPrefix = "Ricevuta di presa in carico", "è stato accettato dal sistema", "PRESA IN CARICO: "
		n.Delivery, n.Taken = "", []string{recipient}
	case "rilevazione-virus":
		n.Title, n.Sentence, n.SubjectPrefix = "Avviso di rilevazione virus", "è stato rilevato un problema di sicurezza", "PROBLEMA DI SICUREZZA: "
		n.Error, n.Detail = "virus", "5.5.1 - "+by.Name+" - presenza di un virus nel messaggio"
	case "accettazione":
		n.Title, n.Sentence, n.SubjectPrefix = "Ricevuta di accettazione", "è stato accettato dal sistema ed inoltrato", "ACCETTAZIONE: "
		n.Delivery = ""
	case "non-accettazione":
		n.Title, n.Sentence, n.SubjectPrefix = "Errore nell'accettazione del messaggio", "è stato rilevato un problema", "AVVISO DI NON ACCETTAZIONE: "
		n.Error, n.Detail, n.Delivery = "altro", "campo Bcc", ""
	case "preavviso-errore-consegna":
		n.Title, n.Sentence, n.SubjectPrefix = "Avviso di mancata consegna", "non è stato consegnato", "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "
		n.Error, n.Detail = "altro", "5.4.1 - "+by.Name+" - tempo"
	}
	return n
}
