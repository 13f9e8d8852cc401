package brief

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

// FuzzCut: whatever a message is, it is cut or left to the complete receipt, and never anything else. What is cut gives
// the same bytes again, has the same parts again, and is the message itself when it has no file.
func FuzzCut(f *testing.F) {
	for _, file := range golden(f) {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message, uint8(0))
	}
	f.Fuzz(func(t *testing.T, message []byte, setting uint8) {
		s := allSettings()[setting%4]
		o, err := Cut(pec.Bytes(message), s)
		if errors.Is(err, ErrUncertain) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		cut := joined(t, o)
		again, err := Cut(pec.Bytes(message), s)
		if err != nil || !bytes.Equal(joined(t, again), cut) {
			t.Fatalf("another run: %v", err)
		}
		if len(o.Files) == 0 && !bytes.Equal(cut, message) {
			t.Fatal("changed, although nothing was replaced")
		}
		twice, err := Cut(pec.Bytes(cut), s)
		if err != nil && len(message) > 4<<10 {
			return // over a limit, by the length of the suffix
		}
		if err != nil || len(twice.Files) != len(o.Files) {
			t.Fatalf("what was made of it is not what it was: %v\n%q\n%q", err, message, cut)
		}
		for i, file := range twice.Files {
			if want := o.Files[i].Name + pec.HashSuffix; file.Name != want || !bytes.Contains(cut, []byte(o.Files[i].Sum)) {
				t.Fatalf("file %d is %q, want %q with %s", i, file.Name, want, o.Files[i].Sum)
			}
		}
		if strings.Count(string(cut), "\r\n--") < strings.Count(string(message), "\r\n--") && len(o.Files) == 0 {
			t.Fatal("a delimiter is gone")
		}
	})
}
