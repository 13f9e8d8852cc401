package sincro_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/sincro"
)

func sample() sincro.Index {
	x := sincro.Index{ID: "a&b@alfa.example/2026-11-30-001/PIndex.xml", Volume: "a&b@alfa.example/2026-11-30-001", Label: "Pacchetto <di> \"prova\"",
		Version: "1.0.0", Holder: "a&b@alfa.example", Preserver: "Alfa S.p.A. è qui", PreserverID: "VATIT-01234567890", Document: "Manuale di conservazione",
		Created: time.Date(2026, 12, 1, 0, 31, 7, 0, time.FixedZone("", 3600))}
	for i := range 3 {
		x.Files = append(x.Files, sincro.File{ID: fmt.Sprintf("key <%d>", i), Path: fmt.Sprintf("documenti/%05d.eml", i+1), MediaType: "message/rfc822",
			SHA256: strings.Repeat(fmt.Sprint(i), 64), Event: "accepted"})
	}
	return x
}

// valid asks xmllint whether an index has the form of the standard.
func valid(t *testing.T, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "PIndex.xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("xmllint", "--noout", "--relaxng", "testdata/pindex.rng", path).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestIndexHasTheFormOfTheStandard, and what has another does not.
func TestIndexHasTheFormOfTheStandard(t *testing.T) {
	text, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(t, string(text)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	without := sample()
	without.PreserverID = ""
	if text, err := without.Marshal(); err != nil || valid(t, string(text)) != nil {
		t.Errorf("without an identifier of the preserver: %v, %v", err, valid(t, string(text)))
	}
	for name, change := range map[string][2]string{
		"an attribute that is not qualified": {"sincro-v2:scheme=", "scheme="},
		"a person without document":          {"<RelevantDocument>Manuale di conservazione</RelevantDocument>", ""},
		"an identifier of its own kind":      {"VATIT-01234567890", "01234567890"},
		"another digest":                     {"SHA-256", "SHA-1"},
		"a file without its digest":          {"sincro-v2:hashFunction=", "sincro-v2:function="},
		"another version":                    {`sincroVersion="2.0"`, `sincroVersion="1.0"`},
		"an element of another name":         {"Relation>", "Description>"},
		"another namespace":                  {sincro.Namespace, "http://www.uni.com/U3011/sincro/"},
	} {
		changed := strings.ReplaceAll(string(text), change[0], change[1])
		if changed == string(text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if valid(t, changed) == nil {
			t.Errorf("%s is taken for good", name)
		}
	}
}

func TestIndexIsReadAsWritten(t *testing.T) {
	text, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := sample().Marshal()
	if err != nil || string(again) != string(text) {
		t.Errorf("the same index is written in two ways: %v", err)
	}
	got, err := sincro.Parse(text)
	if diff := cmp.Diff(sample(), got, cmp.Comparer(time.Time.Equal)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, wrong := range map[string]string{
		"no XML":         "index",
		"another digest": strings.Replace(string(text), "SHA-256", "SHA-1", 1),
		"no instant":     strings.Replace(string(text), "2026-12-01T", "ieri ", 1),
		"cut off":        string(text[:len(text)/2]),
	} {
		if _, err := sincro.Parse([]byte(wrong)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func TestGoodID(t *testing.T) {
	for id, want := range map[string]bool{"VATIT-01234567890": true, "TINIT-RSSMRA80A01H501U": true, "LP:IT-1": true, "01234567890": false, "VATIT-": false, "VAT-0": false, "": false} {
		if got := sincro.GoodID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
