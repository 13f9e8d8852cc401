package examine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
)

// A file of a mail program: a mailbox line before the message, and line ends that are not all alike.
func TestSavedByPrograms(t *testing.T) {
	w := newWorld(t)
	good := w.beta.message(t, pec.KindDelivery)
	postmark := []byte("From posta-certificata@beta.example Sun Nov 22 20:15:00 2026\n")
	half := bytes.LastIndex(good[:len(good)/2], []byte("\r\n"))
	for name, test := range map[string]struct {
		file  []byte
		notes []string
	}{
		"as it was":             {good, nil},
		"mailbox line":          {append(bytes.Clone(postmark), good...), []string{"From …"}},
		"mailbox line and LF":   {append(bytes.Clone(postmark), bytes.ReplaceAll(good, []byte("\r\n"), []byte("\n"))...), []string{"From …", "bare LF"}},
		"LF from the middle on": {append(bytes.Clone(good[:half]), bytes.ReplaceAll(good[half:], []byte("\r\n"), []byte("\n"))...), []string{"bare LF"}},
		"LF at the end":         {append(bytes.Clone(good[:len(good)-2]), '\n'), []string{"bare LF"}},
	} {
		r := report(t, w.everything(), test.file)
		if results(r) != "ttttttt" || !r.OK || (r.Note == "") != (test.notes == nil) {
			t.Errorf("%s: %s", name, r.Text())
		}
		for _, note := range test.notes {
			if !strings.Contains(r.Note, note) {
				t.Errorf("%s: the note %q lacks %q", name, r.Note, note)
			}
		}
	}
}

// What is no message is quoted, so that one sees what was taken for one.
func TestNoMessage(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "note.txt")
	if err := os.WriteFile(path, []byte("Dear help desk,\nhere is the receipt.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := e.File(path).Error; !strings.Contains(got, `"Dear help desk,`) {
		t.Errorf("a letter is not a message because: %q", got)
	}
}

func TestBareLineFeeds(t *testing.T) {
	w := newWorld(t)
	bare := bytes.ReplaceAll(w.beta.message(t, pec.KindDelivery), []byte("\r\n"), []byte("\n"))
	r := report(t, w.everything(), bare)
	if got := results(r); got != "ttttttt" || !r.OK || !strings.Contains(r.Note, "LF") || !strings.Contains(r.Text(), "note: ") {
		t.Errorf("%s, note %q\n%s", got, r.Note, r.Text())
	}
	if note, _ := decode(t, r)["note"].(string); !strings.Contains(note, "CRLF") {
		t.Errorf("the note of the JSON is %q", note)
	}
	altered := bytes.Replace(bare, []byte("\nContent-Type: text/plain"), []byte("\nContent-Type: text/html"), 1)
	if r := report(t, w.everything(), altered); results(r) != "f------" || r.Note == "" {
		t.Errorf("altered: %s", r.Text())
	}
}

// Long lines, and files of which only some lines lack a CR, come out with CRLF throughout.
func TestAddReturns(t *testing.T) {
	long := strings.Repeat("x", 64<<10-1)
	for in, want := range map[string]string{
		"a\nb": "a\r\nb", "a\r\nb\n": "a\r\nb\r\n", "\n\n": "\r\n\r\n", "": "", long + "\r\n": long + "\r\n", long + "yz\n": long + "yz\r\n",
		"a\rb\n": "a\rb\r\n",
	} {
		var out bytes.Buffer
		if err := addReturns(&out, strings.NewReader(in)); err != nil || out.String() != want {
			t.Errorf("%.20q: %.20q, %v; want %.20q", in, out.String(), err, want)
		}
	}
}
