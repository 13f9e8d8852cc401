package e2e

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// preserver is the plug-in conserve at beta's agent, and as a command.
type preserver struct {
	t      *testing.T
	folder string
	path   string
	uid    uint32
}

func (p *preserver) at(name string) string { return filepath.Join(p.folder, name) }

// run says a command as the plug-in's user and wants it to go well.
func (p *preserver) run(args ...string) string {
	p.t.Helper()
	cmd := exec.Command(p.path, append([]string{args[0], "--config", p.at("conserve.toml")}, args[1:]...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("conserve %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// copies are what the archive has of a mailbox, with a text in each.
func (p *preserver) copies(mailbox, with string) (texts [][]byte) {
	p.t.Helper()
	files, err := filepath.Glob(p.at("archive/spool/" + mailbox + "/*/*.eml"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			p.t.Fatal(err)
		}
		if bytes.Contains(text, []byte(with)) {
			texts = append(texts, text)
		}
	}
	return texts
}

// TestMailIsPreserved: what beta's users send and receive is archived and, when the day is over, lies in packages that conserve,
// sha256sum and openssl find good; what a user deletes comes back byte for byte; and what lay in a mailbox before is imported.
func TestMailIsPreserved(t *testing.T) {
	mario, luigi := env.Users("ALFA")[0], env.Users("BETA")[1]
	exchange := func(from, to client.Login, host string) (*letter, map[string][]*client.Message) {
		t.Helper()
		l := write(t, from.Address, []string{to.Address}, nil)
		submit(t, host, from, l)
		return l, await(t, l.ref, map[string][]pec.Kind{from.Address: {pec.KindAcceptance, pec.KindDelivery}, to.Address: {pec.KindTransport},
			env.Login(host + "_SERVICE_USER").Address: {pec.KindTakeCharge}})
	}
	before, _ := exchange(mario, luigi, "ALFA")
	p := addConserve(t)
	in, found := exchange(mario, luigi, "ALFA")
	out, _ := exchange(luigi, mario, "BETA")
	within(t, "the copies", func() bool {
		return len(p.copies(luigi.Address, in.ref)) == 1 && len(p.copies(luigi.Address, out.ref)) >= 3
	})
	if len(p.copies(luigi.Address, before.ref)) != 0 || len(p.copies(mario.Address, in.ref)) != 0 {
		t.Error("the archive has what it was not told of")
	}
	archived := p.copies(luigi.Address, in.ref)[0]
	if lies := pick(t, found[luigi.Address], pec.KindTransport).Raw; !bytes.HasSuffix(lies, archived) {
		t.Errorf("the copy is not what lies in the mailbox, below the fields that Dovecot adds:\n%s", archived)
	}

	deleteMail(t, luigi, in.ref)
	p.run("restore", "--event", "delivered", luigi.Address)
	if got := holding(t, luigi, "Ripristino "+romeDay(), in.ref); len(got) != 1 || !bytes.Equal(got[0], archived) {
		t.Errorf("%d messages were put back; want one, the same to the byte", len(got))
	}

	if said := p.run("import", luigi.Address); strings.Contains(said, ": 0 messages") {
		t.Errorf("import says %s", said)
	}
	if said := p.run("import", luigi.Address); !strings.Contains(said, ": 0 messages") {
		t.Errorf("import once more says %s", said)
	}

	if err := os.WriteFile(p.at("clock"), []byte("+24h\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var packages []string
	within(t, "the package", func() bool {
		packages, _ = filepath.Glob(p.at("packages/" + luigi.Address + "/*/SHA256SUMS"))
		return len(packages) > 0
	})
	if said := p.run("verify", "--all"); strings.Contains(said, "WRONG") {
		t.Errorf("verify says %s", said)
	}
	p.standardToolsAgree(filepath.Dir(packages[0]), before.ref, in.ref, out.ref)
}

// standardToolsAgree has the commands that stand in a package check it, and wants some messages in it.
func (p *preserver) standardToolsAgree(folder string, refs ...string) {
	p.t.Helper()
	name := filepath.Base(filepath.Dir(folder)) + "/" + filepath.Base(folder)
	handed := filepath.Join(p.at("handed"), "out")
	p.run("exhibit", name, handed)
	readme, err := os.ReadFile(filepath.Join(handed, "LEGGIMI.txt"))
	if err != nil {
		p.t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^    ((?:sha256sum|openssl|cmp) .*)$`).FindAllStringSubmatch(string(readme), -1)
	if len(lines) != 4 {
		p.t.Errorf("%d commands in LEGGIMI.txt, want 4", len(lines))
	}
	for _, line := range lines {
		cmd := exec.Command("sh", "-c", line[1])
		cmd.Dir = handed
		if out, err := cmd.CombinedOutput(); err != nil {
			p.t.Errorf("%s: %v\n%s", line[1], err, out)
		}
	}
	documents, err := filepath.Glob(filepath.Join(handed, "documenti", "*.eml"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, ref := range refs {
		n := 0
		for _, document := range documents {
			if text, err := os.ReadFile(document); err == nil && bytes.Contains(text, []byte(ref)) {
				n++
			}
		}
		if n == 0 {
			p.t.Errorf("nothing in the package is about %s", ref)
		}
	}
}

func romeDay() string {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(err)
	}
	return time.Now().In(rome).Format(time.DateOnly)
}

// deleteMail deletes what is about ref from an inbox, as its user would.
func deleteMail(t *testing.T, who client.Login, ref string) {
	t.Helper()
	c, err := env.IMAP("BETA", who)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	hits, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{strings.Trim(ref, "<>")}}, nil).Wait()
	if err != nil || len(hits.AllUIDs()) == 0 {
		t.Fatalf("nothing to delete: %v", err)
	}
	if err := c.Store(imap.UIDSetNum(hits.AllUIDs()...), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
}

// holding reads the messages of a folder that have a text.
func holding(t *testing.T, who client.Login, folder, ref string) (texts [][]byte) {
	t.Helper()
	c, err := env.IMAP("BETA", who)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	selected, err := c.Select(folder, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil || selected.NumMessages == 0 {
		t.Fatalf("%q: %v", folder, err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	list, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if raw := m.FindBodySection(section); bytes.Contains(raw, []byte(ref)) {
			texts = append(texts, raw)
		}
	}
	return texts
}

// addConserve has beta's agent preserve and archive mail until the test ends.
func addConserve(t *testing.T) *preserver {
	t.Helper()
	conf, err := os.ReadFile(env["BETA_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	p := &preserver{t: t, folder: filepath.Join(world.Runtime(), "preserved"+random(t)), uid: uint32(os.Geteuid())}
	rights := "network = true"
	if name := regexp.MustCompile(`(?m)^user = "(.*)"$`).FindSubmatch(conf); name != nil { // as clamav has it
		u, err := user.Lookup(string(name[1]))
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		p.uid, rights = uint32(uid), string(name[0])+"\n"+rights
	}
	if p.path, err = build(filepath.Join(world.Runtime(), "bin"), "conserve-of-ours", "github.com/ceralacca/ceralacca/plugins/conserve"); err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(p.path)
	if err != nil {
		t.Fatal(err)
	}
	values := p.prepare()
	section := fmt.Sprintf("[plugins.conserve]\npath = %q\nsha256 = %q\n%s\n[plugins.conserve.config]\n%s\n", p.path, sum, rights, values)
	t.Cleanup(func() { agentRereads(t) }) // when the configuration is the old one again
	reconfigure(t, "BETA", "[plugins.clamav]", section+"[plugins.clamav]")
	agentRereads(t)
	return p
}

// prepare makes folders, keys and a time stamping authority, and returns the configuration.
func (p *preserver) prepare() string {
	t := p.t
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", "state", "packages", "archive", "handed", "tsa"} {
		check(os.Mkdir(p.at(name), 0o755))
		check(os.Chown(p.at(name), int(p.uid), -1))
	}
	authority, err := pki.NewAuthority("Preserving CA", time.Now())
	check(err)
	pair, err := authority.Signing("Beta S.p.A.", "conserve@beta.example")
	check(err)
	key, err := pair.KeyPEM()
	check(err)
	for name, text := range map[string][]byte{"cert.pem": pair.CertPEM(), "ca.pem": authority.CertPEM(), "key.pem": key, "clock": nil,
		"master": []byte(world.Beta.MasterUser.Password + "\n")} {
		mode := os.FileMode(0o644)
		if name == "key.pem" || name == "master" {
			mode = 0o600
		}
		check(os.WriteFile(p.at(name), text, mode))
		check(os.Chown(p.at(name), int(p.uid), -1))
	}
	stamps, err := tsa.New(p.at("tsa"), time.Now(), tsa.Good())
	check(err)
	server := httptest.NewServer(stamps)
	t.Cleanup(server.Close)
	var b strings.Builder
	for _, line := range [][2]string{{"folder", p.at("state")}, {"store_directory", p.at("packages")}, {"owner", "Beta S.p.A."}, {"certificate", p.at("cert.pem")},
		{"key", p.at("key.pem")}, {"signers", p.at("ca.pem")}, {"stamp_url", server.URL}, {"stamp_authorities", stamps.CA()}, {"delay", "0s"}, {"lab_clock", p.at("clock")},
		{"archive", "both"}, {"archive_directory", p.at("archive")}, {"archive_space", "1 GB"},
		{"imap", fmt.Sprintf("imaps://%s:%s", env["BETA_HOST"], env["BETA_IMAPS_PORT"])}, {"imap_authorities", env["LAB_CA"]},
		{"imap_master", world.Beta.MasterUser.Address}, {"imap_password_file", p.at("master")}} {
		_, _ = fmt.Fprintf(&b, "%s = %q\n", line[0], line[1])
	}
	check(os.WriteFile(p.at("conserve.toml"), []byte(b.String()), 0o644))
	return b.String()
}
