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
		f.Add(readFile(f, file))
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
