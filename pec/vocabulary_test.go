package pec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

func TestProblemsHaveDistinctWords(t *testing.T) {
	conformance.Covers(t, "C139")
	seen := map[string]Problem{}
	for _, p := range []Problem{
		ProblemNoSignature, ProblemUnknownSigner, ProblemSignature, ProblemRevoked, ProblemExpired, ProblemChain, ProblemMalformed,
		ProblemRouting, ProblemTooOld, ProblemOtherContent, ProblemFrom, ProblemUndelivered, Problem("unheard of"),
	} {
		text := p.Italian()
		if other, ok := seen[text]; ok || text == "" || text != rfc822.OneLine(text) {
			t.Errorf("%s says %q, as %s does", p, text, other)
		}
		seen[text] = p
	}
}

func TestErrorKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := ErrorTemporary; k <= ErrorNotFound+1; k++ {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("%d is %q", int(k), name)
		} else {
			seen[name] = true
		}
	}
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", &Error{Op: "lda: deliver", ID: "a@b", Kind: ErrorMailboxFull, Err: cause})
	found := &Error{}
	if !errors.Is(err, cause) || !errors.As(err, &found) || found.Kind != ErrorMailboxFull {
		t.Errorf("%v", err)
	}
	if got, want := found.Error(), "lda: deliver (a@b): mailbox full: cause"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if (&Error{}).Kind != ErrorTemporary {
		t.Error("an error of no kind is not temporary")
	}
}

func TestIdentifiers(t *testing.T) {
	conformance.Covers(t, "C032", "C033", "C204")
	id := NewIdentifier([16]byte{0: 0xab, 15: 1}, "Alfa.example")
	if id != "ab000000000000000000000000000001@alfa.example" {
		t.Errorf("got %s", id)
	}
	for s, want := range map[string]Identifier{
		string(id):                               id,
		" <" + string(id) + "> ":                 id,
		"opec296.2026.1.2.3.x@y.it":              "opec296.2026.1.2.3.x@y.it",
		"0A1B.2C.posta-certificata@legalmail.it": "0A1B.2C.posta-certificata@legalmail.it",
		"":                                       "",
		"a":                                      "",
		"@b":                                     "",
		"a@":                                     "",
		"a@b@c":                                  "",
		"a b@c":                                  "",
		"a@b\r\n.c":                              "",
		"<a@b":                                   "",
		"à@b":                                    "",
		strings.Repeat("a", 250) + "@b":          "",
	} {
		got, err := ParseIdentifier(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseIdentifier(%q) = %q, %v", s, got, err)
		}
	}
}
