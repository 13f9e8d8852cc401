package milter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
)

func TestLargeSubmissions(t *testing.T) {
	conformance.Covers(t, "C046", "C084")
	w := newWorld(t).serve()
	many := make([]string, 500)
	for i := range many {
		many[i] = fmt.Sprintf("user%d@beta.example", i)
	}
	fields := strings.Split(strings.TrimSuffix(strings.Repeat("X-A: b,", maxFields-10), ","), ",")
	for _, test := range []struct {
		name    string
		to      []string
		message []byte
	}{
		{"30 MB", []string{"luigi@beta.example"}, submit("", strings.Repeat(strings.Repeat("a", 76)+"\r\n", 384_000))},
		{"500 recipients", many, lines("From: mario@alfa.example", "To: "+strings.Join(many, ",\r\n "), "", "Hello")},
		{"many fields", []string{"luigi@beta.example"}, submit(fields...)},
	} {
		c := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
		if got := c.Send("mario@alfa.example", test.to, test.message); !strings.HasPrefix(got, "250 ") {
			t.Fatalf("%s: Postfix answered %q", test.name, got)
		}
		a := w.arrive()
		if a.record.Verdict != transaction.VerdictEnvelope {
			t.Fatalf("%s: %s because of %s, want an envelope", test.name, a.record.Verdict, a.record.Detail)
		}
		if len(a.Rcpt) != len(test.to)+1 || len(a.record.Recipients) != len(test.to) {
			t.Errorf("%s: %d recipients arrived, %d in the record; want %d and the agent's", test.name, len(a.Rcpt), len(a.record.Recipients), len(test.to))
		}
		w.verify(a.whole)
		_, body, _ := bytes.Cut(test.message, []byte("\r\n\r\n"))
		if got := bytesOf(t, w.parts(a.whole).Original); !bytes.HasSuffix(got, body) {
			t.Errorf("%s: the body changed", test.name)
		}
	}
}
