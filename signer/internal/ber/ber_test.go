package ber

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestToDER(t *testing.T) {
	conformance.Covers(t, "C257")
	for _, c := range []struct{ name, in, want string }{
		{"DER", "30 06 02 01 05 04 01 aa", "30 06 02 01 05 04 01 aa"},
		{"a long form that is not needed", "30 81 03 02 01 05", "30 03 02 01 05"},
		{"a long form with zeros", "30 83 00 00 03 02 01 05", "30 03 02 01 05"},
		{"no length", "30 80 02 01 05 00 00", "30 03 02 01 05"},
		{"no length, empty", "30 80 00 00", "30 00"},
		{"no length within no length", "30 80 31 80 02 01 05 00 00 00 00", "30 05 31 03 02 01 05"},
		{"no length within a length", "30 07 31 80 02 01 05 00 00", "30 05 31 03 02 01 05"},
		{"a length within no length", "30 80 31 03 02 01 05 00 00", "30 05 31 03 02 01 05"},
		{"an octet string in pieces", "24 80 04 01 aa 04 02 bb cc 00 00", "04 03 aa bb cc"},
		{"an octet string in pieces of pieces", "30 80 24 07 04 01 aa 24 02 04 00 00 00", "30 03 04 01 aa"},
		{"an octet string in no pieces", "a0 04 24 80 00 00", "a0 02 04 00"},
		{"zeros in a value", "30 80 04 02 00 00 02 01 00 00 00", "30 07 04 02 00 00 02 01 00"},
		{"a tag of two bytes", "bf 81 01 80 04 01 aa 00 00", "bf 81 01 03 04 01 aa"},
		{"a primitive", "02 01 05", "02 01 05"},
		{"a bit string", "30 80 03 02 00 ff 00 00", "30 04 03 02 00 ff"},
	} {
		got, err := ToDER(unhex(t, c.in), 100)
		if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("ToDER of %s = % x, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestToDERRefuses(t *testing.T) {
	conformance.Covers(t, "C257")
	for _, c := range []struct{ name, in string }{
		{"nothing", ""},
		{"a tag alone", "30"},
		{"a tag without its end", "bf 81"},
		{"a tag of six bytes", "bf 81 81 81 81 01 00"},
		{"a length without its end", "30 82 01"},
		{"a length of five bytes", "30 85 00 00 00 00 00"},
		{"a length of four gigabytes", "30 84 ff ff ff ff"},
		{"a length beyond the end", "30 03 02 01"},
		{"a length beyond that of what encloses it", "30 03 02 02 05 06"},
		{"a primitive without a length", "04 80 00 00"},
		{"no end", "30 80 02 01 05"},
		{"half an end", "30 80 02 01 05 00"},
		{"an end too many", "30 03 02 01 05 00 00"},
		{"an end within a length", "30 02 00 00"},
		{"an end at first", "00 00"},
		{"a second element", "02 01 05 02 01 05"},
		{"an octet string of integers", "24 80 02 01 05 00 00"},
	} {
		if got, err := ToDER(unhex(t, c.in), 100); err == nil {
			t.Errorf("ToDER of %s = % x, want an error", c.name, got)
		}
	}
}

func TestBounds(t *testing.T) {
	nested := func(depth int) []byte {
		b := []byte{2, 1, 5}
		for range depth {
			b = append(append([]byte{0x30, 0x80}, b...), 0, 0)
		}
		return b
	}
	if _, err := ToDER(nested(maxDepth), 1000); err != nil {
		t.Errorf("ToDER at the depth that is allowed: %v", err)
	}
	if _, err := ToDER(nested(maxDepth+1), 1000); err == nil {
		t.Error("ToDER goes deeper than is allowed")
	}
	if _, err := ToDER(nested(1), 6); err == nil {
		t.Error("ToDER takes more bytes than is allowed")
	}
	many := func(n int) []byte {
		return append(append([]byte{0x30, 0x80}, bytes.Repeat([]byte{5, 0}, n)...), 0, 0)
	}
	if _, err := ToDER(many(maxElements-1), 1<<20); err != nil {
		t.Errorf("ToDER of as many elements as are allowed: %v", err)
	}
	if _, err := ToDER(many(maxElements), 1<<20); err == nil {
		t.Error("ToDER takes more elements than is allowed")
	}
}

// TestFourMegabytesOfNesting: bytes that end a process with a decoder that calls itself.
func TestFourMegabytesOfNesting(t *testing.T) {
	started := time.Now()
	for name, unit := range map[string][]byte{"without lengths": {0x30, 0x80}, "octet strings": {0x24, 0x80}, "contexts": {0xa0, 0x80}} {
		if _, err := ToDER(bytes.Repeat(unit, 2<<20), 8<<20); err == nil {
			t.Errorf("ToDER of 4 MB of nesting %s gives no error", name)
		}
	}
	if d := time.Since(started); d > time.Second {
		t.Errorf("refusing it took %s", d)
	}
}

// FuzzToDER: what comes out is DER in the eyes of encoding/asn1, and does not change any more.
func FuzzToDER(f *testing.F) {
	for _, seed := range [][]byte{
		{0x30, 0x80, 0x24, 0x80, 4, 1, 0xaa, 0, 0, 0, 0}, {0x30, 3, 2, 1, 5}, {0xbf, 0x81, 1, 0x80, 0, 0},
		bytes.Repeat([]byte{0x30, 0x80}, 100), {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		der, err := ToDER(b, 1<<16)
		if err != nil {
			return
		}
		if len(der) > len(b)+4*maxElements {
			t.Fatalf("%d bytes became %d", len(b), len(der))
		}
		again, err := ToDER(der, 1<<18)
		if err != nil || !bytes.Equal(again, der) {
			t.Fatalf("% x became % x, and that % x, %v", b, der, again, err)
		}
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err == nil && len(rest) > 0 {
			t.Fatalf("% x became % x, which ends early", b, der)
		}
	})
}
