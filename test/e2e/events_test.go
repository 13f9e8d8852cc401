package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// told is the folder of a plug-in of test/plugins/obedient that beta's agent tells of events.
type told struct{ folder string }

// addTold builds one of a kind, and returns it with its sections of the configuration.
func addTold(t *testing.T, name, kind, rights string) (told, string) {
	t.Helper()
	path, err := build(filepath.Join(world.Runtime(), "bin"), kind, "github.com/ceralacca/ceralacca/test/plugins/obedient")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(world.Runtime(), name+random(t))
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return told{folder}, fmt.Sprintf("[plugins.%s]\npath = %q\nsha256 = %q\n%s\ndeadline = \"3s\"\n[plugins.%[1]s.config]\nfolder = %[5]q\n\n",
		name, path, sum, rights, folder)
}

// of are the events of a mailbox, in order, each time that it was told: "KEY EVENT".
func (p told) of(mailbox string) []string {
	text, err := os.ReadFile(filepath.Join(p.folder, "log"))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 2 && words[1] == mailbox {
			out = append(out, words[0]+" "+words[2])
		}
	}
	return out
}

// events are the names of those of a mailbox.
func (p told) events(mailbox string) []string {
	list := p.of(mailbox)
	for i, line := range list {
		list[i] = line[strings.IndexByte(line, ' ')+1:]
	}
	return list
}

// agentRereads has beta's agent read its configuration.
func agentRereads(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(env["BETA_LDA_PID"])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	log := daemonLog(t, "beta-lda")
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, log, "the configuration was read again")
}

func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

// TestPluginsAreTold: a notification plug-in hears of each thing that happens to a mailbox, in order, also when it refuses
// to answer at first, and no mail waits for it; a conservation plug-in gets byte for byte what lies in the mailbox.
func TestPluginsAreTold(t *testing.T) {
	conf, err := os.ReadFile(env["BETA_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(user|network) = .*$`).FindString(string(conf)) // as clamav has them
	sms, first := addTold(t, "sms", "notification", rights)
	archive, second := addTold(t, "archive", "conservation", rights)
	t.Cleanup(func() { agentRereads(t) }) // when the configuration is the old one again
	reconfigure(t, "BETA", "[plugins.clamav]", first+second+"[plugins.clamav]")
	agentRereads(t)

	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0]
	if err := os.WriteFile(filepath.Join(sms.folder, "answer"), []byte("hang"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := write(t, mario.Address, []string{bruno.Address}, nil)
	submit(t, "ALFA", mario, in)
	received := await(t, in.ref, map[string][]pec.Kind{ // although sms hangs
		mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno.Address: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})[bruno.Address]
	out := write(t, bruno.Address, []string{mario.Address}, nil)
	submit(t, "BETA", bruno, out)
	received = append(received, await(t, out.ref, map[string][]pec.Kind{
		bruno.Address: {pec.KindAcceptance, pec.KindDelivery}, mario.Address: {pec.KindTransport},
		env.Login("BETA_SERVICE_USER").Address: {pec.KindTakeCharge},
	})[bruno.Address]...)
	listed, err := exec.Command(filepath.Join(world.Runtime(), "bin", "ceralacca"), "plugin", "events", "--config", env["BETA_CONFIG"], "--plugin", "sms").CombinedOutput()
	if err != nil || !strings.Contains(string(listed), "4 waiting") || !strings.Contains(string(listed), bruno.Address) {
		t.Errorf("plugin events: %v\n%s", err, listed)
	}
	if err := os.Remove(filepath.Join(sms.folder, "answer")); err != nil {
		t.Fatal(err)
	}
	want := []string{"delivered", "submitted", "accepted", "delivery"}
	within(t, "all events", func() bool {
		return len(slices.Compact(sms.of(bruno.Address))) == len(want) && len(archive.of(bruno.Address)) >= len(want)
	})
	for name, p := range map[string]told{"sms": sms, "archive": archive} {
		if got := slices.Compact(p.events(bruno.Address)); !slices.Equal(got, want) {
			t.Errorf("%s was told of %q, want %q", name, got, want)
		}
	}
	for i, line := range archive.of(bruno.Address) {
		key, event, _ := strings.Cut(line, " ")
		kept, err := os.ReadFile(filepath.Join(archive.folder, key+".eml"))
		if err != nil {
			t.Errorf("event %d: %v", i, err)
			continue
		}
		lies := func(m *client.Message) bool { return bytes.HasSuffix(m.Raw, kept) && len(kept) > 1000 } // Dovecot adds fields at the top
		if event != "submitted" && !slices.ContainsFunc(received, lies) {
			t.Errorf("%s: what was deposited lies in no mailbox as it is:\n%.400q", event, kept)
		}
	}
}
