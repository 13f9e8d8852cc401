package pec

// FaultCode names a formal exception of the access point; it is stable and goes to the log. [C026]
type FaultCode string

// The formal exceptions.
const (
	FaultDuplicate   FaultCode = "duplicate-field"
	FaultField       FaultCode = "field-too-long"
	FaultFields      FaultCode = "too-many-fields"
	FaultHeaderBytes FaultCode = "header-not-ascii"
	FaultSyntax      FaultCode = "field-syntax"
	FaultNUL         FaultCode = "nul-byte"
	FaultLine        FaultCode = "line-too-long"
	FaultFrom        FaultCode = "from"
	FaultSender      FaultCode = "sender-is-not-from"
	FaultTo          FaultCode = "to"
	FaultBcc         FaultCode = "bcc"
	FaultHidden      FaultCode = "hidden-recipient"
	FaultSize        FaultCode = "size"
	FaultProduct     FaultCode = "size-by-recipients"
)

// Italian completes the sentence "a problem was found because of …" in the notice to the user; detail is the field or
// the address that it is about.
func (f FaultCode) Italian(detail string) string {
	switch f {
	case FaultDuplicate:
		return "campo " + detail + " presente più di una volta"
	case FaultField:
		return "campo " + detail + " troppo lungo"
	case FaultFields:
		return "più di 1000 campi nell'intestazione"
	case FaultHeaderBytes:
		return "caratteri non ammessi nel campo " + detail
	case FaultSyntax:
		return "campo " + detail + " non valido"
	case FaultNUL:
		return "caratteri nulli nel messaggio"
	case FaultLine:
		return "righe più lunghe di 998 caratteri"
	case FaultFrom:
		return "campo From assente o non valido"
	case FaultSender:
		return "mittente del messaggio (" + detail + ") diverso da quello dichiarato al servizio"
	case FaultTo:
		return "campo To assente o privo di indirizzi validi"
	case FaultBcc:
		return "campo " + detail + " non ammesso: i destinatari in copia nascosta non sono previsti"
	case FaultHidden:
		return "destinatario " + detail + " non indicato nei campi To o Cc"
	case FaultSize:
		return "superamento della dimensione massima del messaggio"
	case FaultProduct:
		return "superamento del limite al prodotto tra dimensione e numero dei destinatari"
	}
	return "errore formale"
}

// Cause names why a delivery failed. [C252]
type Cause string

// The causes of a failed delivery.
const (
	CauseAddress  Cause = "address"
	CauseDomain   Cause = "domain"
	CauseDisabled Cause = "disabled"
	CauseFull     Cause = "full"
	CauseTooLarge Cause = "too-large"
	CauseExpired  Cause = "expired"
	CauseRefused  Cause = "refused"
	CauseVirus    Cause = "virus"

	CauseLoop      Cause = "loop"
	CauseForbidden Cause = "forbidden"
	CauseTimeout   Cause = "timeout" // the sender's provider waited for 24 hours
)

// Italian is the cause in the words of the notices; the first is of grade A, the others are ours (grade C).
func (c Cause) Italian() string {
	switch c {
	case CauseAddress:
		return "indirizzo non valido"
	case CauseDomain:
		return "dominio non valido"
	case CauseDisabled:
		return "casella disabilitata"
	case CauseFull:
		return "casella piena"
	case CauseTooLarge:
		return "dimensione del messaggio superiore a quella ammessa"
	case CauseExpired:
		return "tempo massimo di consegna superato"
	case CauseVirus:
		return "presenza di un virus nel messaggio"
	case CauseLoop:
		return "percorso di consegna circolare"
	case CauseForbidden:
		return "consegna non autorizzata dal sistema di destinazione"
	case CauseTimeout:
		return lastTimeout
	}
	return "messaggio rifiutato dal sistema di destinazione"
}

// UnnamedVirus stands for what was found when the notice of another provider does not say it. [C156]
const UnnamedVirus = "(virus di tipo non specificato)"

// lastTimeout is the cause of the last of the timeout notices.
const lastTimeout = "il messaggio non è stato consegnato nelle prime ventiquattro ore dal suo invio"

// TimeoutDetail is the error text of the timeout notices: of the last one, when final, or of the first. The code of
// the last is what tells them apart. [C098] [C253]
func TimeoutDetail(provider string, final bool) string {
	if final {
		return "5.4.1 - " + provider + " - " + lastTimeout
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
