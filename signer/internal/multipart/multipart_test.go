package multipart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestValidBoundary(t *testing.T) {
	for b, want := range map[string]bool{
		"a": true, "----=_Part_1_2.3": true, "a b": true, "'()+_,-./:=?": true, strings.Repeat("x", 70): true,
		"": false, "a ": false, strings.Repeat("x", 71): false, `a"b`: false, `a\b`: false, "a\r\nb": false, "a;b": false, "à": false, "a*b": false,
	} {
		if got := ValidBoundary(b); got != want {
			t.Errorf("ValidBoundary(%q) = %t, want %t", b, got, want)
		}
	}
}

// scan feeds text in pieces of size bytes.
func scan(text string, size int) ([]Delimiter, error) {
	s := NewScan("b", 0)
	for rest := text; rest != ""; {
		n := min(size, len(rest))
		if err := s.Feed([]byte(rest[:n])); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	err := s.Finish()
	return s.Delimiters(), err
}

func TestScanFindsDelimitersInPiecesOfAnySize(t *testing.T) {
	for _, c := range []struct {
		text string
		want []Delimiter
	}{
		{"", nil},
		{"\r\n", nil},
		{"x\r\n-\r\n--\r\n-b\r\n--c\r\n --b\r\nx--b\r\n", nil},
		{"--b\r\n", []Delimiter{{0, 5, false}}},
		{"--b \t\r\nx\r\n--b--", []Delimiter{{0, 7, false}, {10, 15, true}}},
		{"x\r\n--b\r\n--b\r\n--b--\r\ny\r\n", []Delimiter{{3, 8, false}, {8, 13, false}, {13, 20, true}}},
		{"\r\n\r\n--b--  \r\n-", []Delimiter{{4, 13, true}}},
	} {
		for size := 1; size <= len(c.text)+1; size++ {
			got, err := scan(c.text, size)
			if err != nil {
				t.Errorf("%q in pieces of %d: %v", c.text, size, err)
			} else if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q in pieces of %d (-want +got):\n%s", c.text, size, diff)
			}
		}
	}
}

func TestScanRefuses(t *testing.T) {
	for _, text := range []string{
		"x\ny\r\n", "x\ry\r\n", "x\r", "x\r\r\n", "\n", "\n\r", "--b\n", "--b\r", "--b\rx\r\n", "--b", "--b ", "--bx\r\n", "--b-\r\n", "--b--x\r\n",
		"--b--x", "--b x\r\n", "--b" + strings.Repeat(" ", maxPadding+1) + "\r\n", "--b\r\n--b\r\n--b\r\n--b\r\n",
		"-\n", "--\n", "--b--\n",
	} {
		for size := 1; size <= len(text); size++ {
			if got, err := scan(text, size); err == nil {
				t.Errorf("%q in pieces of %d = %v, want an error", text, size, got)
			}
		}
	}
}

// FuzzScan: the pieces do not matter, delimiters are where they say, and what is settled stays so.
func FuzzScan(f *testing.F) {
	f.Add("x\r\n--b\r\ny\r\n--b--\r\n", 3)
	f.Add("--b \r\n--bx\r\n", 1)
	f.Add("a\nb\r--b", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size < 1 {
			return
		}
		whole, wholeErr := scan(text, len(text)+1)
		pieces, err := scan(text, size)
		if (err == nil) != (wholeErr == nil) {
			t.Fatalf("in one piece %v, in pieces of %d %v", wholeErr, size, err)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(whole, pieces); diff != "" {
			t.Fatalf("in pieces of %d (-one +pieces):\n%s", size, diff)
		}
		for _, d := range whole {
			line := text[d.Start:d.End]
			if !strings.HasPrefix(line, "--b") || d.Start > 0 && text[d.Start-2:d.Start] != "\r\n" {
				t.Fatalf("%q is no delimiter line", line)
			}
		}
		settles(t, text, size)
	})
}

func settles(t *testing.T, text string, size int) {
	t.Helper()
	s, settled := NewScan("b", 0), int64(-2)
	for pos := 0; pos < len(text); {
		n := min(size, len(text)-pos)
		before := len(s.Delimiters())
		if err := s.Feed([]byte(text[pos : pos+n])); err != nil {
			return
		}
		for _, d := range s.Delimiters()[before:] {
			if d.Start-2 < settled {
				t.Fatalf("a delimiter at %d after %d was settled", d.Start, settled)
			}
		}
		pos += n
		if settled = max(settled, s.Settled()); int64(pos)-s.Settled() > MaxUnsettled {
			t.Fatalf("%d bytes are not settled", int64(pos)-s.Settled())
		}
	}
}
