package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTableOfTheTree(t *testing.T) {
	table, err := tableOfTest()
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 261 {
		t.Errorf("%d rows, want 261", len(table.Rows))
	}
	for n, row := range table.Rows {
		if want := fmt.Sprintf("C%03d", n+1); row.ID != want {
			t.Errorf("row %d: id %q, want %q", n+1, row.ID, want)
		}
	}
}

func TestTableSurvivesBeingWritten(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, TablePath))
	if err != nil {
		t.Fatal(err)
	}
	table, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), string(table.Bytes())); diff != "" {
		t.Errorf("the table differs after reading and writing (-file +written):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	row := "C001\tMUST\tALL\twhat\t2\topen\t\t\t\n"
	for name, data := range map[string]string{
		"another header":  "id\tlevel\n" + row,
		"a missing field": Header + "\nC001\tMUST\tALL\twhat\t2\topen\t\t\n",
		"an added field":  Header + "\nC001\tMUST\tALL\twhat\t2\topen\t\t\t\t\n",
	} {
		if _, err := Parse([]byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
