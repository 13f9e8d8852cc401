package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// second is the example of an antivirus, at work at alfa beside clamav.
type second struct {
	pid  int
	word string // that it takes for a virus
}

// addAntivirus configures it and has the milter read that; what was there comes back when the test ends.
func addAntivirus(t *testing.T) second {
	t.Helper()
	path, err := build(filepath.Join(world.Runtime(), "bin"), "second", "github.com/ceralacca/ceralacca/plugins/examples/eicar")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(env["ALFA_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(user|network) = .*$`).FindString(string(conf)) // as clamav has them
	s := second{word: "parola" + random(t)}
	log := daemonLog(t, "alfa-milter")
	reconfigure(t, "ALFA", "[plugins.clamav]", fmt.Sprintf("[plugins.second]\npath = %q\nsha256 = %q\n%s\ndeadline = \"3s\"\n"+
		"[plugins.second.config]\nword = %q\n\n[plugins.clamav]", path, sum, rights, s.word))
	found := regexp.MustCompile(`plug-in started" plugin=second pid=(\d+)`).FindStringSubmatch(log())
	if found == nil {
		t.Fatalf("the second antivirus is not started:\n%s", log())
	}
	s.pid, _ = strconv.Atoi(found[1]) // they are digits
	if strings.Contains(log(), "plugin=clamav") {
		t.Errorf("clamav, which did not change, was touched:\n%s", log())
	}
	return s
}

// marked is the letter with a word in its text.
func (l *letter) marked(word string) *letter {
	l.raw = bytes.Replace(l.raw, []byte("\r\n\r\n"), []byte("\r\nX-Mark: "+word+"\r\n\r\n"), 1)
	return l
}

// TestEveryAntivirusIsAsked: one that SIGHUP added finds what clamav does not know; a configuration with a fault leaves it
// at work.
func TestEveryAntivirusIsAsked(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C123", "C232")
	s := addAntivirus(t)
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	found := func() {
		t.Helper()
		l := write(t, mario.Address, []string{bruno}, nil).marked(s.word)
		submit(t, "ALFA", mario, l)
		notice := settle(t, l.ref, map[string][]pec.Kind{mario.Address: {pec.KindNonAcceptance}})[mario.Address][0]
		if parts, data := sealed(t, notice); data.Error != pec.ErrorVirus || !strings.Contains(plain(t, parts.Text), "Word") {
			t.Errorf("the notice has the error %q and says:\n%s", data.Error, plain(t, parts.Text))
		}
	}
	found()
	o := write(t, gino(), []string{mario.Address}, nil).marked(s.word)
	err := env.Deliver("ALFA", client.Mail{From: gino(), To: o.to, Data: bytes.NewReader(o.raw)})
	refuses(t, "ordinary mail that only the second finds infected", err, 550, "5.7.1")

	conf, err := os.ReadFile(env["ALFA_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	wrong := regexp.MustCompile(`(?m)^sha256 = .*$`).ReplaceAll(conf, []byte(`sha256 = "`+strings.Repeat("0", 64)+`"`))
	log := daemonLog(t, "alfa-milter")
	if err := os.WriteFile(env["ALFA_CONFIG"], wrong, 0o644); err != nil {
		t.Fatal(err)
	}
	hangUp(t, "ALFA")
	eventually(t, log, "the old one stays")
	if err := syscall.Kill(s.pid, 0); err != nil {
		t.Errorf("the second antivirus after a reload that failed: %v", err)
	}
	found()
}

// hangUp has the milter of a host read its configuration.
func hangUp(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(env[name+"_MILTER_PID"])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestAntivirusPluginStuck: a process that does not answer, while the other antivirus does, is 451 at both points and an
// alarm; nothing is queued; when it ends it is replaced, and mail flows.
func TestAntivirusPluginStuck(t *testing.T) {
	conformance.Covers(t, "C060", "C122", "C232")
	s := addAntivirus(t)
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, nil)
	e := someone(t, "DELTA").envelope(t, mario.Address)
	log := daemonLog(t, "alfa-milter")
	const (
		slow   = `ceralacca_plugin_calls_total{call="scan",outcome="slow",plugin="second"}`
		alarms = `ceralacca_alarms_total{alarm="antivirus"}`
	)
	slowBefore, alarmsBefore := number(t, slow), number(t, alarms)
	if err := syscall.Kill(s.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	login(t, "ALFA", mario).tempfails(l)
	converse(t, "ALFA", "MX_PORT").tempfails(&letter{from: e.from, to: []string{mario.Address}, raw: e.raw})
	for _, says := range []string{"alarm=true", "plugins.second: scan: the plug-in is slow"} {
		if !strings.Contains(log(), says) {
			t.Errorf("the log does not say %q:\n%s", says, log())
		}
	}
	if got, alarm := number(t, slow), number(t, alarms); got != slowBefore+2 || alarm <= alarmsBefore {
		t.Errorf("%s is %v, and was %v; %s is %v, and was %v", slow, got, slowBefore, alarms, alarm, alarmsBefore)
	}
	settle(t, l.ref, nil)
	settle(t, e.token, nil)
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) { // its health may have ended it
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := env.Submit("ALFA", mario, client.Mail{From: l.from, To: l.to, Data: bytes.NewReader(l.raw)})
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the antivirus is back, and: %v", err)
		}
	}
	settle(t, l.ref, exchange())
}
