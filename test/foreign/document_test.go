package foreign

import (
	"fmt"
	"slices"
	"strings"
)

// documentMutations are certification data that are no such document.
func documentMutations() []mutation {
	wrong := func(name string, change func(string) string, says string) mutation {
		return mutation{name: name, change: Change{Data: change}, want: malformed, says: says}
	}
	entity := func(declaration, use string) func(string) string {
		return func(s string) string {
			s = strings.Replace(s, "<postacert ", "<!DOCTYPE postacert ["+declaration+"]>\n<postacert ", 1)
			return strings.Replace(s, "Richiesta di prova</oggetto>", use+"</oggetto>", 1)
		}
	}
	laughs := `<!ENTITY a "ha">`
	for i := range 9 {
		laughs += fmt.Sprintf(`<!ENTITY %c "%s">`, 'b'+i, strings.Repeat(fmt.Sprintf("&%c;", 'a'+i), 10))
	}
	around := func(depth int) func(string) string {
		return replaced("Richiesta di prova", strings.Repeat("<b>", depth)+"x"+strings.Repeat("</b>", depth))
	}
	return []mutation{
		wrong("XML that does not end", replaced("</postacert>", ""), "certification data"),
		wrong("XML that ends within a tag", func(s string) string { return s[:strings.LastIndex(s, "</dati")] + "</da" }, "certification data"),
		wrong("XML with crossed tags", replaced("</giorno>", "</ora>"), "certification data"),
		{name: "msgid with brackets that are not escaped", change: style(func(s *Style) { s.Document.BareMsgID = true }), want: malformed, says: "certification data"},
		wrong("no XML at all", func(string) string { return "tipo=posta-certificata\r\n" }, "certification data"),
		wrong("nothing at all", func(string) string { return "" }, "certification data"),
		wrong("two documents in one", func(s string) string { return s + s[strings.Index(s, "<postacert"):] }, "certification data"),
		wrong("text after the document", func(s string) string { return s + "altro" }, "certification data"),
		wrong("an entity of a file", entity(`<!ENTITY x SYSTEM "file:///etc/passwd">`, "&x;"), "entity"),
		wrong("an entity of the network", entity(`<!ENTITY x SYSTEM "http://127.0.0.1:1/x">`, "&x;"), "entity"),
		wrong("an entity of its own", entity(`<!ENTITY x "y">`, "&x;"), "entity"),
		wrong("a billion laughs", entity(laughs, "&j;"), "entity"),
		{name: "entities that nobody uses", change: Change{Data: entity(laughs+`<!ENTITY x SYSTEM "file:///etc/passwd">`, "Richiesta di prova")}, want: valid},
		wrong("elements 20 deep", around(20), "too deep"),
		wrong("elements 100,000 deep", around(100_000), "too deep"),
		wrong("an element within the subject", around(1), "oggetto"),
		wrong("a document of 2 MB", replaced("Richiesta di prova", strings.Repeat("prova ", 350_000)), "bytes"),
		wrong("a document of 6 MB", replaced("Richiesta di prova", strings.Repeat("prova ", 1_000_000)), "bytes"),
		wrong("called UTF-16", replaced(`encoding="UTF-8"`, `encoding="UTF-16"`), "certification data"),
		wrong("in a charset that does not exist", replaced(`encoding="UTF-8"`, `encoding="klingon"`), "certification data"),
		wrong("bytes that are no UTF-8", replaced("Richiesta", "Perch\xe9"), "UTF-8"),
	}
}

// valueMutations are documents in which one thing is wrong.
func valueMutations() []mutation {
	wrong := func(name, old, with string) mutation {
		return mutation{name: name, change: data(old, with), want: malformed, says: "certification data"}
	}
	receipt := func(name, old, with string) mutation {
		m := wrong(name, old, with)
		m.kind = "receipt"
		return m
	}
	cut := func(name, element string) mutation {
		return mutation{name: name, change: Change{Data: func(s string) string {
			start, end := strings.Index(s, "<"+element), strings.Index(s, "</"+element+">")
			return s[:start] + s[end+len(element)+3:]
		}}, want: malformed, says: "certification data"}
	}
	return slices.Concat([]mutation{
		cut("no identificativo", "identificativo"), cut("no mittente", "mittente"), cut("no destinatari", "destinatari"), cut("no risposte", "risposte"),
		cut("no gestore-emittente", "gestore-emittente"), cut("no ora", "ora"),
		{name: "no oggetto", change: Change{Data: replaced("<oggetto>Richiesta di prova</oggetto>", "")}, want: valid},
		{name: "no msgid, while the header has a reference", change: Change{Data: cut("", "msgid").change.Data}, want: malformed, says: "X-Riferimento-Message-ID"},
		wrong("identificativo twice", "<identificativo>", "<identificativo>x@y.example</identificativo><identificativo>"),
		wrong("mittente twice", "<mittente>", "<mittente>x@delta.example</mittente><mittente>"),
		wrong("an element that the DTD does not have", "<risposte>", "<priorita>1</priorita><risposte>"),
		wrong("an element in capitals", "<mittente>dora@delta.example</mittente>", "<Mittente>dora@delta.example</Mittente>"),
		wrong("an attribute that the DTD does not have", `<postacert `, `<postacert versione="2" `),
		wrong("no tipo", `tipo="posta-certificata" `, ""),
		wrong("text where none belongs", "<intestazione>", "<intestazione>ciao"),
		wrong("recipient of a type that does not exist", `tipo="certificato"`, `tipo="pec"`),
		wrong("recipient of the type \"\"", `tipo="certificato"`, `tipo=""`),
		wrong("recipient that is no address", "mario@alfa.example</destinatari>", "mario</destinatari>"),
		wrong("sender that is no address", "<mittente>dora@delta.example", "<mittente>Dora"),
		wrong("two senders in one", "<mittente>", "<mittente>x@delta.example, "),
		wrong("empty identificativo", "<identificativo>opec", "<identificativo> </identificativo><identificativo>opec"),
		wrong("identificativo with a space", "<identificativo>opec", "<identificativo>o pec"),
		wrong("day that does not exist", "<giorno>", "<giorno>3"),
		wrong("day in the order of another country", legalTime(now).Format("02/01/2006"), legalTime(now).Format("2006-01-02")),
		wrong("hour that does not exist", "<ora>", "<ora>2"),
		wrong("zone in letters", `<data zona="+`, `<data zona="CET+`),
		wrong("no zone", `<data zona=`, `<data x=`),
		wrong("before there was certified mail", "/"+legalTime(now).Format("2006")+"</giorno>", "/1999</giorno>"),
		wrong("kind of receipt that does not exist", `tipo="completa"`, `tipo="lunga"`),
	}, []mutation{
		receipt("consegna that is no address", "<consegna>dora@delta", "<consegna>dora"),
		receipt("consegna twice", "<consegna>", "<consegna>x@delta.example</consegna><consegna>"),
		receipt("consegna before identificativo", "<identificativo>", "<consegna>dora@delta.example</consegna><identificativo>"),
		{name: "consegna missing in a receipt", kind: "receipt", change: facts(func(f *Facts) { f.Delivery = "" }), want: malformed, says: "names no recipient"},
		{name: "consegna missing in a non-delivery notice", kind: "non-delivery", change: facts(func(f *Facts) { f.Delivery = "" }), want: malformed, says: "names no recipient"},
		{name: "ricevuta missing", change: facts(func(f *Facts) { f.Receipt = "" }), want: valid},
		{name: "certified instant of an hour ago", change: facts(func(f *Facts) { f.Time = now.Add(-3600e9) }), want: valid},
	})
}

// words are the values of "tipo" for the kinds that come from outside.
var words = map[string]string{"envelope": "posta-certificata", "receipt": "avvenuta-consegna", "non-delivery": "errore-consegna", "take-charge": "presa-in-carico",
	"virus": "rilevazione-virus"}

// errorMutations are all pairs of the two attributes: what the DTD does not have, and what contradicts itself. [C199] [C200]
func errorMutations() []mutation {
	legal := map[string][]string{"envelope": {"nessuno"}, "receipt": {"nessuno"}, "take-charge": {"nessuno"}, "virus": {"virus"},
		"non-delivery": {"no-dest", "no-dominio", "virus", "altro"}}
	var out []mutation
	for _, kind := range []string{"envelope", "receipt", "non-delivery", "take-charge", "virus"} {
		for _, class := range []string{"nessuno", "no-dest", "no-dominio", "virus", "altro", "inesistente", ""} {
			want, says := malformed, "the error"
			switch {
			case class == "inesistente" || class == "":
				says = "certification data"
			case slices.Contains(legal[kind], class):
				want, says = valid, ""
			}
			if want == malformed && (kind == "take-charge" || kind == "virus") {
				want = kept(malformed.problem)
			}
			if class == "nessuno" && kind != "non-delivery" && kind != "virus" || class == "no-dest" && kind == "non-delivery" || class == "virus" && kind == "virus" {
				continue // that is how they come
			}
			change := facts(func(f *Facts) { f.Error = class })
			if kind == "non-delivery" && class == "virus" {
				change = facts(func(f *Facts) { f.Error, f.SubjectPrefix = class, "AVVISO DI MANCATA CONSEGNA PER VIRUS: " })
			}
			out = append(out, mutation{name: fmt.Sprintf("%s with errore=%q", words[kind], class), kind: kind, change: change, want: want, says: says})
		}
	}
	for _, tipo := range []string{"mancata-consegna", "consegna", "ACCETTAZIONE", "errore", "rem-accettazione", ""} {
		out = append(out, mutation{name: fmt.Sprintf("tipo=%q, which does not exist", tipo), kind: "receipt",
			change: data(`tipo="avvenuta-consegna"`, `tipo="`+tipo+`"`), want: malformed, says: "certification data: invalid certification data: " + map[bool]string{true: "attribute", false: "kind"}[tipo == ""]})
	}
	return append(out, mutation{name: "mancata-consegna in header and data", kind: "non-delivery", change: facts(func(f *Facts) { f.Kind, f.Purpose = "mancata-consegna", "mancata-consegna" }),
		want: malformed, says: "kind"})
}
