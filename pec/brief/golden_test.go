package brief

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

var byDefault = Settings{Over: OverDecoded, Algorithm: SHA1}

// joined are the bytes of an original.
func joined(t testing.TB, o *Original) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, p := range o.Pieces {
		piece := make([]byte, p.Size())
		if n, err := p.ReadAt(piece, 0); int64(n) != p.Size() {
			t.Fatal(err)
		}
		b.Write(piece)
	}
	return b.Bytes()
}

func golden(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	return files
}

// TestGolden cuts every message in testdata; README there says what each is for. What cannot be cut names the reason.
func TestGolden(t *testing.T) {
	conformance.Covers(t, "C171", "C172", "C173", "C174", "C175", "C176")
	for _, file := range golden(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			message, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o, err := Cut(pec.Bytes(message), byDefault)
			var got []byte
			switch {
			case errors.Is(err, ErrUncertain):
				got = []byte(err.Error() + "\n")
			case err != nil:
				t.Fatal(err)
			default:
				got = joined(t, o)
			}
			if whole := filepath.Base(file) >= "5"; whole != (err != nil) {
				t.Errorf("cutting ended with %v; from 50 on, and only there, nothing may be cut", err)
			}
			path := strings.TrimSuffix(file, ".eml") + ".want"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("not as in %s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// Every message is listed in the README, and nothing else is.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("testdata/README")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n\n")
	var listed, there []string
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(line, ":")
		listed = append(listed, name)
	}
	for _, file := range golden(t) {
		there = append(there, strings.TrimSuffix(filepath.Base(file), ".eml"))
	}
	if diff := cmp.Diff(there, listed); diff != "" {
		t.Errorf("testdata/README (-files +README):\n%s", diff)
	}
}
