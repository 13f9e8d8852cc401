package pec

import (
	"encoding/xml"
	"regexp"
)

// Kind is what a message of the PEC system is. Its zero value is KindNone, an ordinary message.
type Kind string

// The kinds of message. Their values are the words on the wire: of X-Ricevuta for receipts and notices, of
// X-Trasporto for the two envelopes, and of the attribute "tipo" of the certification data.
const (
	KindNone           Kind = ""
	KindTransport      Kind = "posta-certificata"         // [C022] [C074]
	KindAnomaly        Kind = "errore"                    // [C022] [C135]
	KindAcceptance     Kind = "accettazione"              // [C068]
	KindNonAcceptance  Kind = "non-accettazione"          // [C050]
	KindTakeCharge     Kind = "presa-in-carico"           // [C128]
	KindDelivery       Kind = "avvenuta-consegna"         // [C162]
	KindNonDelivery    Kind = "errore-consegna"           // [C180]
	KindTimeout        Kind = "preavviso-errore-consegna" // [C094]
	KindVirusDetection Kind = "rilevazione-virus"         // [C146]
)

// Names of the header fields that PEC adds. Header names are compared without case. [C011]
const (
	FieldReceipt     = "X-Ricevuta"
	FieldTransport   = "X-Trasporto"
	FieldReference   = "X-Riferimento-Message-ID" // [C019]
	FieldReceiptKind = "X-TipoRicevuta"           // [C081]
	FieldSecurity    = "X-VerificaSicurezza"
	FieldOriginator  = "X-Mittente"
)

// ErrorCode is the attribute "errore" of the certification data. Its zero value is not legal on the wire. [C200]
type ErrorCode string

// The error codes.
const (
	ErrorNone      ErrorCode = "nessuno"
	ErrorRecipient ErrorCode = "no-dest"
	ErrorDomain    ErrorCode = "no-dominio"
	ErrorVirus     ErrorCode = "virus"
	ErrorOther     ErrorCode = "altro"
)

// RecipientType tells certified recipients from ordinary ones. [C031] [C087]
type RecipientType string

// The types of recipient.
const (
	Certified RecipientType = "certificato"
	Ordinary  RecipientType = "esterno"
)

// ReceiptKind is the kind of delivery receipt that a sender asks for. Its zero value means: not stated. [C081]
type ReceiptKind string

// The kinds of delivery receipt.
const (
	ReceiptComplete ReceiptKind = "completa"
	ReceiptBrief    ReceiptKind = "breve"
	ReceiptConcise  ReceiptKind = "sintetica"
)

// Names of the parts of a PEC message. [C196] [C197]
const (
	PartOriginal  = "postacert.eml"
	PartCertData  = "daticert.xml"
	PartSignature = "smime.p7s"
)

// HashSuffix ends the name of a file in a brief receipt that has the hash of another. NameOfMessage and NameOfFile are
// the names, before it, of a message and of a file that have none. [C172] [C174]
const (
	HashSuffix    = ".hash"
	NameOfMessage = "messaggio.eml"
	NameOfFile    = "allegato"
)

// AcceptanceMailbox and RefusalMailbox are the local parts, within the internal domain, of the two recipients that the
// access point adds for the agent.
const (
	AcceptanceMailbox = "accettazione"
	RefusalMailbox    = "rifiuto"
)

// ProviderMailbox is the local part of the address that is the author of all a provider generates. [C053] [C078]
const ProviderMailbox = "posta-certificata"

// CertificateName is the CN that certificates of providers have by custom, whose name is in O. [C233]
const CertificateName = "Posta Certificata"

// DirectoryBase is the value of "o" in the DN under which the directory lists all providers. [C207]
const DirectoryBase = "postacert"

// subjectPrefix of each kind; the original subject follows. One space after the colon. [C052] [C070] [C077] [C095]
// [C128] [C137] [C146] [C162] [C180]
var subjectPrefix = map[Kind]string{
	KindTransport:      "POSTA CERTIFICATA: ",
	KindAnomaly:        "ANOMALIA MESSAGGIO: ",
	KindAcceptance:     "ACCETTAZIONE: ",
	KindNonAcceptance:  "AVVISO DI NON ACCETTAZIONE: ",
	KindTakeCharge:     "PRESA IN CARICO: ",
	KindDelivery:       "CONSEGNA: ",
	KindNonDelivery:    "AVVISO DI MANCATA CONSEGNA: ",
	KindTimeout:        "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
	KindVirusDetection: "PROBLEMA DI SICUREZZA: ",
}

// The prefixes of the two notices whose cause is a virus. [C063] [C154]
const (
	subjectNonAcceptanceVirus = "AVVISO DI NON ACCETTAZIONE PER VIRUS: "
	subjectNonDeliveryVirus   = "AVVISO DI MANCATA CONSEGNA PER VIRUS: "
)

// SubjectPrefix is what the Subject of a message of the kind begins with, in front of the subject of the original; it
// ends with a space. It is empty for a kind that is none, and is not that of the notices that a virus caused: see
// CertData.SubjectPrefix.
func (k Kind) SubjectPrefix() string { return subjectPrefix[k] }

// SubjectPrefix is what the Subject of the message that carries these data begins with, in front of the subject of the
// original; it ends with a space. It is empty for a kind that is none. [C052] [C063] [C154]
func (c *CertData) SubjectPrefix() string {
	switch {
	case c.Kind == KindNonAcceptance && c.Error == ErrorVirus:
		return subjectNonAcceptanceVirus
	case c.Kind == KindNonDelivery && c.Error == ErrorVirus:
		return subjectNonDeliveryVirus
	}
	return c.Kind.SubjectPrefix()
}

// OnBehalfOf begins the display name of the author of an envelope. [C005] [C078] [C138]
const OnBehalfOf = "Per conto di: "

// SecurityAlarm is the one value of FieldSecurity. [C018] [C062] [C154]
const SecurityAlarm = "errore"

// certDataXML is the document daticert.xml, in the order of its DTD (postacert.dtd). [C198] [C201] [C202]
type certDataXML struct {
	XMLName xml.Name  `xml:"postacert"`
	Kind    Kind      `xml:"tipo,attr"`
	Error   ErrorCode `xml:"errore,attr"`
	Header  struct {
		Sender     string         `xml:"mittente"`
		Recipients []recipientXML `xml:"destinatari"`
		ReplyTo    string         `xml:"risposte"`
		Subject    *string        `xml:"oggetto"`
	} `xml:"intestazione"`
	Data struct {
		Provider string `xml:"gestore-emittente"`
		Time     struct {
			Zone string `xml:"zona,attr"`
			Day  string `xml:"giorno"`
			Hour string `xml:"ora"`
		} `xml:"data"`
		Identifier Identifier  `xml:"identificativo"`
		MessageID  string      `xml:"msgid,omitempty"`
		Receipt    *receiptXML `xml:"ricevuta"`
		Delivery   *string     `xml:"consegna"`
		Taken      []string    `xml:"ricezione"`
		Detail     string      `xml:"errore-esteso,omitempty"`
	} `xml:"dati"`
}

type recipientXML struct {
	Type    RecipientType `xml:"tipo,attr"`
	Address string        `xml:",chardata"`
}

type receiptXML struct {
	Kind ReceiptKind `xml:"tipo,attr"`
}

// certDataContent is what each element of the document may contain: the names of its children, each followed by a
// space. An element that is not listed holds text only. [C201] [C202]
var certDataContent = map[string]*regexp.Regexp{
	"":             regexp.MustCompile(`^postacert $`),
	"postacert":    regexp.MustCompile(`^intestazione dati $`),
	"intestazione": regexp.MustCompile(`^mittente (destinatari )+risposte (oggetto )?$`),
	"dati": regexp.MustCompile(
		`^gestore-emittente data identificativo (msgid )?(ricevuta )?(consegna )?(ricezione )*(errore-esteso )?$`),
	"data":     regexp.MustCompile(`^giorno ora $`),
	"ricevuta": regexp.MustCompile(`^$`),
}

// certDataAttributes are the attributes of each element, and whether they must be there.
var certDataAttributes = map[string]map[string]bool{
	"postacert":   {"tipo": true, "errore": false},
	"destinatari": {"tipo": false},
	"data":        {"zona": true},
	"ricevuta":    {"tipo": true},
}
