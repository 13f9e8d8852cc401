package foreign

import (
	"github.com/ceralacca/ceralacca/pec"
)

func from(a string) func(*transaction)  { return func(x *transaction) { x.from = a } }
func to(a ...string) func(*transaction) { return func(x *transaction) { x.to = a } }

func transactionMutations() []mutation {
	sender := func(a string) Change { return facts(func(f *Facts) { f.Sender, f.ReplyTo = a, a }) }
	return []mutation{
		{name: "MAIL FROM of another user", smtp: from("gina@delta.example"), want: routing, says: "the sender of the SMTP envelope"},
		{name: "MAIL FROM of the provider", smtp: from("posta-certificata@delta.example"), want: routing, says: "the sender of the SMTP envelope"},
		{name: "MAIL FROM of the null sender", smtp: func(x *transaction) { x.null = true }, want: routing, says: "the sender of the SMTP envelope"},
		{name: "MAIL FROM in other case", smtp: from("Dora@Delta.EXAMPLE"), want: valid},
		{name: "RCPT TO of somebody who is not among destinatari", smtp: to("maria@alfa.example"), want: routing, says: "maria@alfa.example is not among"},
		{name: "RCPT TO of one more", smtp: to(mario, "maria@alfa.example"), want: routing, says: "maria@alfa.example is not among"},
		{name: "RCPT TO in other case", smtp: to("MARIO@alfa.example"), want: valid},
		{name: "RCPT TO as esterno", change: facts(func(f *Facts) { f.Recipients = []Recipient{{"esterno", mario}} }), want: routing, says: "is not among the certified"},
		{name: "RCPT TO of a subaddress that is not certified", smtp: to("mario+atti@alfa.example"), want: routing, says: "is not among"},
		{name: "RCPT TO of the service address alone", smtp: to(service), want: kept(pec.ProblemRouting), says: "is not among"},
		{name: "sender of a domain that its provider does not manage", change: sender("gino@gamma.example"), smtp: from("gino@gamma.example"), want: routing, says: "does not manage the sender's domain"},
		{name: "sender of our own domain", change: sender("maria@alfa.example"), smtp: from("maria@alfa.example"), want: routing, says: "does not manage the sender's domain"},
		{name: "sender of another domain of the provider", change: sender("ugo@clienti.example"), smtp: from("ugo@clienti.example"), want: valid},
		{name: "sender of a subdomain of the provider's", change: sender("ugo@sub.delta.example"), smtp: from("ugo@sub.delta.example"), want: routing, says: "does not manage"},
	}
}

func noticeMutations() []mutation {
	about := func(a string) Change {
		return facts(func(f *Facts) {
			f.Delivery = a
			if f.Taken != nil {
				f.Delivery, f.Taken = "", []string{a}
			}
		})
	}
	also := func(kind, a string) Change {
		return facts(func(f *Facts) { f.Recipients, f.Delivery = append(f.Recipients, Recipient{kind, a}), a })
	}
	elsewhere := facts(func(f *Facts) { f.Sender, f.ReplyTo = "gino@gamma.example", "gino@gamma.example" })
	return []mutation{
		{name: "receipt about a message of another provider's user", kind: "receipt", change: elsewhere, want: routing, says: "was not sent from here"},
		{name: "receipt to another user than the sender", kind: "receipt", smtp: to("maria@alfa.example"), want: routing, says: "it is due to the sender"},
		{name: "receipt to the sender and another user", kind: "receipt", smtp: to(mario, "maria@alfa.example"), want: routing, says: "it is due to the sender"},
		{name: "receipt to the service address", kind: "receipt", smtp: to(service), want: kept(pec.ProblemRouting), says: "it is due to the sender"},
		{name: "receipt to the sender in other case", kind: "receipt", smtp: to("Mario@ALFA.example"), want: valid},
		{name: "receipt with the null sender", kind: "receipt", smtp: func(x *transaction) { x.null = true }, want: valid},
		{name: "receipt for somebody whom its provider does not manage", kind: "receipt", change: also("certificato", "anna@beta.example"), want: routing, says: "does not manage the domain of anna"},
		{name: "receipt for somebody who was no recipient", kind: "receipt", change: about("gina@delta.example"), want: routing, says: "is not a certified recipient"},
		{name: "receipt for an ordinary recipient", kind: "receipt", change: also("esterno", "gina@delta.example"), want: routing, says: "is not a certified recipient"},
		{name: "receipt for somebody at another domain of its provider", kind: "receipt", change: also("certificato", "ugo@clienti.example"), want: valid},
		{name: "receipt that calls itself like the envelope", kind: "receipt", change: facts(func(f *Facts) { f.ID = f.Identifier }), want: valid},
		{name: "non-delivery for somebody whom its provider does not manage", kind: "non-delivery", change: also("certificato", "anna@beta.example"), want: routing, says: "does not manage"},
		{name: "non-delivery for a recipient of ours", kind: "non-delivery", change: also("certificato", "maria@alfa.example"), want: routing, says: "does not manage"},
		{name: "non-delivery without errore-esteso", kind: "non-delivery", change: facts(func(f *Facts) { f.Detail = "" }), want: valid},
		{name: "acceptance receipt from outside", kind: "acceptance", want: routing, says: "only the sender's own provider"},
		{name: "notice of non-acceptance from outside", kind: "non-acceptance", want: routing, says: "only the sender's own provider"},
		{name: "notice of the 24 hours from outside", kind: "timeout", want: routing, says: "only the sender's own provider"},
		{name: "take-charge to a user", kind: "take-charge", smtp: to(mario), want: kept(pec.ProblemRouting), says: "goes to a user"},
		{name: "take-charge for somebody whom its provider does not manage", kind: "take-charge", change: about("anna@beta.example"), want: kept(pec.ProblemRouting), says: "does not manage"},
		{name: "take-charge for nobody", kind: "take-charge", change: facts(func(f *Facts) { f.Taken = nil }), want: kept(pec.ProblemMalformed), says: "names no recipient"},
		{name: "take-charge about a message that was not sent from here", kind: "take-charge", change: elsewhere, want: kept(pec.ProblemRouting), says: "was not sent from here"},
		{name: "virus notice to a user", kind: "virus", smtp: to(mario), want: kept(pec.ProblemRouting), says: "goes to a user"},
		{name: "virus notice with the recipient in ricezione", kind: "virus", change: facts(func(f *Facts) { f.Taken, f.Delivery = []string{f.Delivery}, "" }), want: valid},
		{name: "virus notice for a recipient of ours", kind: "virus", change: about("maria@alfa.example"), want: kept(pec.ProblemRouting), says: "does not manage"},
	}
}
