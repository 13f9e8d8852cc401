package signer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// Every sort of message that package pec composes, from its golden files: the checks pass, OpenSSL verifies the
// signature and reads the content byte for byte, and so do we.
func TestWhatPecComposesCanBeSealed(t *testing.T) {
	conformance.Covers(t, "C001", "C142")
	p := newParty(t)
	files, err := filepath.Glob("../pec/compose/testdata/*.eml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			artefact, content := composed(t, file)
			message, _ := sealed(t, p, artefact)
			got := opens(t, p, string(message), content)
			if diff := cmp.Diff(artefact.Header, got.Header); diff != "" {
				t.Errorf("the header differs (-want +got):\n%s", diff)
			}
			if _, err := pec.ReadParts(got.Content); err != nil {
				t.Errorf("ReadParts: %v", err)
			}
		})
	}
}

// composed makes an artefact of a golden file: header, empty line, content.
func composed(t *testing.T, file string) (*pec.Artefact, string) {
	t.Helper()
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	source := pec.Bytes(golden)
	header, body, err := pec.ReadHeader(source, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	kind := header.Get(pec.FieldReceipt) + header.Get(pec.FieldTransport)
	_, after, _ := strings.Cut(header.Get("Content-Type"), `boundary="`)
	boundary, _, _ := strings.Cut(after, `"`)
	content := pec.Section(source, body, source.Size()-body)
	return &pec.Artefact{Kind: pec.Kind(kind), Header: header, Boundary: boundary, Content: []pec.Source{content}}, readAll(t, content)
}
