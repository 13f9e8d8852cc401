package brief

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// otherwise are messages whose names Python reads otherwise, each for the reason given.
var otherwise = map[string]string{
	"testdata/04-names.eml": "bare names with spaces, escapes, raw bytes, comments: see TestNames",
}

// TestPythonAgrees: another parser finds the same parts in what is made of a message as in the message, all that is no
// file unchanged, and the hashes that it makes itself, with every setting.
func TestPythonAgrees(t *testing.T) {
	conformance.Covers(t, "C171", "C172", "C173", "C174", "C175", "C176")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	var list strings.Builder
	cut := 0
	for _, file := range golden(t) {
		message, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range allSettings() {
			o, err := Cut(pec.Bytes(message), s)
			if errors.Is(err, ErrUncertain) || otherwise[file] != "" {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, fmt.Sprint(i, filepath.Base(file)))
			if err := os.WriteFile(path, joined(t, o), 0o600); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&list, "%s\t%s\t%s\t%s\n", file, path, s.Over, s.Algorithm)
			cut++
		}
	}
	if cut < 100 {
		t.Fatalf("%d messages to compare", cut)
	}
	c := exec.CommandContext(t.Context(), python, "testdata/compare.py")
	c.Stdin = strings.NewReader(list.String())
	out, err := c.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func allSettings() []Settings {
	return []Settings{{OverDecoded, SHA1}, {OverDecoded, SHA256}, {OverEncoded, SHA1}, {OverEncoded, SHA256}}
}
