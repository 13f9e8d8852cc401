// Package apptest makes what a configuration names, in files, so that tests can start the daemons and run the commands.
// It starts no server.
package apptest

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
)

// Address is the provider's own.
const Address = "posta-certificata@alfa.example"

// World is a folder with a configuration in order and all that it names.
type World struct {
	Dir       string
	Config    string // path
	Authority *pki.Authority
	Signing   *pki.Pair
}

// New makes a world in a folder whose name is short enough for sockets. The caller of the test binary is the daemons'
// user.
func New(t testing.TB) *World {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &World{Dir: dir, Config: filepath.Join(dir, "ceralacca.toml")}
	now := time.Now()
	if w.Authority, err = pki.NewAuthority("Test CA", now); err != nil {
		t.Fatal(err)
	}
	if w.Signing, err = w.Authority.Signing("Alfa PEC", Address); err != nil {
		t.Fatal(err)
	}
	client, err := w.Authority.Client("agent")
	if err != nil {
		t.Fatal(err)
	}
	crl, err := w.Authority.CRL()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"queue", "state"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.Write(t, "cert.pem", w.Signing.CertPEM())
	w.Write(t, "key.pem", keyPEM(t, w.Signing))
	w.Write(t, "ca.pem", w.Authority.CertPEM())
	w.Write(t, "ca.key", keyPEM(t, &w.Authority.Pair))
	w.Write(t, "crl.pem", crl)
	w.Write(t, "out.pem", client.CertPEM())
	w.Write(t, "out.key", keyPEM(t, client))
	w.Write(t, "hmac", bytes.Repeat([]byte("0123456789abcdef"), 4))
	w.Write(t, "password", []byte("secret\n"))
	w.SignDirectory(t, "alfa.example", w.Signing)
	w.WriteConfig(t, "")
	return w
}

func keyPEM(t testing.TB, p *pki.Pair) []byte {
	t.Helper()
	key, err := p.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Path is that of a file of the world.
func (w *World) Path(name string) string { return filepath.Join(w.Dir, name) }

// Write writes a file of the world, mode 0600.
func (w *World) Write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(w.Path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// SignDirectory writes a directory that gives domain and certificates to Alfa PEC.
func (w *World) SignDirectory(t testing.TB, domain string, certs ...*pki.Pair) {
	t.Helper()
	var listed strings.Builder
	for _, cert := range certs {
		listed.WriteString(Certificate(cert))
	}
	w.SignLDIF(t, "dn: o=postacert\nobjectClass: top\nobjectClass: organization\no: postacert\n\n"+
		"dn: providerName=Alfa PEC,o=postacert\nobjectClass: top\nobjectClass: provider\nproviderName: Alfa PEC\n"+
		listed.String()+"mailReceipt: ricevute@alfa.example\nmanagedDomains: "+domain+"\n")
}

// Certificate is the two attributes of a certificate in LDIF.
func Certificate(cert *pki.Pair) string {
	return fmt.Sprintf("providerCertificateHash: %X\nproviderCertificate;binary:: %s\n",
		sha1.Sum(cert.Cert.Raw), base64.StdEncoding.EncodeToString(cert.Cert.Raw))
}

// SignLDIF writes a directory of this LDIF. Each is seen to be another file than the one before.
func (w *World) SignLDIF(t testing.TB, ldif string) {
	t.Helper()
	w.Write(t, "igpec.ldif", []byte(ldif))
	_ = os.Remove(w.Path("igpec.p7m")) // the first time there is none
	cmd := exec.Command("openssl", "cms", "-sign", "-nodetach", "-binary", "-md", "sha256", "-in", "igpec.ldif",
		"-signer", "ca.pem", "-inkey", "ca.key", "-outform", "DER", "-out", "igpec.p7m")
	cmd.Dir = w.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
}

// WriteConfig writes the configuration in order, with further lines of the section [agent].
func (w *World) WriteConfig(t testing.TB, agent string) {
	t.Helper()
	text := strings.ReplaceAll(configuration, "@", w.Dir)
	text = strings.NewReplacer("AT", "@", "AGENT", agent).Replace(text)
	w.Write(t, filepath.Base(w.Config), []byte(text))
}

const configuration = `[provider]
name = "Alfa PEC"
address = "posta-certificataATalfa.example"
service_mailbox = "ricevuteATalfa.example"
domains = ["alfa.example"]
internal_domain = "ceralacca.internal"
[key]
cert = "@/cert.pem"
key = "@/key.pem"
ca = "@/ca.pem"
crl = ["@/crl.pem"]
[directory]
file = "@/igpec.p7m"
signer_ca = "@/ca.pem"
[milter]
submission_socket = "unix:@/submission"
incoming_socket = "unix:@/incoming"
[agent]
lmtp_socket = "unix:@/lmtp"
dsn_socket = "unix:@/dsn"
out = "127.0.0.1:10026"
out_cert = "@/out.pem"
out_key = "@/out.key"
out_ca = "@/ca.pem"
queue_directory = ["@/queue"]
state = "@/state"
admin_socket = "unix:@/admin"
AGENT
[dovecot]
lmtp = "unix:@/dovecot"
userdb_socket = "unix:@/userdb"
imap = "127.0.0.1:10993"
imap_ca = "@/ca.pem"
master_user = "master"
master_password = "@/password"
[hmac]
key = "@/hmac"
[antivirus]
mode = "none"
[time]
unsynchronised = "warn"
`
