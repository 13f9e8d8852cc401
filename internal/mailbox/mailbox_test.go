package mailbox

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

func start(t *testing.T) (*dovecot.Server, *Mailboxes) {
	s := dovecot.Start(t,
		dovecot.User{Address: "mario@alfa.example"},
		dovecot.User{Address: "luigi@alfa.example"}, dovecot.User{Address: "luigi@beta.example"},
		dovecot.User{Address: "spento@alfa.example", Disabled: true})
	maps := filepath.Join(s.Dir, "virtual")
	write(t, maps, "info@alfa.example mario@alfa.example, luigi@alfa.example\n"+
		"tutti@alfa.example info@alfa.example, spento@alfa.example\n"+
		"chiuso@alfa.example spento@alfa.example\n"+
		"anello@alfa.example anello@alfa.example\n"+
		"guasto@alfa.example \"a b\"@alfa.example\n"+
		"fuori@alfa.example mario@alfa.example, info@alfa.example, x@sub.alfa.example\n"+
		"rotto@alfa.example mario@alfa.example, nessuno@alfa.example\n"+
		"a@alfa.example b@alfa.example\nb@alfa.example a@alfa.example, mario@alfa.example\n"+
		"luigi@beta.example luigi@beta.example, mario@alfa.example\n"+
		"Mario+Urgente@alfa.example luigi@alfa.example\n"+
		"doppio@alfa.example mario@alfa.example, MARIO@alfa.example, mario+x@alfa.example\n"+
		"lungo@alfa.example mario@alfa.example,\n\tluigi@alfa.example\n"+
		"@gamma.example @alfa.example\n"+
		"@beta.example luigi@alfa.example\n")
	return s, New(Options{
		UserDB: s.UserDB, Maps: []string{"texthash:" + maps}, Postmap: postmap(t),
		Domains: []string{"alfa.example", "beta.example", "gamma.example"},
		IMAP:    IMAP{Network: "unix", Address: s.IMAP, Master: dovecot.Master, Password: dovecot.MasterPassword, Spool: t.TempDir()},
	})
}

func TestLookup(t *testing.T) {
	_, m := start(t)
	cases := map[string]string{
		"mario@alfa.example":   "known: mario@alfa.example known",
		"MARIO@Alfa.Example":   "known: MARIO@alfa.example known",
		"nessuno@alfa.example": "unknown:",
		"spento@alfa.example":  "disabled: spento@alfa.example disabled",

		"mario+atti@alfa.example":   "known: mario@alfa.example+atti known",
		"spento+atti@alfa.example":  "disabled: spento@alfa.example+atti disabled",
		"nessuno+atti@alfa.example": "unknown:",
	}
	if _, err := exec.LookPath("postmap"); err == nil {
		cases["info@alfa.example"] = "known: mario@alfa.example known, luigi@alfa.example known"
		cases["tutti@alfa.example"] = "known: mario@alfa.example known, luigi@alfa.example known, spento@alfa.example disabled"
		cases["chiuso@alfa.example"] = "disabled: spento@alfa.example disabled"
		cases["guasto@alfa.example"] = "error"
		for in, want := range map[string]string{
			"INFO@Alfa.Example":          "known: mario@alfa.example known, luigi@alfa.example known",
			"lungo@alfa.example":         "known: mario@alfa.example known, luigi@alfa.example known", // on two lines of the map
			"anello@alfa.example":        "unknown: anello@alfa.example unknown",
			"a@alfa.example":             "known: a@alfa.example unknown, mario@alfa.example known", // round and round
			"rotto@alfa.example":         "known: mario@alfa.example known, nessuno@alfa.example unknown",
			"doppio@alfa.example":        "known: mario@alfa.example known",
			"luigi@beta.example":         "known: luigi@beta.example known, mario@alfa.example known", // a mailbox that is an alias, and keeps a copy
			"luigi+x@beta.example":       "known: luigi@beta.example+x known, mario@alfa.example+x known",
			"mario@gamma.example":        "known: mario@alfa.example known", // a whole domain
			"nessuno@gamma.example":      "unknown: nessuno@alfa.example unknown",
			"chiunque@beta.example":      "known: luigi@alfa.example known",
			"mario+urgente@alfa.example": "known: luigi@alfa.example known", // an entry of its own
			"info+atti@alfa.example":     "known: mario@alfa.example+atti known, luigi@alfa.example+atti known",
			"fuori@alfa.example":         "known: mario@alfa.example known, luigi@alfa.example known; outside: x@sub.alfa.example",
		} {
			cases[in] = want
		}
	}
	for in, want := range cases {
		t.Run(in, func(t *testing.T) {
			got, err := m.Lookup(t.Context(), address(t, in))
			if diff := cmp.Diff(want, text(got, err)); diff != "" {
				t.Errorf("Lookup(%s) (-want +got):\n%s\nerror: %v", in, diff, err)
			}
		})
	}
}

// postmap is Postfix's program with a configuration of its own: that of the machine may be half installed.
func postmap(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.cf"), "compatibility_level = 3.6\n")
	program := filepath.Join(dir, "postmap")
	write(t, program, "#!/bin/sh\nexec postmap -c "+dir+" \"$@\"\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func text(r Result, err error) string {
	if err != nil {
		return "error"
	}
	var boxes []string
	for _, b := range r.Boxes {
		detail := strings.TrimPrefix(b.To.Local(), b.Address.Local())
		boxes = append(boxes, fmt.Sprintf(" %s%s %s", b.Address, detail, b.State))
	}
	text := r.State.String() + ":" + strings.Join(boxes, ",")
	for _, a := range r.Outside {
		text += "; outside: " + a.String()
	}
	return text
}

func TestLookupWithoutServerIsAnError(t *testing.T) {
	s, m := start(t)
	s.Down()
	if got, err := m.Lookup(t.Context(), address(t, "mario@alfa.example")); err == nil {
		t.Errorf("Lookup with Dovecot down = %v, want an error", got)
	}
}

func TestAliasMapThatFailsIsAnError(t *testing.T) {
	if _, err := exec.LookPath("postmap"); err != nil {
		t.Skip("no postmap on this machine")
	}
	s, _ := start(t)
	m := New(Options{UserDB: s.UserDB, Maps: []string{"hash:" + filepath.Join(s.Dir, "missing")}})
	if got, err := m.Lookup(t.Context(), address(t, "info@alfa.example")); err == nil {
		t.Errorf("Lookup with a map that is not there = %v, want an error", got)
	}
}

func TestAliasMapThatHangsIsAnError(t *testing.T) {
	s, _ := start(t)
	program := filepath.Join(s.Dir, "hang")
	write(t, program, "#!/bin/sh\nexec sleep 60\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	m := New(Options{UserDB: s.UserDB, Maps: []string{"regexp:x"}, Postmap: program})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := m.Lookup(ctx, address(t, "info@alfa.example")); err == nil {
		t.Errorf("Lookup with a postmap that hangs = %v, want an error", got)
	}
}

// TestAliasMapThatChanges: what an alias comes to is asked of the map as it is now, in every type of map.
func TestAliasMapThatChanges(t *testing.T) {
	if _, err := exec.LookPath("postmap"); err != nil {
		t.Skip("no postmap on this machine")
	}
	s, _ := start(t)
	program := postmap(t)
	for _, kind := range []string{"texthash", "hash", "regexp"} {
		file := filepath.Join(t.TempDir(), kind)
		m := New(Options{UserDB: s.UserDB, Maps: []string{kind + ":" + file}, Postmap: program, Domains: []string{"alfa.example"}})
		for _, target := range []string{"mario@alfa.example", "luigi@alfa.example"} {
			line := "capo@alfa.example " + target + "\n"
			if kind == "regexp" {
				line = "/^capo@alfa[.]example$/ " + target + "\n"
			}
			write(t, file, line)
			if kind == "hash" {
				if out, err := exec.Command(program, "hash:"+file).CombinedOutput(); err != nil {
					t.Fatalf("postmap: %v: %s", err, out)
				}
			}
			for range 2 {
				got, err := m.Lookup(t.Context(), address(t, "capo@alfa.example"))
				if diff := cmp.Diff("known: "+target+" known", text(got, err)); diff != "" {
					t.Errorf("%s (-want +got):\n%s\nerror: %v", kind, diff, err)
				}
			}
		}
	}
}

func TestHolds(t *testing.T) {
	s, m := start(t)
	const id = "<0123456789abcdef@alfa.example>"
	deliver(t, s.LMTP, "mario@alfa.example", "Message-ID: "+id+"\r\n\r\nfirst\r\n")
	deliver(t, s.LMTP, "mario@alfa.example", "Message-ID: "+id+"\r\n\r\nsecond\r\n")
	s.Move("mario@alfa.example", "Archivio.2026")
	deliver(t, s.LMTP, "mario@alfa.example", "Message-ID: <other@alfa.example>\r\n\r\nthird\r\n")
	body := func(want string) Match {
		return func(src pec.Source) (bool, error) {
			b := make([]byte, src.Size())
			if _, err := src.ReadAt(b, 0); err != nil {
				return false, err
			}
			return strings.HasSuffix(string(b), "\r\n\r\n"+want+"\r\n"), nil
		}
	}
	for _, c := range []struct {
		box, body string
		want      bool
	}{
		{"mario@alfa.example", "first", true},
		{"mario@alfa.example", "second", true},
		{"mario@alfa.example", "third", false}, // another Message-ID
		{"mario+atti@alfa.example", "first", true},
		{"luigi@alfa.example", "first", false},
	} {
		got, err := m.Holds(t.Context(), address(t, c.box), id, body(c.body))
		if err != nil || got != c.want {
			t.Errorf("Holds(%s, %s) = %v, %v, want %v", c.box, c.body, got, err, c.want)
		}
	}
	if _, err := m.Holds(t.Context(), address(t, "nessuno@alfa.example"), id, body("first")); err == nil {
		t.Error("Holds for a mailbox that is not there: want an error")
	}
}

// deliver hands a message to Dovecot's LMTP.
func deliver(t *testing.T, socket, to, message string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for _, step := range []string{
		"", "LHLO test\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<" + to + ">\r\n", "DATA\r\n", message + ".\r\n", "QUIT\r\n",
	} {
		if _, err := conn.Write([]byte(step)); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil || line[0] > '3' {
				t.Fatalf("after %q: %q, %v", step, line, err)
			}
			if line[3] == ' ' {
				break
			}
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		line  string
		state State
		done  bool
		bad   bool
	}{
		{"VERSION\t1\t2", Unknown, false, false},
		{"VERSION\t2\t0", Unknown, false, true},
		{"VERSION", Unknown, false, true},
		{"SPID\t12", Unknown, false, false},
		{"NOTFOUND\t1", Unknown, true, false},
		{"NOTFOUND\t2", Unknown, false, true},
		{"FAIL\t1", Unknown, false, true},
		{"FAIL\t1\treason=down", Unknown, false, true},
		{"USER\t1\tmario@x\tuid=5\thome=/h", Known, true, false},
		{"USER\t1\tmario@x\tceralacca_disabled=yes\tuid=5", Disabled, true, false},
		{"USER\t1\tmario@x\tceralacca_disabled=no", Known, true, false},
		{"USER\t1\tceralacca_disabled=yes", Known, true, false}, // a user of that name
		{"USER", Unknown, false, true},
		{"", Unknown, false, false},
	} {
		state, done, err := parseReply(c.line)
		if state != c.state || done != c.done || (err != nil) != c.bad {
			t.Errorf("parseReply(%q) = %v, %v, %v", c.line, state, done, err)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{"VERSION\t1\t2", "USER\t1\tx\tceralacca_disabled=yes", "FAIL\t1\t", "NOTFOUND\t1", "USER\t1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		state, done, err := parseReply(line)
		if err != nil && done {
			t.Errorf("parseReply(%q): done with the error %v", line, err)
		}
		if !done && state != Unknown {
			t.Errorf("parseReply(%q): %v without an answer", line, state)
		}
	})
}

func FuzzParseTargets(f *testing.F) {
	for _, seed := range []string{"a@b.c, d@e.f", "", ",,", "x", "\"a b\"@c", "@d.e"} {
		f.Add(seed)
	}
	of, err := pec.ParseAddress("info@alfa.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := parseTargets(value, of)
		if err != nil && list != nil {
			t.Errorf("parseTargets(%q): a part of the list with the error %v", value, err)
		}
	})
}

func address(t *testing.T, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
