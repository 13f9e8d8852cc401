package foreign

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
	"github.com/ceralacca/ceralacca/signer"
)

// now is when everything is received.
var now = time.Now().Truncate(time.Second)

// world is alfa, which receives, and those who write to it. Of the identities, delta and beta are providers; the others say
// that they are delta.
type world struct {
	verifier signer.Verifier
	self     *pec.ProviderRecord
	who      map[string]*Identity
}

// register is a directory of some records.
type register []*pec.ProviderRecord

func (r register) ByCertificate(c *x509.Certificate) (*pec.ProviderRecord, bool) {
	for _, record := range r {
		if slices.ContainsFunc(record.Certificates, c.Equal) {
			return record, true
		}
	}
	return nil, false
}

// must is for what is made once, before any test can fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// theWorld is made once: keys take long.
var theWorld = sync.OnceValue(func() *world {
	authority, other := must(pki.NewAuthority("Test CA", now)), must(pki.NewAuthority("Other CA", now))
	w := &world{who: map[string]*Identity{}}
	certificates := map[string]*x509.Certificate{}
	add := func(name, provider, address string, p *pki.Pair) {
		w.who[name] = &Identity{Name: provider, Address: address, Cert: p.Cert, Key: p.Key}
		certificates[name] = p.Cert
	}
	const delta, address = "Delta S.p.A.", "posta-certificata@delta.example"
	for _, name := range []string{"delta", "renewed", "revoked", "unlisted"} {
		add(name, delta, address, must(authority.Signing(delta, address)))
	}
	add("expired", delta, address, must(authority.SigningBetween(delta, address, now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1))))
	add("future", delta, address, must(authority.SigningBetween(delta, address, now.AddDate(0, 0, 1), now.AddDate(1, 0, 0))))
	add("chainless", delta, address, must(other.Signing(delta, address)))
	add("EC", delta, address, elliptical(authority, delta, address))
	add("beta", "Beta S.p.A.", "posta-certificata@beta.example", must(authority.Signing("Beta S.p.A.", "posta-certificata@beta.example")))
	add("alfa", "Alfa S.p.A.", "posta-certificata@alfa.example", must(authority.Signing("Alfa S.p.A.", "posta-certificata@alfa.example")))
	listed := func(names ...string) (out []*x509.Certificate) {
		for _, n := range names {
			out = append(out, certificates[n])
		}
		return out
	}
	w.self = &pec.ProviderRecord{Name: "Alfa S.p.A.", Domains: []string{"alfa.example"}, Certificates: listed("alfa"), MailReceipt: addr("ricevute@alfa.example")}
	r := register{w.self,
		{Name: delta, Domains: []string{"delta.example", "clienti.example"}, MailReceipt: addr("ricevute@delta.example"),
			Certificates: listed("delta", "renewed", "revoked", "expired", "future", "chainless", "EC")},
		{Name: "Beta S.p.A.", Domains: []string{"beta.example"}, MailReceipt: addr("ricevute@beta.example"), Certificates: listed("beta")},
	}
	w.verifier = signer.Verifier{Trust: trust(authority, certificates["revoked"]), Directory: func() signer.Directory { return r }}
	return w
})

func trust(authority *pki.Authority, revoked ...*x509.Certificate) *signer.Trust {
	dir := must(os.MkdirTemp("", "foreign"))
	defer func() { _ = os.RemoveAll(dir) }() // it is read once
	ca, crl := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
	for file, text := range map[string][]byte{ca: authority.CertPEM(), crl: must(authority.CRL(revoked...))} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			panic(err)
		}
	}
	return must(signer.NewTrust(signer.TrustFiles{CA: ca, CRLs: []string{crl}}))
}

// elliptical is a signing certificate for a key of another kind.
func elliptical(a *pki.Authority, provider, address string) *pki.Pair {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{Country: []string{"IT"}, Organization: []string{provider}, CommonName: "Posta Certificata"},
		NotBefore: now.AddDate(0, 0, -30), NotAfter: now.AddDate(1, 0, 0), EmailAddresses: []string{address},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.Cert, key.Public(), a.Key))
	return &pki.Pair{Cert: must(x509.ParseCertificate(der)), Key: key}
}

func addr(s string) pec.Address { return must(pec.ParseAddress(s)) }

// transaction is one of SMTP. Its zero values are those that fit the message.
type transaction struct {
	from string
	to   []string
	null bool // the null sender
}

const (
	dora    = "dora@delta.example"
	mario   = "mario@alfa.example"
	service = "ricevute@alfa.example"
)

// kinds are the four kinds of message that come from outside, and what each turns out to be.
var kinds = map[string]policy.Outcome{
	"envelope": policy.OutcomeEnvelope, "receipt": policy.OutcomeNotification, "non-delivery": policy.OutcomeNotification,
	"take-charge": policy.OutcomeNotification, "virus": policy.OutcomeNotification,
}

// facts are those of a valid message of a kind from delta to alfa, and the transaction it comes in.
func (w *world) facts(kind string) (Facts, transaction) {
	who := w.who["delta"]
	if kind == "envelope" {
		return Envelope(who, "0001", now, dora, mario), transaction{from: dora, to: []string{mario}}
	}
	sent := Envelope(w.who["alfa"], "0002", now, mario, dora)
	sent.Identifier = "0123456789abcdef0123456789abcdef@alfa.example"
	word := map[string]string{"receipt": "avvenuta-consegna", "non-delivery": "errore-consegna", "take-charge": "presa-in-carico", "virus": "rilevazione-virus",
		"acceptance": "accettazione", "non-acceptance": "non-accettazione", "timeout": "preavviso-errore-consegna"}[kind]
	to := mario
	if kind == "take-charge" || kind == "virus" {
		to = service
	}
	return sent.About(who, word, dora, to, now), transaction{from: who.Address, to: []string{to}}
}

// judge is what the incoming point decides of a message.
func (w *world) judge(t testing.TB, message []byte, smtp transaction) policy.Judgement {
	t.Helper()
	v, err := w.verifier.Verify(pec.Bytes(message), now)
	if err != nil {
		t.Fatalf("not judged: %v", err)
	}
	in := &policy.Incoming{Verification: v, Self: w.self, Service: []pec.Address{addr("posta-certificata@alfa.example"), addr(service)}}
	if !smtp.null {
		in.Sender = addr(smtp.from)
	}
	for _, a := range smtp.to {
		in.Recipients = append(in.Recipients, addr(a))
	}
	return policy.JudgeIncoming(in)
}
