package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// flow is mail that a client submits all the time.
type flow struct {
	mark string // in all that comes of it
	stop chan struct{}
	done sync.WaitGroup

	sent   int // once done
	failed []error
}

// flowing submits a letter of alfa's first user to beta's again and again until the flow is ended.
func flowing(t *testing.T) *flow {
	t.Helper()
	f := &flow{mark: "m" + random(t), stop: make(chan struct{})}
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0]
	f.done.Go(func() {
		for {
			l := write(t, mario.Address, []string{bruno.Address}, nil)
			raw := bytes.Replace(l.raw, []byte("@client.example>"), []byte("@"+f.mark+".example>"), 1) // its Message-ID
			if err := env.Submit("ALFA", mario, client.Mail{From: l.from, To: l.to, Data: bytes.NewReader(raw)}); err != nil {
				f.failed = append(f.failed, err)
			} else {
				f.sent++
			}
			select {
			case <-f.stop:
				return
			case <-time.After(time.Second):
			}
		}
	})
	return f
}

// end stops it, and asks that nothing was refused or put off, and that all that came of it is signed by one of these.
func (f *flow) end(t *testing.T, may ...*x509.Certificate) {
	t.Helper()
	close(f.stop)
	f.done.Wait()
	for _, err := range f.failed {
		t.Errorf("while the key was exchanged a submission failed: %v", err)
	}
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0]
	var ours []*client.Message // what alfa signed
	becomes(t, fmt.Sprintf("all of %d letters is there", f.sent), patience, func() bool {
		sender, err := env.Holding("ALFA", mario, f.mark)
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := env.Holding("BETA", bruno, f.mark)
		if err != nil {
			t.Fatal(err)
		}
		ours = slices.Concat(recipient, slices.DeleteFunc(slices.Clone(sender), func(m *client.Message) bool { return m.Kind() != pec.KindAcceptance }))
		return len(sender) == 2*f.sent && len(recipient) == f.sent
	})
	for _, m := range ours {
		if got := signerOf(t, m); !slices.ContainsFunc(may, got.Equal) {
			t.Errorf("%s is signed by serial number %X, neither of the two", m.Kind(), got.SerialNumber)
		}
	}
}

// signerOf asks OpenSSL whether a message is genuine, and returns the certificate that OpenSSL says signed it.
func signerOf(t *testing.T, m *client.Message) *x509.Certificate {
	t.Helper()
	file := filepath.Join(t.TempDir(), "signer.pem")
	cmd := exec.Command("openssl", "cms", "-verify", "-CAfile", env["LAB_CA"], "-signer", file, "-out", os.DevNull)
	cmd.Stdin = bytes.NewReader(m.Raw)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl cms -verify: %v\n%s", err, out)
	}
	return certificateIn(t, file)
}

func certificateIn(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no PEM", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// certified has the lab's authority make a certificate of a request.
func certified(t *testing.T, request, cert string) {
	t.Helper()
	dir := t.TempDir()
	extensions := "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\ncrlDistributionPoints=URI:" + env["LAB_CRL_URL"] + "\n"
	if err := os.WriteFile(filepath.Join(dir, "ext"), []byte(extensions), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "x509", "-req", "-in", request, "-CA", env["LAB_CA"], "-CAkey", env["LAB_CA_KEY"], "-CAcreateserial",
		"-CAserial", filepath.Join(dir, "serial"), "-days", "500", "-copy_extensions", "copy", "-extfile", filepath.Join(dir, "ext"), "-out", cert).CombinedOutput()
	if err == nil {
		err = os.Chmod(cert, 0o644)
	}
	if err != nil {
		t.Fatalf("openssl x509: %v\n%s", err, out)
	}
}

// publishCertificate puts a certificate into alfa's record, and a provider by which beta's milter shows that it has the version,
// into the directory of both agents; both are gone when the test ends.
func publishCertificate(t *testing.T, cert string) {
	t.Helper()
	plain, err := os.ReadFile(strings.TrimSuffix(env["DIRECTORY_P7M"], ".p7m"))
	if err != nil {
		t.Fatal(err)
	}
	update := func(ldif string) {
		t.Helper()
		publishDirectory(t, ldif)
		for _, host := range []string{"ALFA", "BETA"} {
			code, out := commandOf(t, host, "directory", "update", "--json")
			if _, digest, waits := strings.Cut(out, `"waiting":{"sha256":"`); waits {
				code, out = commandOf(t, host, "directory", "update", "--accept", digest[:64])
			}
			if code != 0 {
				t.Errorf("updating the directory of %s: %s", host, out)
			}
		}
	}
	t.Cleanup(func() { update(string(plain)) })
	name := "\nproviderName: " + env["ALFA_PROVIDER"] + "\n"
	fresh := strings.Replace(string(plain), name, name+attributes(t, cert), 1)
	if fresh == string(plain) {
		t.Fatalf("the directory has no record of %q", env["ALFA_PROVIDER"])
	}
	domain := "zeta" + random(t) + ".example"
	update(fresh + "\ndn: providerName=Zeta,o=postacert\nobjectClass: top\nobjectClass: provider\nproviderName: Zeta\n" +
		"mailReceipt: r@" + domain + "\nmanagedDomains: " + domain + "\n" + attributes(t, env["LAB_STRANGER_CERT"]))
	followed(t, "BETA", "x@"+domain, true)
}

// rotates runs cert rotate on alfa, which reloads both daemons, and waits until they have read the configuration.
func rotates(t *testing.T, words ...string) {
	t.Helper()
	milter, agent := daemonLog(t, "alfa-milter"), daemonLog(t, "alfa-lda")
	reload := fmt.Sprintf("kill -HUP $(cat %s) $(cat %s)", env["ALFA_MILTER_PID"], env["ALFA_LDA_PID"])
	if code, out := commandOf(t, "ALFA", append([]string{"cert", "rotate", "--reload", reload}, words...)...); code != 0 {
		t.Fatalf("rotate %q: exit %d\n%s", words, code, out)
	}
	eventually(t, milter, "the configuration was read again")
	eventually(t, agent, "the configuration was read again")
}

// TestRotationInHardware renews the certificate of a key in a token as docs/pkcs11.md says, while mail flows: nothing is refused,
// put off or unsigned. What was sealed before the exchange is delivered as it is; what is made after it is of the other key.
func TestRotationInHardware(t *testing.T) {
	conformance.Covers(t, "C210", "C225")
	m := newModule(t)
	cert, next, request := filepath.Join(m.dir, "cert.pem"), filepath.Join(m.dir, "next.pem"), filepath.Join(m.dir, "next.csr")
	text, err := os.ReadFile(m.cert)
	if err == nil {
		err = os.WriteFile(cert, text, 0o644)
	}
	if err == nil {
		err = m.Generate("next", "02")
	}
	if err != nil {
		t.Fatal(err)
	}
	const keys = `{label = "sealing"}, {label = "next"}`
	m.use(t, keys, fmt.Sprintf("cert = %q\n", cert))
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0]
	mail := flowing(t)

	if code, out := commandOf(t, "ALFA", "cert", "csr", "--key", "next", "--out", request); code != 0 {
		t.Fatalf("csr: exit %d\n%s", code, out)
	}
	certified(t, request, next)
	m.use(t, keys, fmt.Sprintf("cert = %q\nnext_cert = %q\n", cert, next))
	first, second := certificateIn(t, cert), certificateIn(t, next)
	refused := func(want string) {
		t.Helper()
		if code, out := commandOf(t, "ALFA", "cert", "rotate", "--reload", ""); code != 1 || !strings.Contains(out, want) {
			t.Errorf("rotate: exit %d\n%s; want 1 and %q", code, out, want)
		}
	}
	refused("the directory in use does not have it")
	publishCertificate(t, next)
	refused("in the directory for less than a day")
	if code, out := commandOf(t, "ALFA", "cert", "check"); code != 0 || !strings.Contains(out, `its key is in the plug-in, as label "sealing", and signs`) ||
		!strings.Contains(out, `its key is in the plug-in, as label "next", and signs`) || !strings.Contains(out, "what to do: wait until") {
		t.Errorf("check: exit %d\n%s", code, out)
	}

	// An envelope that waits in alfa's queue meanwhile.
	resume := halt(t, "beta-milter")
	queue, outside := logFile(t, env["ALFA_POSTFIX_LOG"]), logFile(t, env["ALFA_OUT_LOG"])
	waits := write(t, mario.Address, []string{bruno.Address}, nil)
	submit(t, "ALFA", mario, waits)
	becomes(t, "it waits", patience, func() bool { return strings.Contains(queue()+outside(), "status=deferred") })
	rotates(t, "--early")
	after := write(t, mario.Address, []string{bruno.Address}, nil)
	submit(t, "ALFA", mario, after)
	resume()
	answer := write(t, bruno.Address, []string{mario.Address}, nil)
	submit(t, "BETA", bruno, answer)
	by := func(what string, want *x509.Certificate, m *client.Message) {
		t.Helper()
		sealed(t, m)
		if got := signerOf(t, m); !got.Equal(want) {
			t.Errorf("%s: the %s is signed by serial number %X, want %X", what, m.Kind(), got.SerialNumber, want.SerialNumber)
		}
	}
	by("sealed before", first, pick(t, await(t, waits.ref, exchange())[bruno.Address], pec.KindTransport))
	found := await(t, after.ref, exchange())
	by("after the exchange", second, pick(t, found[bruno.Address], pec.KindTransport))
	by("after the exchange", second, pick(t, found[mario.Address], pec.KindAcceptance))
	service := env.Login("BETA_SERVICE_USER").Address
	found = await(t, answer.ref, map[string][]pec.Kind{bruno.Address: {pec.KindAcceptance, pec.KindDelivery}, mario.Address: {pec.KindTransport},
		service: {pec.KindTakeCharge}})
	by("after the exchange", second, pick(t, found[bruno.Address], pec.KindDelivery))
	by("after the exchange", second, pick(t, found[service], pec.KindTakeCharge))

	rotates(t, "--undo")
	undone := write(t, mario.Address, []string{bruno.Address}, nil)
	submit(t, "ALFA", mario, undone)
	by("taken back", first, pick(t, await(t, undone.ref, exchange())[mario.Address], pec.KindAcceptance))
	mail.end(t, first, second)
}
