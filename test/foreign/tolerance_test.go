package foreign

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// families are the two ways of spelling.
var families = map[string]func() Style{"OpenPEC": OpenPEC, "Java": Java}

// TestFamilies: every kind of message, in both spellings, is what it says it is; OpenSSL finds nothing wrong with what the
// builder signed.
func TestFamilies(t *testing.T) {
	conformance.Covers(t, "C103", "C104", "C109", "C114", "C117", "C190", "C256", "C257", "C258", "C259", "C260", "C261")
	w := theWorld()
	for family, spell := range families {
		for kind, want := range kinds {
			f, smtp := w.facts(kind)
			message := Build(f, spell(), w.who["delta"])
			if got := w.judge(t, message, smtp); got.Outcome != want {
				t.Errorf("%s, %s: %s because of %q (%s), want %s", family, kind, got.Outcome, got.Problem, got.Detail, want)
			}
			if err := openssl(t, message); err != nil {
				t.Errorf("%s, %s: OpenSSL: %v", family, kind, err)
			}
		}
	}
}

// openssl verifies a signature without judging who made it.
func openssl(t *testing.T, message []byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, message, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(context.Background(), "openssl", "cms", "-verify", "-noverify", "-in", file, "-out", os.DevNull).Run()
}

// TestDifferences: each difference alone, in envelopes and receipts of both families, is tolerated, and what the message
// certifies is read as it was written.
func TestDifferences(t *testing.T) {
	conformance.Covers(t, "C011", "C058", "C104", "C109", "C190", "C256", "C257", "C258", "C259", "C260", "C261")
	w := theWorld()
	seen := map[string]bool{}
	for _, d := range Differences() {
		if seen[d.Name] {
			t.Errorf("%q is there twice", d.Name)
		}
		seen[d.Name] = true
		for family, spell := range families {
			for _, kind := range []string{"envelope", "receipt"} {
				if d.Only != "" && d.Only != kind {
					continue
				}
				f, smtp := w.facts(kind)
				message := Build(f, spell(), w.who["delta"], d.Change)
				if got := w.judge(t, message, smtp); got.Outcome != kinds[kind] {
					t.Errorf("%s, %s, %s: %s because of %q (%s)", d.Name, family, kind, got.Outcome, got.Problem, got.Detail)
				}
				wantRead(t, w, d, message)
			}
		}
	}
}

// sameAddress: one of the differences is its case.
func sameAddress(got, want string) bool { return strings.EqualFold(got, want) }

func sameRecipients(got []pec.Recipient, want []Recipient) bool {
	return slices.EqualFunc(got, want, func(a pec.Recipient, b Recipient) bool {
		return sameAddress(a.Address.String(), b.Address) && string(a.Type) == b.Type
	})
}

// wantRead checks what was read against what was written.
func wantRead(t *testing.T, w *world, d Difference, message []byte) {
	t.Helper()
	v, err := w.verifier.Verify(pec.Bytes(message), now)
	if err != nil || v.Data == nil {
		t.Errorf("%s: nothing read: %v", d.Name, err)
		return
	}
	kind := "envelope"
	if v.Kind != pec.KindTransport {
		kind = "receipt"
	}
	f, _ := w.facts(kind)
	if d.Facts != nil {
		d.Facts(&f)
	}
	c := v.Data
	if string(c.Identifier) != f.Identifier || c.MessageID != f.MessageID || !c.Time.Equal(f.Time) || c.Provider != f.Provider ||
		c.Subject == nil || *c.Subject != f.Subject || !sameRecipients(c.Recipients, f.Recipients) || string(c.Receipt) != f.Receipt ||
		!sameAddress(c.Sender.String(), f.Sender) || string(c.Error) != f.Error || (c.Delivery == nil) != (f.Delivery == "") ||
		c.Delivery != nil && !sameAddress(c.Delivery.String(), f.Delivery) {
		f.Original = nil // too long to read
		t.Errorf("%s: read as %+v, written as %+v", d.Name, c, f)
		return
	}
	if (v.Parts.Original == nil) != (f.Original == nil) {
		t.Errorf("%s: there is an original: %v", d.Name, v.Parts.Original != nil)
	}
	if v.Parts.Original != nil && d.By == nil {
		got := make([]byte, v.Parts.Original.Size())
		if _, err := v.Parts.Original.ReadAt(got, 0); err != nil || string(got) != string(f.Original) {
			t.Errorf("%s: the original changed (%v):\n%q\nwant\n%q", d.Name, err, got, f.Original)
		}
	}
}

// TestDifferencesTogether: pairs of them, each with the one that follows a third of the list later, stay tolerated.
func TestDifferencesTogether(t *testing.T) {
	conformance.Covers(t, "C258", "C259", "C260")
	w := theWorld()
	all := Differences()
	for i, one := range all {
		other := all[(i+len(all)/3)%len(all)]
		if one.Only == "receipt" || other.Only == "receipt" {
			continue
		}
		for family, spell := range families {
			f, smtp := w.facts("envelope")
			if got := w.judge(t, Build(f, spell(), w.who["delta"], one.Change, other.Change), smtp); got.Outcome != policy.OutcomeEnvelope {
				t.Errorf("%s and %s, %s: %s because of %q (%s)", one.Name, other.Name, family, got.Outcome, got.Problem, got.Detail)
			}
		}
	}
}
