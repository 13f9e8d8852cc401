package pec

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

// AcceptanceMailbox and RefusalMailbox are the local parts, within the internal domain, of the two recipients that the
// access point adds for the agent.
const (
	AcceptanceMailbox = "accettazione"
	RefusalMailbox    = "rifiuto"
)

// ProviderMailbox is the local part of the address that is the author of all a provider generates. [C053] [C078]
const ProviderMailbox = "posta-certificata"

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

// onBehalfOf begins the display name of the author of an envelope. [C005] [C078] [C138]
const onBehalfOf = "Per conto di: "
