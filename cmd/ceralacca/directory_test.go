package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/directory"
)

// publishing is a world with what is published: a next certificate and a secondary environment.
func publishing(t *testing.T) (w *apptest.World, next, unit *pki.Pair) {
	t.Helper()
	w = apptest.New(t)
	now := time.Now()
	next = between(t, w, apptest.Address, now.AddDate(0, 0, 20), now.AddDate(2, 0, 0))
	unit = between(t, w, "posta-certificata@uffici.example", now.AddDate(0, -1, 0), now.AddDate(1, 0, 0))
	w.Write(t, "next.pem", next.CertPEM())
	w.Write(t, "uffici.pem", unit.CertPEM())
	appendConfig(t, w, `[publish]
ldif_url = "https://www.alfa.example/alfa.ldif.p7m"
certs = ["@/next.pem"]
description = "Società di prova"
[environments.uffici]
unit = "Uffici, interni"
service_mailbox = "ricevuteATuffici.example"
domains = ["uffici.example"]
certs = ["@/uffici.pem"]
`)
	return w, next, unit
}

func between(t *testing.T, w *apptest.World, address string, from, to time.Time) *pki.Pair {
	t.Helper()
	p, err := w.Authority.SigningBetween("Alfa PEC", address, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func appendConfig(t *testing.T, w *apptest.World, text string) {
	t.Helper()
	good, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.NewReplacer("AT", "@").Replace(strings.ReplaceAll(text, "@", w.Dir))
	w.Write(t, filepath.Base(w.Config), append(good, text...))
}

// What we publish is what openssl verifies and every reader of the directory understands: the main record with both
// certificates and the URL, the secondary one without it; always the same bytes.
func TestDirectoryExport(t *testing.T) {
	conformance.Covers(t, "C210", "C211", "C212", "C219", "C220", "C221", "C222")
	w, next, unit := publishing(t)
	file := w.Path("alfa.ldif.p7m")
	command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, "export", exitGood, "2 records, SHA-256", "")
	out, err := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", w.Path("ca.pem"), "-purpose", "any").Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	if r := command(t, "directory", "export", "--config", w.Config, "--ldif"); r.out != string(out) || r.code != exitGood {
		t.Errorf("--ldif prints %q; openssl found\n%s", r.out, out)
	}
	for text, n := range map[string]int{
		"dn: providerName=Alfa PEC,o=postacert\n": 1, "dn: providerUnit=Uffici\\, interni,providerName=Alfa PEC,o=postacert\n": 1,
		"providerUnit: Uffici, interni\n": 1, "LDIFLocationURL: https://www.alfa.example/alfa.ldif.p7m\n": 1, "providerName: Alfa PEC\n": 2,
		"providerCertificateHash: ": 3, "managedDomains: alfa.example\n": 1, "managedDomains: uffici.example\n": 1,
		"mailReceipt: ricevute@alfa.example\n": 1, "mailReceipt: ricevute@uffici.example\n": 1, "description:: ": 1, "o: postacert": 0,
		fmt.Sprintf("providerCertificateHash: %s\n", directory.Fingerprint(next.Cert)): 1,
		fmt.Sprintf("providerCertificateHash: %s\n", directory.Fingerprint(unit.Cert)): 1,
	} {
		if got := strings.Count(string(out), text); got != n {
			t.Errorf("the file has %q %d times, want %d:\n%s", text, got, n, out)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the mode of the file is %v, %v; a web server reads it", info.Mode(), err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, "export again", exitGood, "2 records", "")
	if second, err := os.ReadFile(file); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second export gives other bytes: %v", err)
	}
	// Everybody finds us by each of the certificates.
	for cert, says := range map[string]string{"cert.pem": "manages 1 domains:\n    alfa.example", "next.pem": "certificate (not yet): ", "uffici.pem": "environment Uffici, interni"} {
		command(t, "directory", "show", "--certificate", w.Path(cert), "--of", file).says(t, cert, exitGood, says, "")
	}
}

// The next certificate is published as soon as [key] names it, before it signs; listed once more it is refused as twice.
func TestDirectoryExportHasTheNextCertificate(t *testing.T) {
	conformance.Covers(t, "C210")
	w, next, _ := publishing(t)
	key, err := next.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "next.key", key)
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	named := bytes.Replace(text, []byte("[key]\n"), fmt.Appendf(nil, "[key]\nnext_cert = %q\nnext_key = %q\n", w.Path("next.pem"), w.Path("next.key")), 1)
	w.Write(t, filepath.Base(w.Config), named)
	command(t, "directory", "export", "--config", w.Config, "--ldif").says(t, "named twice", exitWrong, "", "twice")
	w.Write(t, filepath.Base(w.Config), bytes.Replace(named, fmt.Appendf(nil, "certs = [%q]\n", w.Path("next.pem")), nil, 1))
	r := command(t, "directory", "export", "--config", w.Config, "--ldif")
	if want := fmt.Sprintf("providerCertificateHash: %s\n", directory.Fingerprint(next.Cert)); r.code != exitGood || strings.Count(r.out, want) != 1 {
		t.Errorf("export: exit code %d, want %q once in\n%s\n%s", r.code, want, r.out, r.err)
	}
}

func TestDirectoryExportSignsWithAnotherKey(t *testing.T) {
	w, _, _ := publishing(t)
	other, err := w.Authority.Signing("Alfa PEC", apptest.Address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := other.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "publish.pem", other.CertPEM())
	w.Write(t, "publish.key", key)
	text, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "ceralacca.toml", bytes.Replace(text, []byte("[publish]\n"),
		fmt.Appendf(nil, "[publish]\nsigner_cert = %q\nsigner_key = %q\n", w.Path("publish.pem"), w.Path("publish.key")), 1))
	file := w.Path("a.p7m")
	command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, "export", exitGood, "2 records", "")
	signer := w.Path("signer.pem")
	if out, err := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", w.Path("ca.pem"), "-purpose", "any",
		"-signer", signer, "-out", os.DevNull).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	if got, err := readCertificate(signer); err != nil || !got.Equal(other.Cert) {
		t.Errorf("it is signed by %v, %v", got.Subject, err)
	}
}

// What is not valid is not published, and each fault is a sentence.
// The key belongs to the user of the daemons and root writes where the web server reads; to look at the records takes no key.
func TestDirectoryExportByRoot(t *testing.T) {
	w, _, _ := publishing(t)
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for _, file := range []string{"", "key.pem", "cert.pem"} {
		if err := os.Chown(w.Path(file), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "alfa.ldif.p7m") // where only root writes
	command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, "export", exitGood, "2 records", "")
	if err := os.Remove(w.Path("key.pem")); err != nil {
		t.Fatal(err)
	}
	command(t, "directory", "export", "--config", w.Config, "--ldif").says(t, "--ldif without a key", exitGood, "providerName: Alfa PEC", "")
	command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, "without a key", exitUsage, "", "key.pem")
}

func TestDirectoryExportRefuses(t *testing.T) {
	conformance.Covers(t, "C210", "C219", "C221")
	now := time.Now()
	for name, test := range map[string]struct {
		harm func(t *testing.T, w *apptest.World)
		code int
		says string
	}{
		"a day without a certificate": {func(t *testing.T, w *apptest.World) {
			w.Write(t, "next.pem", between(t, w, apptest.Address, now.AddDate(9, 0, 0), now.AddDate(10, 0, 0)).CertPEM())
		}, exitWrong, "nothing could be signed between"},
		"an ended one": {func(t *testing.T, w *apptest.World) {
			w.Write(t, "next.pem", between(t, w, apptest.Address, now.AddDate(-3, 0, 0), now.AddDate(0, 0, -1)).CertPEM())
		}, exitWrong, "the main record: the certificate"},
		"the same twice": {func(t *testing.T, w *apptest.World) { w.Write(t, "next.pem", w.Signing.CertPEM()) }, exitWrong, "twice"},
		"another address": {func(t *testing.T, w *apptest.World) {
			w.Write(t, "next.pem", between(t, w, "posta-certificata@other.example", now, now.AddDate(1, 0, 0)).CertPEM())
		}, exitWrong, "subjectAltName has no rfc822Name " + apptest.Address},
		"nobody vouches": {func(t *testing.T, w *apptest.World) {
			other, err := pki.NewAuthority("Other CA", now)
			if err != nil {
				t.Fatal(err)
			}
			p, err := other.Signing("Alfa PEC", "posta-certificata@uffici.example")
			if err != nil {
				t.Fatal(err)
			}
			w.Write(t, "uffici.pem", p.CertPEM())
		}, exitWrong, `the record of the environment "Uffici, interni": the certificate`},
		"the certificate of another record": {func(t *testing.T, w *apptest.World) {
			w.Write(t, "uffici.pem", between(t, w, apptest.Address, now.AddDate(0, 0, 5), now.AddDate(1, 0, 0)).CertPEM())
		}, exitWrong, "no certificate that is good today"},
		"no certificate": {func(t *testing.T, w *apptest.World) { w.Write(t, "next.pem", []byte("junk")) }, exitUsage, "next.pem: it has no certificate in PEM"},
		"no section":     {func(t *testing.T, w *apptest.World) { w.WriteConfig(t, "") }, exitUsage, "no section [publish]"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, _ := publishing(t)
			test.harm(t, w)
			file := w.Path("alfa.p7m")
			command(t, "directory", "export", "--config", w.Config, "--to", file).says(t, name, test.code, "", test.says)
			if _, err := os.Stat(file); err == nil {
				t.Error("a file was written all the same")
			}
		})
	}
	w, _, _ := publishing(t)
	command(t, "directory", "export", "--config", w.Config).says(t, "neither", exitUsage, "", "--to FILE.p7m")
	command(t, "directory", "export", "--config", w.Config, "--to", "x.ldif").says(t, "another name", exitUsage, "", "ends in .p7m")
	command(t, "directory", "export", "--config", w.Config, "--to", w.Path("none/x.p7m")).says(t, "nowhere", exitUsage, "", "none/")
}

// agent runs the agent of a world until the test ends.
func agent(t *testing.T, w *apptest.World) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	deps := app.System()
	deps.Clock, deps.Log = clock.System{}, slog.New(slog.DiscardHandler)
	go func() { ended <- app.Agent(ctx, w.Config, deps) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(w.Path("admin")); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the agent does not answer")
		}
	}
}

// ldif is a directory of Alfa PEC and others.
func (o others) ldif(w *apptest.World, names ...string) string {
	text := "dn: o=postacert\nobjectClass: top\no: postacert\nLDIFLocationURL: https://igpec.example/igpec.ldif.p7m\n\n" +
		"dn: providerName=Alfa PEC,o=postacert\nobjectClass: provider\nproviderName: Alfa PEC\n" + apptest.Certificate(w.Signing) +
		"mailReceipt: ricevute@alfa.example\nmanagedDomains: alfa.example\n"
	for _, name := range names {
		domain := strings.ToLower(name) + ".example"
		text += "\ndn: providerName=" + name + ",o=postacert\nobjectClass: provider\nproviderName: " + name + "\n" +
			apptest.Certificate(o[name]) + "mailReceipt: ricevute@" + domain + "\nmanagedDomains: " + domain + "\n"
	}
	return text
}

type others map[string]*pki.Pair

func newOthers(t *testing.T, w *apptest.World, names ...string) others {
	t.Helper()
	o := others{}
	for _, name := range names {
		p, err := w.Authority.Signing(name, "posta-certificata@"+strings.ToLower(name)+".example")
		if err != nil {
			t.Fatal(err)
		}
		o[name] = p
		w.Write(t, strings.ToLower(name)+".pem", p.CertPEM())
	}
	return o
}

// A new directory is fetched when told so; one that lacks too much waits, can be looked at, and is taken when a person says
// its digest. All versions are listed after.
func TestDirectoryUpdateShowDiffHistory(t *testing.T) {
	conformance.Covers(t, "C209", "C210", "C213")
	w := apptest.New(t)
	o := newOthers(t, w, "Beta", "Gamma")
	conf := []string{"--config", w.Config}
	call := func(words string, more ...string) result {
		return command(t, append(append(append([]string{"directory"}, strings.Fields(words)...), more...), conf...)...)
	}
	call("update").says(t, "no agent", exitUsage, "", "the agent is not running")
	call("show").says(t, "no version", exitUsage, "", "no version of the directory is kept")
	w.SignLDIF(t, o.ldif(w, "Beta"))
	agent(t, w)
	call("update").says(t, "nothing new", exitGood, "The directory in use is what is published: 2 records, 2 domains, 2 certificates", "")
	call("diff").says(t, "one version", exitUsage, "", "no version before the current one")
	w.SignLDIF(t, o.ldif(w, "Beta", "Gamma"))
	call("update").says(t, "a new one", exitGood, `"Gamma" is new, with 1 domains and 1 certificates`, "")
	call("diff").says(t, "diff", exitGood, `"Gamma" is new`, "")
	call("diff waiting").says(t, "nothing waits", exitUsage, "", "no version waits")

	w.SignLDIF(t, o.ldif(w, "Gamma"))
	waiting, err := os.ReadFile(w.Path("igpec.p7m"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(waiting)
	digest := hex.EncodeToString(sum[:])
	r := call("update")
	r.says(t, "a loss", exitWrong, "If that is right: ceralacca directory update --accept "+digest, "not taken until a person accepts it")
	if !strings.Contains(r.out, "because 1 of 3 domains are gone, more than 10 %") || !strings.Contains(r.out, `"Beta" is gone`) {
		t.Errorf("the answer does not say what is lost:\n%s", r.out)
	}
	call("show beta.example").says(t, "still there", exitGood, "Beta\n  service mailbox: ricevute@beta.example", "")
	call("diff waiting").says(t, "diff waiting", exitGood, `"Beta" is gone, with 1 domains and 1 certificates`, "")
	call("diff", w.Path("igpec.p7m"), "--json").says(t, "diff with a file", exitGood, `{"provider":"Beta","what":"gone","domains_less":["beta.example"]`, "")
	call("show Beta --of waiting").says(t, "show of the waiting", exitWrong, "No record of the directory manages the domain Beta", "")
	call("update --accept 0000000000").says(t, "another digest", exitWrong, "stays", "no such version waits")
	call("update --json --accept "+digest).says(t, "accepted", exitGood, `"updated":true`, "")
	call("show a@beta.example").says(t, "gone", exitWrong, "a recipient there is ordinary", "")
	call("show --certificate "+w.Path("gamma.pem")).says(t, "by certificate", exitGood, "Gamma\n", "")
	call("show --certificate "+w.Path("beta.pem")).says(t, "by a certificate that is gone", exitWrong, "what it signs is an anomaly", "")
	call("show GAMMA --json").says(t, "show as JSON", exitGood, `"state":"good"`, "")
	call("show").says(t, "all", exitGood, "published at https://igpec.example/igpec.ldif.p7m", "")
	call("show x --certificate y").says(t, "two questions", exitUsage, "", "ask one")
	call("show --of 123").says(t, "no such version", exitUsage, "", "no kept version is called")
	call("diff current previous").says(t, "backwards", exitGood, `"Beta" is new`, "")

	r = call("history --json")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != exitGood || len(lines) != 3 {
		t.Fatalf("history: %+v; want three versions", r)
	}
	var last keptVersion
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil || last.SHA256 != digest || last.Domains != 2 {
		t.Errorf("the last version = %+v, %v", last, err)
	}
	call("history").says(t, "history", exitGood, digest, "")
	if err := os.WriteFile(last.Path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	call("history").says(t, "a changed version", exitWrong, digest, "is")
}

// A receipt is judged by the directory of its day, and the report says which that was.
func TestVerifyByTheDirectoryOfTheDay(t *testing.T) {
	conformance.Covers(t, "C213")
	w := apptest.New(t)
	receipt(t, w)
	o := newOthers(t, w, "Beta")
	history := w.Path("history")
	if err := os.Mkdir(history, 0o700); err != nil {
		t.Fatal(err)
	}
	keep := func(at time.Time, ldif string) string {
		w.SignLDIF(t, ldif)
		file, err := os.ReadFile(w.Path("igpec.p7m"))
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s-%x.ldif.p7m", at.UTC().Format("20060102T150405.000Z"), sha256.Sum256(file))
		w.Write(t, filepath.Join("history", name), file)
		return fmt.Sprintf("SHA-256 %x", sha256.Sum256(file))
	}
	now := time.Now()
	alfa := o.ldif(w)
	without := strings.ReplaceAll(o.ldif(w, "Beta"), apptest.Certificate(w.Signing), apptest.Certificate(newOthers(t, w, "New")["New"]))
	old := keep(now.Add(-48*time.Hour), without) // our certificate is not there yet
	day := keep(now.Add(-24*time.Hour), alfa)
	fresh := keep(now.Add(24*time.Hour), without) // nor any more
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	file := w.Path("receipt.eml")
	command(t, "verify", "--history", history, file).says(t, "of its day", exitGood, day, "")
	command(t, "verify", file, "--history", history, "--at", at(-time.Hour)).says(t, "of that day", exitGood, day, "")
	r := command(t, "verify", "--history", history, "--at", at(-30*time.Hour), file)
	r.says(t, "before", exitWrong, "WRONG directory: the signer's certificate is not in the directory: the version in force then", "")
	if !strings.Contains(r.out, old) {
		t.Errorf("the report does not say which directory was asked:\n%s", r.out)
	}
	command(t, "verify", "--history", history, "--at", at(30*time.Hour), file).says(t, "after", exitWrong, fresh, "")
	command(t, "verify", "--history", history, "--at", at(-72*time.Hour), file).says(t, "before all", exitUsage,
		"no directory is kept that was in force at", "not every file could be read")
	command(t, "verify", "--history", w.Path("state"), file).says(t, "no versions", exitUsage, "", "no version of the directory is kept there")
	command(t, "verify", "--history", history, "--directory", w.Path("igpec.p7m"), file).says(t, "both", exitUsage, "", "write one of them")
	if err := os.Rename(history, w.Path("state/directory")); err != nil {
		t.Fatal(err)
	}
	command(t, "verify", "--config", w.Config, file, "--at", at(-time.Hour)).says(t, "of the configuration", exitGood, day, "")
}
