package style

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seed is one fault, planted in a tree that has no other.
type seed struct {
	rule string
	path string
	text string // of the file at path; "§" stands for a back-quote
	want string // within the sentence; empty: no fault
}

func seeds() []seed {
	long := "package pec\n\nfunc f() {\n" + strings.Repeat("\tg()\n", 60) + "}\n"
	return []seed{
		{"layers", "pec/a.go", "package pec\nimport _ §" + module + "/signer§\n", "pec must not import signer"},
		{"layers", "policy/a.go", "package policy\nimport _ §" + module + "/internal/config§\n", "policy must not import internal/config"},
		{"layers", "internal/odd/a.go", "package odd\n", "internal/odd has no layer"},
		{"layers", "cmd/x/a.go", "package main\nimport _ §" + module + "/lda§\n", ""},
		{"layers", "signer/sub/a.go", "package sub\nimport _ §" + module + "/signer§\n", ""},
		{"neighbours", "lda/a_test.go", "package lda\nimport _ §" + module + "/milter§\n", "must not import each other"},
		{"neighbours", "milter/sub/a.go", "package sub\nimport _ §" + module + "/lda/x§\n", "must not import each other"},
		{"sdk", "plugins/a.go", "package plugins\nimport _ §" + module + "/internal/clock§\n", "must not import internal/clock"},
		{"sdk", "plugins/host/a.go", "package host\nimport _ §" + module + "/internal/clock§\n", ""},
		{"libraries", "milter/a.go", "package milter\nimport _ §google.golang.org/grpc/codes§\n", "only plugins/host may import"},
		{"libraries", "plugins/a.go", "package plugins\nimport _ §google.golang.org/grpc/codes§\n", ""},
		{"test packages", "lda/a.go", "package lda\nimport _ §" + module + "/internal/conformance§\n", "for tests only"},
		{"test packages", "lda/a_test.go", "package lda\nimport _ §" + module + "/internal/conformance§\n", ""},
		{"test packages", "pec/a.go", "package pec\nimport _ §testing§\n", "for tests only"},
		{"libraries", "lda/a.go", "package lda\nimport _ §github.com/emersion/go-milter§\n", "only milter/internal/wire may import"},
		{"libraries", "cmd/ceralacca/a.go", "package main\nimport _ §github.com/pelletier/go-toml/v2§\n", "only internal/config may import"},
		{"libraries", "lda/a_test.go", "package lda\nimport _ §github.com/emersion/go-milter§\n", ""},
		{"libraries", "deploy/lab/a.go", "package lab\nimport _ §github.com/emersion/go-imap/v2§\n", ""},
		{"libraries", "plugins/conserve/internal/imap/a.go", "package imap\nimport _ §github.com/emersion/go-imap/v2§\n", ""},
		{"libraries", "plugins/conserve/internal/intake/a.go", "package intake\nimport _ §github.com/emersion/go-imap/v2§\n", "only internal/mailbox may import"},
		{"libraries", "milter/internal/wire/a.go", "package wire\nimport _ §github.com/emersion/go-milter§\n", ""},
		{"libraries", "policy/a.go", "package policy\nimport _ §example.org/new/thing/v2§\n", "one library, one package"},
		{"keys", "milter/a.go", "package milter\nimport _ §crypto/rsa§\n", "only signer may import crypto/rsa"},
		{"keys", "milter/a.go", "package milter\nimport §crypto/x509§\nfunc f() { x509.ParsePKCS8PrivateKey(nil) }\n", "only signer may read private keys"},
		{"keys", "signer/a.go", "package signer\nimport _ §crypto/rsa§\n", ""},
		{"dependencies", "pec/a.go", "package pec\nimport _ §example.org/undocumented/x§\n", "no line for example.org/undocumented,"},
		{"dependencies", "pec/a.go", "package pec\nimport _ §example.org/new/thing/v2§\n", ""},
		{"dependencies", "docs/dependencies.md", "| §example.org/new/thing§ | x |\n| §example.org/gone§ | x |\n", "no go.mod asks for example.org/gone."},
		{"dependencies", "tools/go.mod", "module x\n\nreplace example.org/new/thing => ../y\n", "no replace here"},
		{"sizes", "pec/a.go", long, "f has 62 lines"},
		{"sizes", "pec/a_test.go", long, ""},
		{"sizes", "pec/a.go", "package pec\nfunc f(a, b, c int, d, e string, f bool) {}\n", "6 parameters"},
		{"sizes", "deploy/lab/a.go", "package lab\n" + strings.Repeat("\n", 400), "401 lines"},
		{"package docs", "lda/a.go", "package lda\n", "lda: the package has no comment"},
		{"package docs", "lda/a.go", "// Package lda does everything.\npackage lda\n", "does not say what it does not do"},
		{"package docs", "lda/a.go", "// Package lda delivers. It does not sign.\npackage lda\n", ""},
		{"exported docs", "pec/a.go", "package pec\nfunc F() {}\n", "F has no comment"},
		{"exported docs", "pec/a.go", "package pec\n// F does\nfunc F() {}\n", "F has no comment that ends"},
		{"exported docs", "pec/a.go", "package pec\n// T is.\ntype T int\nfunc (t *T) M() {}\n", "M has no comment"},
		{"exported docs", "pec/a.go", "package pec\nconst (\n\tA = 1 // one\n)\n", "A has no comment"},
		{"exported docs", "pec/a.go", "package pec\n// The numbers. [" + "C043]\nconst (\n\tA = 1 // one\n)\n", ""},
		{"exported docs", "pec/a.go", "package pec\ntype t int\nfunc (t t) Less() {}\n", ""},
		{"clock", "lda/a.go", "package lda\nimport §time§\nvar _ = time.Now\n", "time.Now belongs to internal/clock"},
		{"clock", "lda/a.go", "package lda\nimport t §time§\nvar _ = t.After\n", "time.After belongs"},
		{"clock", "internal/clock/a.go", "package clock\nimport §time§\nvar _ = time.Now\n", ""},
		{"clock", "lda/a_test.go", "package lda\nimport §time§\nvar _ = time.Now\n", ""},
		{"corpora", "lda/a_test.go", "package lda\nfunc FuzzReplies(f *testing.F) {}\n", "FuzzReplies has no corpus in lda/testdata/fuzz/FuzzReplies"},
		{"corpora", "lda/a_test.go", "package lda\nfunc TestReplies(t *testing.T) {}\n", ""},
		{"italian", "lda/a.go", "package lda\nconst x = §X-Ricevuta§\n", "the Italian word \"Ricevuta\""},
		{"italian", "pec/compose/a.go", "package compose\nconst x = \"<mittente>\"\n", "the Italian word"},
		{"italian", "internal/config/a.go", "package config\nconst x = §posta-certificata@alfa.example§\n", ""},
		{"italian", "pec/wire.go", "package pec\nconst x = \"<mittente>\"\n", ""},
		{"italian", "lda/a.go", "package lda\n// X-Ricevuta is read here.\nconst x = §complete, brief, transport§\n", ""},
		{"mutable state", "lda/a.go", "package lda\nvar count int\n", "count is without a value"},
		{"mutable state", "lda/a.go", "package lda\nvar seen = make(map[string]bool)\n", "made to be filled"},
		{"mutable state", "lda/a.go", "package lda\nvar limit = 3\n", "a constant in disguise"},
		{"mutable state", "lda/a.go", "package lda\nvar codes = map[int]string{}\nfunc f() { codes[1] = §x§ }\n", "codes, a variable of the package, is changed"},
		{"mutable state", "lda/a.go", "package lda\nvar codes = map[int]string{}\nfunc f() { codes := map[int]string{}; codes[1] = §x§ }\n", ""},
		{"mutable state", "lda/a.go", "package lda\nimport §errors§\nvar ErrX = errors.New(§x§)\nvar _ error = ErrX\n//go:embed x\nvar text string\n", ""},
		{"init", "lda/a.go", "package lda\nfunc init() {}\n", "no init here"},
		{"init", "lda/a.go", "package lda\ntype t int\nfunc (t) init() {}\n", ""},
		{"durable files", "lda/a.go", "package lda\nimport §os§\nfunc f() { os.Rename(§a§, §b§) }\n", "use internal/fsx"},
		{"durable files", "internal/fsx/a.go", "package fsx\nimport §os§\nfunc f() { os.Rename(§a§, §b§) }\n", ""},
		{"places", "deploy/x.sh", "cd /" + "work/main\n", "deploy/x.sh:1: a path of somebody's machine"},
		{"places", "deploy/x.sh", "cd $lab/" + "work/main\n", ""},
		{"places", "lda/a_test.go", "package lda\nconst x = §../" + "shared/spec§\n", "nothing outside the tree"},
		{"glossary", "docs/glossary.md", "§pec.KindGone§", "there is no pec.KindGone"},
		{"todo", "lda/a.go", "package lda\n// TO" + "DO: later\n", "write TODO(#issue)"},
		{"todo", "lda/a.go", "package lda\n// TO" + "DO(#4): clocks.\n", ""},
	}
}

func TestRulesFindTheirFaults(t *testing.T) {
	tested := map[string]bool{}
	for _, s := range seeds() {
		tested[s.rule] = true
		t.Run(s.rule+"/"+s.path, func(t *testing.T) {
			faults := rules[s.rule](plant(t, s))
			got := strings.Join(faults, "\n")
			switch {
			case s.want == "" && got != "":
				t.Errorf("faults in\n%s\n%s\nwant none", s.text, got)
			case !strings.Contains(got, s.want):
				t.Errorf("faults in\n%s\n%q\nwant one that says %q", s.text, got, s.want)
			}
		})
	}
	for name := range rules {
		if !tested[name] {
			t.Errorf("the rule %q has no seeded fault", name)
		}
	}
}

// plant writes a small tree without faults, and the seed into it.
func plant(t *testing.T, s seed) *tree {
	t.Helper()
	files := map[string]string{
		"go.mod":               "module " + module + "\n\nrequire example.org/new/thing v1.0.0 // indirect\nrequire (\n\texample.org/undocumented v1.0.0\n)\n",
		"docs/dependencies.md": "| library | why |\n|---|---|\n| §example.org/new/thing§ | x |\n",
		"signer/doc.go":        "// Package signer seals. It does not read.\npackage signer\nimport _ §example.org/new/thing§\n",
		s.path:                 s.text,
	}
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "§", "`")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	planted, err := loadTree(root)
	if err != nil {
		t.Fatal(err)
	}
	return planted
}
