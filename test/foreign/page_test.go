package foreign

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/tolerance.md anew")

// TestPage: the page for readers says what the tests ask for.
func TestPage(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "tolerance.md")
	want := page()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/tolerance.md is not what the tests say; run go test ./test/foreign -run TestPage -update (-want +got):\n%s", diff)
	}
}

func page() string {
	var b strings.Builder
	b.WriteString(`# What is tolerated, and what is not

Written by ` + "`go test ./test/foreign -run TestPage -update`" + `; the tests of that folder judge each line of it.

Real providers write in two ways: *OpenPEC* (Aruba until 2023, Sogei, Namirial) and *Java* (InfoCert, Postecom, Aruba since 2026). The tests write
every message in both, with a builder that shares nothing with ours, and change one thing at a time.

## Differences that are tolerated

A transport envelope or a receipt with any of these is what it says it is. Rows are those of [conformance.tsv](conformance.tsv); numbers like 10.3.5
are sections of the dossier on the wire.

| difference | in | row |
|---|---|---|
`)
	for _, d := range Differences() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", d.Name, or(d.Only, "both"), d.Rows)
	}
	b.WriteString(`
## Changes, and what comes of them

* **valid**: it is what it says; envelopes earn their receipts, notices state their facts. Such lines show where strictness ends.
* **anomaly**: signed by a provider, and wrong: it reaches its recipient inside an anomaly envelope, and earns nothing.
* **ordinary**: nobody of the directory is known to have signed it: refused with 550 5.7.1, or wrapped, by ` + "`[incoming] ordinary`" + `.
* **kept**: it may reach no mailbox: the operator gets it.

The words after the colon are the reason in metrics and logs; the last column is what the log says of it, in part.
`)
	all := mutations()
	for _, topic := range slices.Sorted(maps.Keys(all)) {
		b.WriteString("\n### " + topic + "\n\n| change | message | verdict | the log says |\n|---|---|---|---|\n")
		for _, m := range all[topic] {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.name, or(m.kind, "envelope"), m.want, m.says)
		}
	}
	return b.String()
}
