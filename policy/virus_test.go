package policy

import (
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func TestVirusOf(t *testing.T) {
	conformance.Covers(t, "C155", "C156")
	for detail, want := range map[string]string{
		Infected("Beta PEC S.r.l.", "Win.Test.EICAR_HDB-1").Detail:  "Win.Test.EICAR_HDB-1",
		Infected("A - B S.p.A.", "Eicar").Detail:                    "Eicar",
		"Eicar-Test-Signature":                                      "Eicar-Test-Signature",
		"5.5.1, Gestore S.p.A., W32/Klez.H-mm":                      "W32/Klez.H-mm",
		"5.5.1, Gestore S.p.A., presenza di un virus nel messaggio": pec.UnnamedVirus,
		"5.5.1 - Gestore - presenza di un virus nel messaggio":      pec.UnnamedVirus,
		"":         pec.UnnamedVirus,
		" \t\r\n ": pec.UnnamedVirus,
		"Eicar\r\nSubject: x\x00\x1b[31m\u202e rosso": "Eicar Subject: x [31m rosso",
		"\xff\xfeWorm":            "Worm",
		strings.Repeat("è", 5000): strings.Repeat("è", 200) + "…",
	} {
		if got := VirusOf(detail); got != want {
			t.Errorf("VirusOf(%.60q) = %q, want %q", detail, got, want)
		}
	}
}
