package signer

import (
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// TestAwkwardSubjectsOfOursPass: what we make of any subject is what we accept, in an envelope and in a receipt without its
// original; another subject in its place is not.
func TestAwkwardSubjectsOfOursPass(t *testing.T) {
	conformance.Covers(t, "C077", "C114", "C162")
	p := newParty(t)
	v := judge(t, p)
	for _, raw := range []string{
		" =?utf-8?B?8J+YgCDwn4e54oKsIM6pINCW?=", " <b>&amp; ]]> \"'\\ %s", " =?utf-8?Q?a=0D=0AX-Injected:_1=0D=0A=0D=0Abody?=",
		" =?utf-8?Q?a=00b=01c=1B=7F?= d\x0be", " =?x-unknown?Q?abc=E8?= plain", " =?utf-8?B?!!!?= =?utf-8?Q?=ZZ?= =?utf-8?Q?", " =?utf-8?Q?=C3_=ED=A0=80_=FF?= end",
		strings.Repeat(" =?utf-8?Q?=C3=A8=E2=82=AC_parola_=C3=A0?=\r\n", 200), " " + strings.Repeat("x", 900), "", "  \t ", " CONSEGNA: POSTA CERTIFICATA: x", " e\u0301 \ufb01 \u212b",
		" Perche\xe8", " ??? \ufffd",
	} {
		o := original()
		o.Header = o.Header.Without("Subject")
		o.Header = append(o.Header, pec.Field{Name: "Subject", Value: strings.TrimSuffix(raw, "\r\n")})
		subject := pec.DecodeText(o.Header.Get("Subject"))
		data := certData(t, pec.KindTransport)
		data.Subject = &subject
		envelope, err := compose.TransportEnvelope(alfa(t), o, data)
		if err != nil {
			t.Fatal(err)
		}
		receipt := certData(t, pec.KindDelivery)
		receipt.Subject = &subject
		notice, err := compose.NotificationMessage(alfa(t), compose.Notification{Data: *receipt, To: receipt.Sender, Concise: true})
		if err != nil {
			t.Fatal(err)
		}
		for kind, a := range map[string]*pec.Artefact{"envelope": envelope, "receipt": notice} {
			message, _ := sealed(t, p, a)
			verifies(t, v, kind+" with the subject "+raw, message, now, "")
			head, body, _ := strings.Cut(string(message), "\r\n\r\n")
			head = strings.Replace(head, "\r\nSubject:", "\r\nSubject: "+strings.TrimSpace(data.SubjectPrefix())+" Altro testo\r\nX-Was:", 1)
			if kind == "receipt" {
				head = strings.Replace(head, strings.TrimSpace(data.SubjectPrefix()), strings.TrimSpace(receipt.SubjectPrefix()), 1)
			}
			verifies(t, v, kind+" with another subject than "+raw, []byte(head+"\r\n\r\n"+body), now, pec.ProblemMalformed)
		}
	}
}
