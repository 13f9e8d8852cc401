package tlspolicy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/socket"
)

type domains []string

func (d domains) Certifies(domain string) bool {
	for _, one := range d {
		if strings.EqualFold(one, domain) {
			return true
		}
	}
	return false
}

func rules() Rules {
	return Rules{
		Stricter: map[string]string{"beta.example": "verify match=hostname:beta.example", "[192.0.2.9]:25": "fingerprint match=AA"},
		Ordinary: []string{"[192.0.2.7]:25", "alfa.example:26"},
	}
}

// TestOf: nothing weaker than encryption towards a domain of the directory, whatever leads there; ordinary domains as
// main.cf has it.
func TestOf(t *testing.T) {
	conformance.Covers(t, "C226", "C228", "C230")
	for hop, want := range map[string]string{
		"alfa.example":          Floor,
		"ALFA.Example.":         Floor,
		"[alfa.example]":        Floor,
		"[alfa.example]:2525":   Floor,
		"alfa.example:26":       Floor, // a provider, although somebody calls it ordinary
		"beta.example":          "verify match=hostname:beta.example protocols=>=TLSv1.2",
		"[beta.example]:25":     "verify match=hostname:beta.example protocols=>=TLSv1.2",
		"[192.0.2.9]:25":        "fingerprint match=AA protocols=>=TLSv1.2",
		"gamma.example":         "",
		"mail.alfa.example":     "", // only whole domains are certified
		".example":              "",
		".alfa.example":         "",
		"[192.0.2.7]:25":        "",
		"[192.0.2.7]":           Floor, // where it leads nobody has said
		"[192.0.2.8]:25":        Floor,
		"[ipv6:2001:db8::1]:25": Floor,
		"gamma.example:26":      Floor,
		"":                      "",
	} {
		got, ok := rules().Of(hop, domains{"alfa.example", "beta.example"})
		if got != want || ok != (want != "") {
			t.Errorf("Of(%q) = %q, %v; want %q", hop, got, ok, want)
		}
	}
}

func TestTable(t *testing.T) {
	got := rules().Table([]string{"zeta.example", "beta.example", "Alfa.example"}, domains{"alfa.example", "beta.example", "zeta.example"})
	want := "[192.0.2.9]:25\tfingerprint match=AA protocols=>=TLSv1.2\nalfa.example\t" + Floor +
		"\nbeta.example\tverify match=hostname:beta.example protocols=>=TLSv1.2\nzeta.example\t" + Floor + "\n"
	if got != want {
		t.Errorf("Table:\n%swant\n%s", got, want)
	}
}

// serve answers from one domain and one error.
func serve(t *testing.T, caught ...func(any)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := socket.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, func(hop string) (string, bool, error) {
			switch hop {
			case "broken.example":
				return "", false, errors.New("no directory\nyet")
			case "panic.example":
				panic("out of bounds")
			}
			policy, ok := rules().Of(hop, domains{"alfa.example"})
			return policy, ok, nil
		}, func(cause any) {
			for _, tell := range caught {
				tell(cause)
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

// TestPostfixAsks: the real postmap reads what is served; whoever is gone, or knows nothing, is a temporary error to it.
func TestPostfixAsks(t *testing.T) {
	conformance.Covers(t, "C228")
	if _, err := exec.LookPath("postmap"); err != nil {
		t.Skip("Postfix is not installed")
	}
	panics := make(chan any, 1)
	path := serve(t, func(cause any) { panics <- cause })
	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "main.cf"), []byte("compatibility_level = 3.6\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(table, hop string) (string, error) {
		out, err := exec.Command("postmap", "-c", config, "-q", hop, "socketmap:unix:"+table).Output()
		return strings.TrimSpace(string(out)), err
	}
	if got, err := ask(path+":"+Map, "alfa.example"); err != nil || got != Floor {
		t.Errorf("a provider: %q, %v; want %q", got, err, Floor)
	}
	if got, err := ask(path+":"+Map, "gamma.example"); got != "" || err == nil {
		t.Errorf("an ordinary domain: %q, %v; want not found", got, err)
	}
	for _, wrong := range [][2]string{{path + ":" + Map, "broken.example"}, {path + ":" + Map, "panic.example"}, {path + ":other", "alfa.example"}, {path + "x:" + Map, "alfa.example"}} {
		out, err := exec.Command("postmap", "-c", config, "-q", wrong[1], "socketmap:unix:"+wrong[0]).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "fatal: table socketmap:") {
			t.Errorf("%q: %v, %s; want an error of the table, not an answer", wrong, err, out)
		}
	}
	if cause := <-panics; cause != "out of bounds" {
		t.Errorf("caught %v", cause)
	}
	if got, err := ask(path+":"+Map, "alfa.example"); err != nil || got != Floor {
		t.Errorf("after a panic: %q, %v; want %q", got, err, Floor)
	}
}

// TestTheSocket is for the group, replaces one of a process that was killed, and nothing else.
func TestTheSocket(t *testing.T) {
	path := serve(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v; want 0660", info, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen("unix", file); err == nil {
		t.Error("Listen over a file: no error")
	}
}

// TestNonsense: what is no request ends the connection, and no other.
func TestNonsense(t *testing.T) {
	path := serve(t)
	for _, text := range []string{"hello\n", ":,", "99999:x", "123456:", "3:abcd", "5000:" + strings.Repeat("x", 5000) + ","} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(text))
		if got, err := bufio.NewReader(c).ReadString(','); err == nil {
			t.Errorf("%.10q was answered: %q", text, got)
		}
		_ = c.Close()
	}
}

func FuzzReadNetstring(f *testing.F) {
	f.Add("23:tls-policy alfa.example,")
	f.Add("0:,")
	f.Add("4096:x")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readNetstring(bufio.NewReader(strings.NewReader(text)))
		if err == nil && !strings.HasPrefix(text[strings.Index(text, ":")+1:], got+",") {
			t.Errorf("%q was read as %q", text, got)
		}
	})
}
