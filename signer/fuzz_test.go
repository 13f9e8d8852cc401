package signer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

var update = flag.Bool("update", false, "make the seeds of the fuzz tests anew, with keys that nobody has afterwards")

// seeds reads the files of a folder of testdata.
func seeds(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no seeds %s: %v", pattern, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = content
	}
	return files
}

// TestSeeds holds the seeds to what their names say: they are the messages that a mutation starts from.
func TestSeeds(t *testing.T) {
	if *update {
		makeSeeds(t)
	}
	for name, message := range seeds(t, "open/*.eml") {
		if _, err := Open(pec.Bytes(message)); err != nil {
			t.Errorf("Open of %s: %v", name, err)
		}
	}
	for name, cms := range seeds(t, "attached/*.p7m") {
		if _, _, _, err := OpenAttached(cms); err != nil {
			t.Errorf("OpenAttached of %s: %v", name, err)
		}
	}
}

func makeSeeds(t *testing.T) {
	p := newParty(t)
	der := cmsOf(t, p, testContent)
	ours, _ := sealed(t, p, testArtefact(testContent))
	folded := newFixture(testContent, der).with(func(f *fixture) {
		f.contentType = " multipart/signed; protocol=application/pkcs7-signature;\r\n\tmicalg=SHA1; boundary=" + boundaryOfOthers + "; "
		f.preamble, f.epilogue = "This is a S/MIME signed message\r\n\r\n", "\r\n"
	})
	for name, content := range map[string][]byte{
		"open/ours.eml":      ours,
		"open/der.eml":       []byte(newFixture(testContent, der).String()),
		"open/folded.eml":    []byte(folded.String()),
		"open/ber.eml":       []byte(newFixture(testContent, indefinite(t, der, true, p.cert.Raw)).String()),
		"open/sha1.eml":      []byte(newFixture(testContent, cmsOf(t, p, testContent, "-md", "sha1")).String()),
		"attached/der.p7m":   cmsOf(t, p, testContent, "-nodetach"),
		"attached/ber.p7m":   cmsOf(t, p, testContent, "-nodetach", "-stream"),
		"attached/chain.p7m": cmsOf(t, p, testContent, "-nodetach", "-certfile", p.caFile),
	} {
		path := filepath.Join("testdata", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// refused are seeds that lead to the errors.
func refused(t testing.TB) [][]byte {
	good := seeds(t, "open/*.eml")["der.eml"]
	var messages [][]byte
	for old, with := range map[string]string{
		"MIME-Version":                        "Content-Type: text/plain\r\nMIME-Version",
		"boundary=":                           "boundary*0=",
		"--ceralacca\r\n":                     "--" + boundaryOfOthers + "x\r\n",
		"-- \r\n":                             "--" + boundaryOfOthers + " \r\n",
		"\r\n\r\n--inner":                     "\n\n--inner",
		"base64\r\nContent-Disposition":       "binary\r\nContent-Disposition",
		"application/x-pkcs7-signature; name": "text/plain; name",
	} {
		messages = append(messages, bytes.Replace(good, []byte(old), []byte(with), 1))
	}
	deep := newFixture(testContent, bytes.Repeat([]byte{0x30, 0x80}, 1000))
	return append(messages, []byte(deep.String()), good[:len(good)/2])
}

// FuzzOpen: nobody has the keys of the seeds, so whatever opens has their content and no other.
func FuzzOpen(f *testing.F) {
	for _, message := range seeds(f, "open/*.eml") {
		f.Add(message)
	}
	for _, message := range refused(f) {
		f.Add(message)
	}
	want := sha256.Sum256([]byte(testContent))
	kinds := []error{ErrNotSigned, ErrMalformed, ErrSignature}
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := Open(pec.Bytes(message))
		if err != nil {
			if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
				t.Fatalf("Open: %v, which is an error of no kind", err)
			}
			return
		}
		if sum := sha256.Sum256([]byte(readAll(t, got.Content))); sum != got.Digest || sum != want {
			t.Fatalf("Open of a forgery:\n%s", message)
		}
	})
}

// FuzzOpenAttached: the same.
func FuzzOpenAttached(f *testing.F) {
	for _, cms := range seeds(f, "attached/*.p7m") {
		f.Add(cms)
	}
	f.Fuzz(func(t *testing.T, cms []byte) {
		content, signer, _, err := OpenAttached(cms)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignature) {
				t.Fatalf("OpenAttached: %v, which is an error of no kind", err)
			}
			return
		}
		if string(content) != testContent || signer == nil {
			t.Fatalf("OpenAttached of a forgery: % x", cms)
		}
	})
}
