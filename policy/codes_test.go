package policy

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

var update = flag.Bool("update", false, "write docs/codes.md anew")

// producers are the tests in which a real server says what a line is about: Postfix, Dovecot or clamd, or a server of
// another provider through Postfix.
var producers = map[string][]string{
	"5.1.1": {"test/e2e.TestUndeliverable", "test/e2e.TestCodes"},
	"5.1.2": {"test/e2e.TestCodes", "test/e2e.TestCodesOfPostfix"},
	"5.2.1": {"test/e2e.TestUndeliverable", "test/e2e.TestCodes"},
	"5.2.2": {"test/e2e.TestUndeliverable", "test/e2e.TestCodes"},
	"5.2.3": {"test/e2e.TestCodes", "test/e2e.TestCodesOfPostfix"},
	"5.4.6": {"test/e2e.TestCodes"},
	"5.4.7": {"test/e2e.TestLifetimeExpired", "test/e2e.TestCodesOfTime"},
	"5.7.1": {"test/e2e.TestCodes"},
	"5.0.0": {"test/e2e.TestCodes"},
	"5.4.1": {"test/clock.TestADay", "lda.TestTimeNoticeForm"},
	"5.5.1": {"test/e2e.TestVirusInAnEnvelope"},
}

// TestNonDeliveryOfStatuses: every status has one line, and what is not said precisely is not certified.
func TestNonDeliveryOfStatuses(t *testing.T) {
	conformance.Covers(t, "C181", "C200", "C252")
	for status, want := range map[string]string{
		"5.1.1": "no-dest 5.1.1", "5.1.3": "no-dest 5.1.1", "5.1.6": "no-dest 5.1.1",
		"5.1.2": "no-dominio 5.1.2", "5.1.10": "no-dominio 5.1.2", "5.4.4": "no-dominio 5.1.2",
		"5.2.1": "altro 5.2.1", "5.2.2": "altro 5.2.2", "5.2.3": "altro 5.2.3", "5.3.4": "altro 5.2.3", "5.4.6": "altro 5.4.6",
		"5.4.7": "altro 5.4.7", "4.4.1": "altro 5.4.7", "4.7.4": "altro 5.4.7", "4.2.2": "altro 5.4.7", "4.1.1": "altro 5.4.7",
		"5.7.1": "altro 5.7.1", "5.7.0": "altro 5.7.1", "5.7.26": "altro 5.7.1",
		"5.0.0": "altro 5.0.0", "5.1.0": "altro 5.0.0", "5.1.8": "altro 5.0.0", "5.2.0": "altro 5.0.0", "5.3.0": "altro 5.0.0", "5.6.0": "altro 5.0.0",
		// What note 12 says by these codes is something else.
		"5.4.1": "altro 5.0.0", "5.5.1": "altro 5.0.0",
		// What is no status.
		"": "altro 5.0.0", "x": "altro 5.0.0", "5": "altro 5.0.0", "5.1": "altro 5.0.0", "5.1.1.1": "altro 5.0.0", "2.1.1": "altro 5.0.0",
		"5.1.1234": "altro 5.0.0", "5.7": "altro 5.0.0", "5.*": "altro 5.0.0", "5.7.*": "altro 5.0.0", "4.": "altro 5.0.0", "5.1.1 - x": "altro 5.0.0",
	} {
		f := NonDelivery("Beta", Attempt{Code: 550, Enhanced: status})
		code, cause, _ := strings.Cut(f.Detail, " - Beta - ")
		if got := string(f.Error) + " " + code; got != want || cause != f.Short || cause == "" {
			t.Errorf("a failure %q is %s, want %s", status, got, want)
		}
	}
}

// TestPermanent: what is unknown, or says two things, is temporary: a false non-delivery is proof of what did not happen.
func TestPermanent(t *testing.T) {
	conformance.Covers(t, "C252")
	for a, want := range map[Attempt]bool{
		{Code: 550}: true, {Code: 550, Enhanced: "5.1.1"}: true, {Code: 552, Enhanced: "5.2.2"}: true, {Enhanced: "5.1.1"}: true,
		{}: false, {Code: 451}: false, {Code: 452, Enhanced: "4.2.2"}: false, {Enhanced: "4.4.1"}: false, {Code: 600}: false, {Code: 250}: false,
		{Code: 550, Enhanced: "4.2.2"}: false, {Code: 451, Enhanced: "5.1.1"}: false, {Code: 550, Enhanced: "2.0.0"}: false,
	} {
		if got := Permanent(a); got != want {
			t.Errorf("Permanent(%+v) = %v", a, got)
		}
	}
}

// TestCodesAreLegal: every line makes a notice that the rules allow: its code of one form, its class one of a non-delivery,
// and nobody else's status comes out as a code of note 12 that has another meaning.
func TestCodesAreLegal(t *testing.T) {
	conformance.Covers(t, "C199", "C200", "C252", "C253")
	to, err := pec.ParseAddress("dora@delta.example")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range Codes() {
		if seen[l.Code] || !statusForm.MatchString(l.Code) || l.Cause.Italian() == "" || strings.Contains(l.Cause.Italian(), " - ") {
			t.Errorf("the line %+v", l)
		}
		seen[l.Code] = true
		c := pec.CertData{Kind: pec.KindNonDelivery, Error: l.Error, Sender: to, Recipients: []pec.Recipient{{Address: to, Type: pec.Certified}}, Provider: "Beta",
			Time: time.Now(), Identifier: "1@beta.example", Delivery: &to, Detail: l.failure("Beta").Detail}
		xml, err := c.Encode()
		if err != nil || !bytes.Contains(xml, []byte("<errore-esteso>"+l.Code+" - Beta - "+l.Cause.Italian()+"</errore-esteso>")) {
			t.Errorf("%s: %v\n%s", l.Code, err, xml)
		}
	}
	if got, want := pec.TimeoutDetail("Beta", true), codeTimeout+" - Beta - "+pec.CauseTimeout.Italian(); got != want {
		t.Errorf("the last notice says %q, the table %q", got, want)
	}
	if got := Infected("Beta", "Eicar").Detail; !strings.HasPrefix(got, codeVirus+" - Beta - "+pec.CauseVirus.Italian()) {
		t.Errorf("the virus notice says %q", got)
	}
}

// TestCodesPage: the page for readers is the table, and each line has a test that is there.
func TestCodesPage(t *testing.T) {
	file, want := filepath.Join("..", "docs", "codes.md"), codesPage()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/codes.md is not the table; run go test ./policy -run TestCodesPage -update (-want +got):\n%s", diff)
	}
	for _, l := range Codes() {
		if len(producers[l.Code]) == 0 {
			t.Errorf("no test produces %s", l.Code)
		}
		for _, name := range producers[l.Code] {
			dir, test, _ := strings.Cut(name, ".")
			if !hasTest(t, dir, test) {
				t.Errorf("%s: there is no %s in %s", l.Code, test, dir)
			}
		}
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\nfunc "+name+"(t *testing.T)")) {
			return true
		}
	}
	return false
}

func codesPage() string {
	var b strings.Builder
	b.WriteString(`# Why a message was not delivered: codes

Written by ` + "`go test ./policy -run TestCodesPage -update`" + ` from the one table in ` + "`policy/codes.go`" + `.

A certified non-delivery says its reason three times: in the readable text and in ` + "`<errore-esteso>`" + ` as *code - provider - cause*, and as a class in the
attribute ` + "`errore`" + `. The form and the codes 5.1.1, 5.2.1, 5.2.2, 5.4.1 and 5.5.1 are those of AgID's note 12 as far as it is known; the others follow RFC 3463.

Servers answer with an enhanced status (RFC 3463) in LMTP, in SMTP, and in the reports (DSN) of Postfix. This is what becomes of it. ` + "`7.*`" + ` is every status
of subject 7, ` + "`4.x.x`" + ` any of class 4 in a final report.

| status 5.… | which says | code | cause | errore | a real server says it in |
|---|---|---|---|---|---|
`)
	for _, l := range Codes() {
		statuses := strings.Join(l.Statuses, ", ")
		if l.Statuses == nil {
			statuses = "no server"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", statuses, l.Meaning, l.Code, l.Cause.Italian(), l.Error, strings.Join(producers[l.Code], "<br>"))
	}
	b.WriteString(`
* **Temporary or for good.** Class 5 is for good; class 4, no answer, and answers that say two things (550 4.2.2) are temporary: Postfix tries again, until the time
  is over. Only what Dovecot says about the *recipient* counts: an error of Dovecot as a whole is temporary, whatever its class.
* **What is not said precisely is not certified.** A bare 550 may be an unknown user, a policy or a fault: it is 5.0.0 and ` + "`altro`" + `, never ` + "`no-dest`" + `.
* **Codes of note 12 are ours to give.** A server that answers 5.4.1 or 5.5.1 means "no answer" or "bad command"; repeated in a notice they would say "24 hours are over"
  and "virus". They become 5.0.0.
* **What the server said** in its own words is in the log, not in the notice.
* **Ordinary recipients** get the cause in Italian in the anomaly envelope that carries the report.
`)
	return b.String()
}
