package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: whatever stands in the file, it is a configuration or faults of one line each, never a panic.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/good.toml") {
		f.Add(fileText(f, file))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x", []byte(text))
		faults, ok := errors.AsType[Faults](err)
		if (c == nil) == (err == nil) || err != nil && (!ok || len(faults) == 0) {
			t.Fatalf("Parse = %v, %v; want a configuration or faults", c, err)
		}
		for _, fault := range faults {
			if fault.Line < 1 || fault.Column < 1 || strings.ContainsAny(fault.String(), "\r\n\x1b") {
				t.Errorf("%q is no fault of one line", fault)
			}
		}
	})
}

// FuzzSenderMap: a map gives nobody an address that is not on a line that begins with the login; all else is faults.
func FuzzSenderMap(f *testing.F) {
	for _, seed := range []string{"", "mario@alfa.example info@alfa.example # office\n", "a\n", "a b\n", "a b@c\r\na d@e f@g", "# x\n\t\n", "a b@c\x00d"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseSenderMap("x", data)
		faults, ok := errors.AsType[Faults](err)
		if (m == nil) == (err == nil) || err != nil && (!ok || len(faults) == 0) {
			t.Fatalf("%v, %v; want a map or faults", m, err)
		}
		for _, fault := range faults {
			if fault.Line < 1 || strings.ContainsAny(fault.String(), "\r\n\x1b") {
				t.Errorf("%q is no fault of one line", fault)
			}
		}
		for login, addresses := range m {
			for _, a := range addresses {
				if a.IsZero() || !m.May(login, a) || !strings.Contains(strings.ToLower(string(data)), a.String()) {
					t.Errorf("%q may send as %q", login, a)
				}
			}
		}
	})
}
