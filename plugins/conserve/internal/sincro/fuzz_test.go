package sincro_test

import (
	"bytes"
	"testing"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/sincro"
)

// What is read can be written, and is then read and written again to the same.
func FuzzParse(f *testing.F) {
	text, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := sincro.Parse(text)
		if err != nil {
			return
		}
		written, err := x.Marshal()
		if err != nil {
			return // a year that RFC 3339 cannot have
		}
		first, err := sincro.Parse(written)
		if err != nil {
			t.Fatalf("%q is read, and %q is not: %v", text, written, err)
		}
		again, err := first.Marshal()
		if err != nil || !bytes.Equal(written, again) || len(first.Files) != len(x.Files) {
			t.Errorf("%q becomes %q, %v", written, again, err)
		}
	})
}
