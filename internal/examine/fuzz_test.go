package examine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

// Whatever the file, there is a report, and nothing that is not certified mail holds.
func FuzzFile(f *testing.F) {
	w := newWorld(f)
	good := w.beta.message(f, pec.KindDelivery)
	f.Add(good)
	f.Add(w.alfa.message(f, pec.KindTransport))
	f.Add([]byte("From: a@b.example\n\nx\n"))
	f.Add([]byte("X-Ricevuta: avvenuta-consegna\r\n\r\n"))
	e, err := New(w.everything())
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "m")
	f.Fuzz(func(t *testing.T, message []byte) {
		if err := os.WriteFile(path, message, 0o600); err != nil {
			t.Fatal(err)
		}
		r := e.File(path)
		if r.Text() == "" || r.OK && (r.Error != "" || results(r)[0] != 't') {
			t.Errorf("%s", r.Text())
		}
	})
}
