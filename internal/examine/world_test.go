package examine

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// Everything of these tests happens at one instant.
var now = time.Now().Truncate(time.Second)

// provider is who seals: its key and its certificate.
type provider struct {
	pec.Provider
	pair *pki.Pair
	key  signer.Key
}

// world is an authority and what it made, in files as an operator has them.
type world struct {
	ca, crl, directory string // of the right authority; alfa's revoked certificate is in the list
	otherCA, otherCRL  string
	authority          *pki.Authority
	alfa, beta         *provider
	revoked, unlisted  *provider // as alfa, one in the list, the other not in the directory
}

// theWorld is made once: keys take long.
var theWorld = sync.OnceValues(func() (*world, error) {
	dir, err := os.MkdirTemp("", "examine")
	if err != nil {
		return nil, err
	}
	w := &world{ca: filepath.Join(dir, "ca.pem"), crl: filepath.Join(dir, "crl.pem"), directory: filepath.Join(dir, "igpec.p7m"),
		otherCA: filepath.Join(dir, "other.pem"), otherCRL: filepath.Join(dir, "other-crl.pem")}
	return w, w.fill(dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := theWorld(); err == nil {
		_ = os.RemoveAll(filepath.Dir(w.ca))
	}
	os.Exit(code)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) fill(dir string) error {
	var err error
	if w.authority, err = pki.NewAuthority("Test CA", now); err != nil {
		return err
	}
	other, err := pki.NewAuthority("Other CA", now)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		to            **provider
		name, address string
	}{
		{&w.alfa, "Alfa PEC", "posta-certificata@alfa.example"}, {&w.beta, "Beta PEC", "posta-certificata@beta.example"},
		{&w.revoked, "Alfa PEC", "posta-certificata@alfa.example"}, {&w.unlisted, "Alfa PEC", "posta-certificata@alfa.example"},
	} {
		if *p.to, err = w.provider(p.name, p.address); err != nil {
			return err
		}
	}
	crl, err := w.authority.CRL(w.revoked.pair.Cert)
	if err != nil {
		return err
	}
	otherCRL, err := other.CRL()
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{w.ca: w.authority.CertPEM(), w.crl: crl, w.otherCA: other.CertPEM(), w.otherCRL: otherCRL} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return w.signDirectory(dir)
}

func (w *world) provider(name, address string) (*provider, error) {
	pair, err := w.authority.Signing(name, address)
	if err != nil {
		return nil, err
	}
	key, err := signer.NewKey(pair.Key, certificates(pair))
	if err != nil {
		return nil, err
	}
	a, err := pec.ParseAddress(address)
	return &provider{pec.Provider{Name: name, Address: a}, pair, key}, err
}

// signDirectory writes the list of both providers and signs it with the authority's own key.
func (w *world) signDirectory(dir string) error {
	var b strings.Builder
	b.WriteString("dn: o=postacert\nobjectClass: top\nobjectClass: organization\no: postacert\n")
	for _, r := range []struct {
		name, domain string
		certs        []*pki.Pair
	}{{"Alfa PEC", "alfa.example", []*pki.Pair{w.alfa.pair, w.revoked.pair}}, {"Beta PEC", "beta.example", []*pki.Pair{w.beta.pair}}} {
		fmt.Fprintf(&b, "\ndn: providerName=%s,o=postacert\nobjectClass: top\nobjectClass: provider\nproviderName: %[1]s\n", r.name)
		for _, c := range r.certs {
			fmt.Fprintf(&b, "providerCertificateHash: %X\nproviderCertificate;binary:: %s\n", sha1.Sum(c.Cert.Raw),
				base64.StdEncoding.EncodeToString(c.Cert.Raw))
		}
		fmt.Fprintf(&b, "mailReceipt: ricevute@%s\nmanagedDomains: %[1]s\n", r.domain)
	}
	plain, key := filepath.Join(dir, "igpec.ldif"), filepath.Join(dir, "ca.key")
	keyPEM, err := w.authority.KeyPEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(key, keyPEM, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(plain, []byte(b.String()), 0o600); err != nil {
		return err
	}
	out, err := exec.Command("openssl", "cms", "-sign", "-nodetach", "-binary", "-md", "sha256", "-in", plain, "-signer", w.ca,
		"-inkey", key, "-outform", "DER", "-out", w.directory).CombinedOutput()
	if err != nil {
		return fmt.Errorf("openssl: %w: %s", err, out)
	}
	return nil
}

// everything asks for all checks.
func (w *world) everything() Options { return Options{CA: w.ca, CRL: w.crl, Directory: w.directory} }

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const (
	sender     = "mario.rossi@alfa.example"
	recipient  = "luigi@beta.example"
	identifier = "0123456789abcdef0123456789abcdef@alfa.example"
)

// data are the certification data of a kind, of a message from alfa to beta.
func (p *provider) data(t testing.TB, kind pec.Kind) pec.CertData {
	subject, to := "Disdetta — però", address(t, recipient)
	c := pec.CertData{Kind: kind, Error: pec.ErrorNone, Sender: address(t, sender), ReplyTo: sender, Subject: &subject,
		Recipients: []pec.Recipient{{Address: to, Type: pec.Certified}, {Address: address(t, "anna@gamma.example"), Type: pec.Ordinary}},
		Provider:   p.Name, Time: now, Identifier: identifier, MessageID: "<1@client.example>"}
	switch kind {
	case pec.KindTransport:
		c.Receipt = pec.ReceiptComplete
	case pec.KindDelivery:
		c.Receipt, c.Delivery = pec.ReceiptComplete, &to
	case pec.KindNonDelivery:
		c.Error, c.Delivery, c.Detail = pec.ErrorRecipient, &to, "5.1.1 - "+p.Name+" - indirizzo non valido"
	case pec.KindTimeout, pec.KindNonAcceptance:
		c.Error, c.Detail = pec.ErrorOther, "5.4.1 - "+p.Name+" - tempo scaduto"
		if kind == pec.KindTimeout {
			c.Delivery = &to
		}
	case pec.KindVirusDetection:
		c.Error, c.Delivery, c.Detail = pec.ErrorVirus, &to, "5.5.1 - "+p.Name+" - virus"
	case pec.KindTakeCharge:
		c.Taken = []pec.Address{to}
	}
	return c
}

func original() compose.Original {
	return compose.Original{Header: pec.Header{{Name: "From", Value: " Mario Rossi <" + sender + ">"}, {Name: "To", Value: " Luigi <" + recipient + ">"},
		{Name: "Cc", Value: " anna@gamma.example"}, {Name: "Subject", Value: " Disdetta"}, {Name: "Message-ID", Value: " <1@client.example>"}},
		Body: pec.Bytes([]byte("Buongiorno.\r\n"))}
}

// message composes and seals a message of a kind, as the product does.
func (p *provider) message(t testing.TB, kind pec.Kind) []byte {
	t.Helper()
	if kind == pec.KindAnomaly {
		return p.anomaly(t, original().Header)
	}
	return p.compose(t, p.data(t, kind))
}

// anomaly wraps a message with this header.
func (p *provider) anomaly(t testing.TB, header pec.Header) []byte {
	t.Helper()
	o := original()
	o.Header = header
	a, err := compose.AnomalyEnvelope(p.Provider, o, compose.Anomaly{Sender: address(t, sender), Recipients: []pec.Address{address(t, recipient)},
		Reason: "firma assente", Time: now, ID: identifier[:32]})
	return p.seal(t, a, err, now)
}

func (p *provider) compose(t testing.TB, c pec.CertData) []byte {
	t.Helper()
	return p.sealAt(t, c, now)
}

// sealAt composes a message that says to have been signed at another instant.
func (p *provider) sealAt(t testing.TB, c pec.CertData, at time.Time) []byte {
	t.Helper()
	if c.Kind == pec.KindTransport {
		a, err := compose.TransportEnvelope(p.Provider, original(), &c)
		return p.seal(t, a, err, at)
	}
	n := compose.Notification{Data: c, To: c.Sender, Concise: c.Kind == pec.KindDelivery}
	switch c.Kind {
	case pec.KindTakeCharge:
		n.To = address(t, "ricevute@alfa.example")
	case pec.KindVirusDetection:
		n.To, n.Virus = address(t, "ricevute@alfa.example"), "Eicar"
	}
	a, err := compose.NotificationMessage(p.Provider, n)
	return p.seal(t, a, err, at)
}

func (p *provider) seal(t testing.TB, a *pec.Artefact, err error, at time.Time) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	draft, err := signer.NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	var body, whole bytes.Buffer
	sealed, err := draft.SealTo(t.Context(), &body, p.key, at)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = sealed.Header().WriteTo(&whole) // a buffer does not fail
	whole.WriteString("\r\n")
	whole.Write(body.Bytes())
	return whole.Bytes()
}
