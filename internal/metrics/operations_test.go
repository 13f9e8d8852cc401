package metrics

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in docs/operations.md")

const operations = "../../docs/operations.md"

// table is what the page says of each metric: its name, labels and meaning, from what Prometheus is told.
func table() string {
	described := make(chan *prometheus.Desc)
	go func() {
		New().registry.Describe(described)
		close(described)
	}()
	form := regexp.MustCompile(`fqName: "(ceralacca_[^"]*)", help: "([^"]*)", unit: "[^"]*", constLabels: \{\}, variableLabels: \{([^}]*)\}`)
	var lines []string
	for d := range described {
		if found := form.FindStringSubmatch(d.String()); found != nil {
			lines = append(lines, "| `"+found[1]+"` | "+strings.ReplaceAll(found[3], ",", ", ")+" | "+found[2]+" |\n")
		}
	}
	slices.Sort(lines)
	return "\n| metric | labels | meaning |\n|---|---|---|\n" + strings.Join(lines, "") + "\n"
}

// The page for operators has every metric, in the words that a scrape has.
func TestOperationsHasEveryMetric(t *testing.T) {
	page, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	begin, rest, found := strings.Cut(string(page), "-update -->\n")
	written, end, closed := strings.Cut(rest, "<!-- end -->")
	if !found || !closed || strings.Count(table(), "\n") < 20 {
		t.Fatalf("the marks of the table are gone, or no metrics are found: %s", table())
	}
	if *update {
		if err := os.WriteFile(operations, []byte(begin+"-update -->\n"+table()+"<!-- end -->"+end), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table(), written); diff != "" {
		t.Errorf("docs/operations.md is old: go test ./internal/metrics -update (-want +got):\n%s", diff)
	}
}

// The page for operators says of every alarm what it means and what to do.
func TestOperationsHasEveryAlarm(t *testing.T) {
	page, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	raised := regexp.MustCompile(`metrics\.Alarms, "([^"]*)"`)
	found := 0
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." && path != "../.." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, alarm := range raised.FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(string(page), "\n| `"+alarm[1]+"` | ") {
				t.Errorf("%s raises the alarm %q, of which docs/operations.md does not say what to do", path, alarm[1])
			}
		}
		return nil
	})
	if err != nil || found < 8 {
		t.Errorf("%d alarms found, %v; want all of them", found, err)
	}
}
