package plugins

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sdk "github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/check"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/plugins/scaffold"
)

// root is that of the repository, as tests see it.
const root = "../.."

var blockForm = regexp.MustCompile("(?ms)^<!-- (shell|file|part)(?:: (\\S+))? -->\n```[a-z]+\n(.*?)^```$")

// block is a piece of code in docs/plugins.md.
type block struct{ kind, path, text string }

func page(t *testing.T) (text string, blocks []block) {
	t.Helper()
	data, err := os.ReadFile(root + "/docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range blockForm.FindAllStringSubmatch(string(data), -1) {
		blocks = append(blocks, block{match[1], match[2], match[3]})
	}
	if marks := strings.Count(string(data), "<!-- file: ") + strings.Count(string(data), "<!-- part: ") +
		strings.Count(string(data), "<!-- shell -->"); marks != len(blocks) || marks < 8 {
		t.Fatalf("%d marks and %d blocks; want as many, and more", marks, len(blocks))
	}
	return string(data), blocks
}

// What the page shows is what the tests run.
func TestThePageShowsTheFiles(t *testing.T) {
	_, blocks := page(t)
	for _, b := range blocks {
		if b.path == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, b.path))
		if err != nil {
			t.Error(err)
			continue
		}
		if b.kind == "part" && !strings.Contains(string(data), b.text) {
			t.Errorf("%s does not hold what the page shows of it:\n%s", b.path, b.text)
		}
		if diff := cmp.Diff(string(data), b.text); b.kind == "file" && diff != "" {
			t.Errorf("%s (-file +page):\n%s", b.path, diff)
		}
	}
}

// The table of consequences is that of the host.
func TestThePageHasTheTableOfTheHost(t *testing.T) {
	text, _ := page(t)
	_, rest, _ := strings.Cut(text, "<!-- table -->\n")
	got, _, _ := strings.Cut(rest, "<!-- end of table -->")
	table := host.Table()
	var kinds []sdk.Kind
	for kind := range table {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	want := "| kind | at start | absent | slow | wrong | dies |\n|---|---|---|---|---|---|\n"
	for _, kind := range kinds {
		c := table[kind]
		want += fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |\n", kind, c.AtStart, c.Absent, c.Slow, c.Wrong, c.Dies)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of docs/plugins.md (-host +page):\n%s", diff)
	}
	lines, _ := lines(t, check.Options{Path: "/none"})
	if len(lines) != 1 {
		t.Errorf("a plug-in that is not there fails %v", lines)
	}
	_, err := check.Run(t.Context(), check.Options{Path: "/none"}, func(l check.Line) {
		if !strings.Contains(text, "\n| "+l.Name+" | ") {
			t.Errorf("the page does not say what the line %q is", l.Name)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// The tutorial, typed as it stands: the commands, and in their place the files.
func TestTheTutorial(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "ceralacca"), root+"/cmd/ceralacca")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, blocks := page(t)
	script := "set -eu\n"
	for _, b := range blocks {
		switch {
		case b.kind == "shell":
			script += b.text
		case strings.HasPrefix(b.path, "plugins/examples/eicar/"):
			file := filepath.Join(dir, filepath.Base(b.path))
			if err := os.WriteFile(file, []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
			script += "cp " + file + " .\n"
		}
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if n := strings.Count(string(out), "./eicar: in order\n"); err != nil || n != 2 {
		t.Errorf("%v; %d times in order, want twice\n%s", err, n, out)
	}
}

// The plug-ins that the page shows beside the antivirus pass every line, built outside of this repository.
func TestTheNotificationOfThePagePasses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "notes")
	if err := scaffold.New(dir, "notes", sdk.KindNotification); err != nil {
		t.Fatal(err)
	}
	_, blocks := page(t)
	i := slices.IndexFunc(blocks, func(b block) bool { return strings.HasSuffix(b.path, "notes/main.go") })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(blocks[i].text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if failed := failing(t, filepath.Join(dir, "notes")); failed != nil {
		t.Errorf("it fails %v", failed)
	}
}

// The reference is made of the comments as they are.
func TestTheReferenceIsFresh(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("needs protoc: make deps")
	}
	set := filepath.Join(t.TempDir(), "set")
	args := []string{"--proto_path=.", "--include_source_info", "--descriptor_set_out=" + set}
	for _, name := range []string{"v2/plugin", "v2/antivirus", "v2/conservation", "v2/notification", "v2/key", "v1/plugin", "v1/antivirus"} {
		args = append(args, "contract/"+name+".proto")
	}
	protoc := exec.Command("protoc", args...)
	protoc.Dir = root + "/plugins"
	if out, err := protoc.CombinedOutput(); err != nil {
		t.Fatalf("protoc: %v\n%s", err, out)
	}
	got, err := exec.Command("go", "run", root+"/plugins/contract/reference", set).Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(root + "/docs/plugins-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("docs/plugins-reference.md is not what go generate makes (-comments +page):\n%s", diff)
	}
}
