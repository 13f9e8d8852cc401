package foreign

// headerMutations are fields that say what kind of message it is, and which.
func headerMutations() []mutation {
	const kind, receipt, reference = "X-Trasporto", "X-Ricevuta", "X-Riferimento-Message-ID"
	wrong := func(name string, change func([]Field) []Field, says string) mutation {
		return mutation{name: name, change: fields(change), want: malformed, says: says}
	}
	ofReceipt := func(name string, change func([]Field) []Field, says string) mutation {
		return mutation{name: name, kind: "receipt", change: fields(change), want: malformed, says: says}
	}
	return []mutation{
		wrong("X-Ricevuta besides X-Trasporto", add(Field{receipt, " avvenuta-consegna"}), "not one"),
		wrong("X-Trasporto twice", add(Field{kind, " posta-certificata"}), "not one"),
		wrong("X-Trasporto absent", drop(kind), "not one"),
		wrong("X-Trasporto empty", Set(kind, ""), "header"),
		wrong("X-Trasporto of no meaning", Set(kind, "raccomandata"), "wrong field"),
		wrong("X-Trasporto: errore, while the data say posta-certificata", Set(kind, "errore"), "it says errore"),
		wrong("posta-certificata in X-Ricevuta", rename(kind, receipt), "wrong field"),
		wrong("an envelope called a receipt", func(l []Field) []Field { return Set(receipt, "avvenuta-consegna")(drop(kind)(l)) }, "the certification data posta-certificata"),
		ofReceipt("a receipt called an envelope", func(l []Field) []Field { return Set(kind, "posta-certificata")(drop(receipt)(l)) }, "the certification data avvenuta-consegna"),
		ofReceipt("a receipt called an acceptance", Set(receipt, "accettazione"), "it says accettazione"),
		ofReceipt("a receipt called a non-delivery", Set(receipt, "errore-consegna"), "it says errore-consegna"),
		ofReceipt("X-Ricevuta absent", drop(receipt), "not one"),
		ofReceipt("X-Ricevuta twice", add(Field{receipt, " avvenuta-consegna"}), "not one"),
		ofReceipt("a kind in X-Trasporto", rename(receipt, kind), "wrong field"),
		wrong("reference to another message", Set(reference, "<x@client.example>"), reference),
		wrong("reference absent", drop(reference), reference),
		wrong("reference twice", add(Field{reference, " <x@client.example>"}), "2 times"),
		ofReceipt("a receipt with the reference of another message", Set(reference, "<x@client.example>"), reference),
		wrong("Message-ID that is not the identificativo", Set("Message-ID", "<x@delta.example>"), "Message-ID"),
		wrong("Message-ID that is almost the identificativo", edit("Message-ID", "opec", "oPec"), "Message-ID"),
		wrong("Message-ID absent", drop("Message-ID"), "Message-ID"),
		wrong("Message-ID twice", add(Field{"Message-ID", " <x@delta.example>"}), "2 times"),
		{name: "a receipt without Message-ID", kind: "receipt", change: fields(drop("Message-ID")), want: valid},
		{name: "another kind of receipt in the header than in the data", change: fields(Set("X-TipoRicevuta", "sintetica")), want: valid},
	}
}

// readerMutations are fields that people read.
func readerMutations() []mutation {
	wrong := func(name string, change func([]Field) []Field, want verdict, says string) mutation {
		return mutation{name: name, change: fields(change), want: want, says: says}
	}
	receipt := func(name string, change func([]Field) []Field, want verdict, says string) mutation {
		return mutation{name: name, kind: "receipt", change: fields(change), want: want, says: says}
	}
	const provider = "posta-certificata@delta.example"
	return []mutation{
		wrong("From of another provider", edit("From", provider, "posta-certificata@beta.example"), author, "no address of"),
		wrong("From of a domain that ends alike", edit("From", provider, "posta-certificata@nodelta.example"), author, "no address of"),
		wrong("From of another domain of the provider", edit("From", provider, "posta-certificata@clienti.example"), valid, ""),
		wrong("From of two addresses", edit("From", "<"+provider+">", "<"+provider+">, <x@delta.example>"), author, "not one address"),
		wrong("From of a foreign address before the right one", edit("From", ` "Per`, ` sindaco@roma.example, "Per`), author, "not one address"),
		wrong("From twice", add(Field{"From", " " + provider}), author, "2 times"),
		wrong("From absent", drop("From"), author, "0 times"),
		wrong("From without an address", Set("From", `"Per conto di: dora"`), author, "not one address"),
		wrong("From on behalf of somebody else", edit("From", "dora@delta.example", "sindaco@roma.example"), author, "From names sindaco@roma.example"),
		wrong("From on behalf of a namesake at another provider", edit("From", "dora@delta.example", "dora@delta.example.org"), author, "From names"),
		wrong("From on behalf of somebody else, in encoded words", Set("From", "=?utf-8?B?UGVyIGNvbnRvIGRpOiBzaW5kYWNvQHJvbWEuZXhhbXBsZQ==?= <"+provider+">"), author, "From names sindaco@roma.example"),
		receipt("a receipt From of another provider", Set("From", "posta-certificata@beta.example"), author, "no address of"),
		receipt("a receipt From with a foreign address for a name", Set("From", `"posta-certificata@alfa.example" <`+provider+">"), author, "From names posta-certificata@alfa.example"),
		wrong("Sender that is From", Set("Sender", provider), valid, ""),
		wrong("Sender of somebody else", Set("Sender", "lista@network.example"), author, "Sender is"),
		wrong("Sender of two", Set("Sender", provider+", x@delta.example"), author, "Sender is"),
		wrong("Sender twice", add(Field{"Sender", " " + provider}, Field{"Sender", " x@y.example"}), malformed, "2 times"),
		wrong("Reply-To of somebody else", Set("Reply-To", "ladro@network.example"), malformed, "Reply-To names ladro@network.example"),
		wrong("Reply-To of somebody else besides", edit("Reply-To", "dora@delta.example", "dora@delta.example, ladro@network.example"), malformed, "Reply-To names"),
		wrong("Reply-To twice", add(Field{"Reply-To", " ladro@network.example"}), malformed, "2 times"),
		receipt("a receipt with Reply-To of somebody else", Set("Reply-To", "ladro@network.example"), malformed, "Reply-To names"),
		wrong("Subject of another text", edit("Subject", "Richiesta", "Disdetta"), malformed, "Subject is"),
		wrong("Subject with more text before the certified one", edit("Subject", "Richiesta", "Urgente: richiesta"), malformed, "Subject is"),
		wrong("Subject with more text after the certified one", edit("Subject", "prova", "prova urgente"), malformed, "Subject is"),
		wrong("Subject with the prefix of another kind", edit("Subject", "POSTA CERTIFICATA", "CONSEGNA"), malformed, "does not begin with"),
		wrong("Subject with a mark of a spam filter", edit("Subject", "POSTA", "[SPAM] POSTA"), malformed, "does not begin with"),
		wrong("Subject without its prefix", edit("Subject", "POSTA CERTIFICATA: ", ""), malformed, "does not begin with"),
		wrong("Subject absent", drop("Subject"), malformed, "does not begin with"),
		wrong("Subject twice", add(Field{"Subject", " x"}), malformed, "2 times"),
		receipt("a receipt with the subject of another message", edit("Subject", "Richiesta", "Disdetta"), malformed, "Subject is"),
		receipt("a receipt that is called a non-delivery in its subject", edit("Subject", "CONSEGNA", "AVVISO DI MANCATA CONSEGNA"), malformed, "does not begin with"),
		wrong("Date of two days before the certified instant", Set("Date", now.AddDate(0, 0, -2).Format("Mon, 2 Jan 2006 15:04:05 -0700")), malformed, "Date is"),
		wrong("Date of a year after it", Set("Date", now.AddDate(1, 0, 0).Format("Mon, 2 Jan 2006 15:04:05 -0700")), malformed, "Date is"),
		wrong("Date an hour off: the zone", Set("Date", now.Add(3600e9).Format("Mon, 2 Jan 2006 15:04:05 -0700")), valid, ""),
		wrong("Date that cannot be read", Set("Date", "oggi"), valid, ""),
		wrong("Date twice", add(Field{"Date", " Mon, 2 Jan 2006 15:04:05 -0700"}), malformed, "2 times"),
		wrong("To of somebody else: the SMTP recipients count", Set("To", "Anna <anna@beta.example>"), valid, ""),
		wrong("Cc of somebody else: the SMTP recipients count", Set("Cc", "anna@beta.example"), valid, ""),
	}
}
