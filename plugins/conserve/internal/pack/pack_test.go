package pack_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/conservetest"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/pack"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// sealed is a package in a folder, of documents that are their keys.
func sealed(t *testing.T, p *conservetest.Place, change func(*pack.Parts), keys ...string) store.Folder {
	t.Helper()
	plan := pack.Plan{Mailbox: "mario@alfa.example", Day: "2026-11-03", Number: 1, Created: time.Unix(1e9, 0).UTC(), Version: "1", Owner: "Alfa S.p.A."}
	for _, key := range keys {
		plan.Members = append(plan.Members, conservetest.Record(key, plan.Mailbox, plan.Day, key))
	}
	parts := p.Parts
	var err error
	parts.Index, err = plan.Index()
	conservetest.Good(t, err)
	parts.Signed, err = signer.SealAttached(t.Context(), p.Key, parts.Index)
	conservetest.Good(t, err)
	parts.Stamp, err = p.Verifier.Stamps.Stamp(t.Context(), parts.Signed)
	conservetest.Good(t, err)
	if change != nil {
		change(&parts)
	}
	files := plan.Files(parts, func(r deposit.Record) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(r.Key)), nil })
	if last := files[len(files)-1]; last.Name != pack.Sums {
		t.Errorf("the last file is %s", last.Name)
	}
	dir := store.Directory(t.TempDir())
	conservetest.Good(t, dir.Put(t.Context(), plan.Name(), files))
	return store.Folder(filepath.Join(string(dir), plan.Name()))
}

// Every file of a package counts: changed, missing, exchanged or added, it does not hold, and the fault is named.
func TestVerify(t *testing.T) {
	p, other := conservetest.New(t), conservetest.New(t)
	folder := sealed(t, p, nil, "one", "two")
	found, err := p.Verifier.Verify(t.Context(), folder)
	if err != nil || len(found.Index.Files) != 2 || !strings.Contains(found.Signer, "Alfa") {
		t.Fatalf("Verify = %+v, %v", found, err)
	}
	if _, err := other.Verifier.Verify(t.Context(), folder); !errors.Is(err, pack.ErrPackage) {
		t.Errorf("by other authorities: %v, want ErrPackage", err)
	}
	strangers := p.Verifier
	strangers.Signers = other.Verifier.Signers
	if _, err := strangers.Verify(t.Context(), folder); !errors.Is(err, pack.ErrPackage) {
		t.Errorf("by other signers: %v, want ErrPackage", err)
	}
	strangers = p.Verifier
	strangers.Stamps = other.Verifier.Stamps
	if _, err := strangers.Verify(t.Context(), folder); !errors.Is(err, pack.ErrPackage) {
		t.Errorf("by other stamps: %v, want ErrPackage", err)
	}
	path := func(name string) string { return filepath.Join(string(folder), name) }
	for name, want := range map[string]string{"documenti/00002.eml": "documenti/00002.eml was changed", pack.Index: "PIndex.xml is not what was signed",
		pack.Signed: "", pack.Stamp: ""} {
		whole, err := os.ReadFile(path(name))
		conservetest.Good(t, err)
		spoilt := bytes.Clone(whole)
		spoilt[len(spoilt)-2] ^= 1
		conservetest.Good(t, os.WriteFile(path(name), spoilt, 0o600))
		if _, err := p.Verifier.Verify(t.Context(), folder); !errors.Is(err, pack.ErrPackage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s changed: %v, want ErrPackage, %q", name, err, want)
		}
		conservetest.Good(t, os.Remove(path(name)))
		if _, err := p.Verifier.Verify(t.Context(), folder); err == nil {
			t.Errorf("%s missing: it holds", name)
		}
		conservetest.Good(t, os.WriteFile(path(name), whole, 0o600))
	}
	conservetest.Good(t, os.WriteFile(path("documenti/00003.eml"), nil, 0o600))
	if _, err := p.Verifier.Verify(t.Context(), folder); !errors.Is(err, pack.ErrPackage) || !strings.Contains(err.Error(), "documenti/00003.eml is not in the index") {
		t.Errorf("with a stranger: %v", err)
	}
}

// A stamp, a signature or an index of another package is none of this one.
func TestExchanged(t *testing.T) {
	p := conservetest.New(t)
	var other pack.Parts
	sealed(t, p, func(parts *pack.Parts) { other = *parts }, "three")
	for name, change := range map[string]func(*pack.Parts){
		"index": func(parts *pack.Parts) { parts.Index = other.Index }, "signature": func(parts *pack.Parts) { parts.Signed = other.Signed },
		"stamp": func(parts *pack.Parts) { parts.Stamp = other.Stamp },
		"all": func(parts *pack.Parts) {
			parts.Index, parts.Signed, parts.Stamp = other.Index, other.Signed, other.Stamp
		},
	} {
		if _, err := p.Verifier.Verify(t.Context(), sealed(t, p, change, "one")); !errors.Is(err, pack.ErrPackage) {
			t.Errorf("%s of another package: %v, want ErrPackage", name, err)
		}
	}
}

// The commands that check a package by hand stand in its instructions.
func TestInstructions(t *testing.T) {
	lines := strings.Split(string(pack.Instructions()), "\n")
	for _, command := range pack.Commands() {
		if !slices.Contains(lines, "    "+command) {
			t.Errorf("they do not say %q", command)
		}
	}
}
