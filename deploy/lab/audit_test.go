package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab/supervise"
	"github.com/ceralacca/ceralacca/internal/clock"
)

// Faults fail, unless their message was broken on purpose; notes do not; an audit that cannot look is no good one.
func TestAudit(t *testing.T) {
	for name, test := range map[string]struct {
		says string
		exit string
		want string
	}{
		"coherent":   {"", "0", ""},
		"a note":     {`{"identifier":"a@x","rule":0,"fault":false,"text":"note"}`, "0", ""},
		"a fault":    {`{"identifier":"a@x","rule":5,"fault":true,"text":"twice."}`, "1", "the audit of alfa, its agent running: a@x: rule 5: twice."},
		"provoked":   {`{"identifier":"p@x","rule":5,"fault":true,"text":"twice."}`, "1", ""},
		"not heard":  {"", "2", "the audit of beta, its agent stopped: exit status 2"},
		"no finding": {"The legal log is coherent.", "0", "is no finding"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			program := filepath.Join(dir, "audit")
			script := "#!/bin/sh\ncat <<'END'\n" + test.says + "\nEND\nexit " + test.exit + "\n"
			if test.says == "" {
				script = "#!/bin/sh\nexit " + test.exit + "\n"
			}
			if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			l := &Lab{Alfa: &Host{Name: "alfa"}, Beta: &Host{Name: "beta"}, processes: supervise.New(dir, clock.System{})}
			defer l.processes.Close()
			for _, h := range []string{"alfa", "beta"} {
				err := l.processes.Start(supervise.Program{Name: h + "-lda", Args: []string{"/bin/sleep", "60"}, Log: filepath.Join(dir, h)})
				if err != nil {
					t.Fatal(err)
				}
			}
			err := l.Audit(t.Context(), program, map[string]bool{"p@x": true})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
