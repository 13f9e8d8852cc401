package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// TestHoldersAreTold: the plug-in sms puts one notice for each certified message into the spool of smsd, for the mailboxes that
// its rules name and no other, with nothing of the message in it; mail does not wait while it cannot.
func TestHoldersAreTold(t *testing.T) {
	mario, users := env.Users("ALFA")[0], env.Users("BETA")
	told, other := users[0], users[1]
	spool := addSMS(t, told.Address)
	notices := func() (texts []string) {
		files, err := filepath.Glob(filepath.Join(spool, "ceralacca-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		return texts
	}
	exchange := func() *letter {
		t.Helper()
		l := write(t, mario.Address, []string{told.Address, other.Address}, nil)
		submit(t, "ALFA", mario, l)
		await(t, l.ref, map[string][]pec.Kind{
			mario.Address: {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery}, told.Address: {pec.KindTransport}, other.Address: {pec.KindTransport},
			env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
		})
		return l
	}
	exchange()
	within(t, "the first notice", func() bool { return len(notices()) > 0 })
	if err := os.Chmod(spool, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(spool, spool+".away"); err != nil { // whoever runs the plug-in
		t.Fatal(err)
	}
	exchange() // although nobody can be told
	if err := os.Rename(spool+".away", spool); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(spool, 0o777); err != nil {
		t.Fatal(err)
	}
	within(t, "the second notice", func() bool { return len(notices()) > 1 })
	for _, text := range notices() {
		if !strings.HasPrefix(text, "To: 393400000000\n") || strings.Contains(text, "@") || strings.Contains(text, mario.Address) {
			t.Errorf("a notice says\n%s", text)
		}
	}
	if n := len(notices()); n != 2 {
		t.Errorf("%d notices for two messages to one holder", n)
	}
}

// addSMS has beta's agent tell the holder of one mailbox until the test ends, and returns the folder where smsd would look.
func addSMS(t *testing.T, mailbox string) (spool string) {
	t.Helper()
	path, err := build(filepath.Join(world.Runtime(), "bin"), "sms-of-ours", "github.com/ceralacca/ceralacca/plugins/sms")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(world.Runtime(), "holders"+random(t))
	spool = filepath.Join(folder, "outgoing")
	for _, dir := range []string{folder, filepath.Join(folder, "state"), filepath.Join(folder, "staging"), spool} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { // the plug-in is nobody
			t.Fatal(err)
		}
	}
	rules, err := json.Marshal(map[string]any{"mailboxes": map[string]any{mailbox: map[string]any{"numbers": []string{"+393400000000"}}}})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "state", "rules.json"), rules, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(env["BETA_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(user|network) = .*$`).FindString(string(conf)) // as clamav has them
	section := fmt.Sprintf("[plugins.sms]\npath = %q\nsha256 = %q\n%s\n[plugins.sms.config]\nstate = %q\n[plugins.sms.config.smstools]\noutgoing = %q\nstaging = %q\n\n",
		path, sum, rights, filepath.Join(folder, "state"), spool, filepath.Join(folder, "staging"))
	t.Cleanup(func() { agentRereads(t) }) // when the configuration is the old one again
	reconfigure(t, "BETA", "[plugins.clamav]", section+"[plugins.clamav]")
	agentRereads(t)
	return spool
}
