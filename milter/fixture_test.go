package milter

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// provider is one that certifies, in the tests.
type provider struct {
	pec.Provider
	pair   *pki.Pair
	key    signer.Key
	record *pec.ProviderRecord
}

// index is a directory made by hand.
type index []*pec.ProviderRecord

func (x index) ByDomain(domain string) (*pec.ProviderRecord, bool) {
	for _, r := range x {
		if r.Manages(domain) {
			return r, true
		}
	}
	return nil, false
}

func (x index) ByCertificate(c *x509.Certificate) (*pec.ProviderRecord, bool) {
	for _, r := range x {
		for _, own := range r.Certificates {
			if own.Equal(c) {
				return r, true
			}
		}
	}
	return nil, false
}

// boxes knows the mailboxes named in it, and fails for the one that is nil.
type boxes map[string]*mailbox.Result

func (b boxes) Lookup(_ context.Context, a pec.Address) (mailbox.Result, error) {
	found, ok := b[a.String()]
	if ok && found == nil {
		return mailbox.Result{}, fmt.Errorf("no answer about %s", a)
	}
	if !ok {
		return mailbox.Result{}, nil
	}
	return *found, nil
}

// world is provider alfa with a milter, and a directory that has beta and delta too, while gamma is not in it.
type world struct {
	t                        testing.TB
	dir                      string
	alfa, beta, delta, gamma provider
	trustedFile              string // authority and revocation list, for OpenSSL
	options                  Options
	milter                   *Milter
	mta                      *mtatest.Postfix
	log                      *logBuffer
	main                     []string // more settings of Postfix
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// must is for what comes before the servers run: a panic leaves them running.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// authority and its certificates are made once: keys take long.
var authority = sync.OnceValue(func() *pki.Authority { return must(pki.NewAuthority("Test CA", time.Now())) })

var pairs = sync.OnceValue(func() map[string]*pki.Pair {
	made := map[string]*pki.Pair{}
	for _, name := range []string{"alfa", "beta", "delta", "gamma"} {
		made[name] = must(authority().Signing(name+" S.p.A.", "posta-certificata@"+name+".example"))
	}
	return made
})

// newWorld makes everything but the servers. The instant is real: OpenSSL judges by the clock of the machine.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, mtatest.Dir(t))
}

func newWorldIn(t testing.TB, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, log: &logBuffer{}}
	ca := authority()
	for name, p := range map[string]*provider{"alfa": &w.alfa, "beta": &w.beta, "delta": &w.delta, "gamma": &w.gamma} {
		*p = w.provider(name)
	}
	caFile, crlFile := w.file("ca.pem", ca.CertPEM()), w.file("crl.pem", must(ca.CRL()))
	w.trustedFile = w.file("trusted.pem", append(ca.CertPEM(), must(ca.CRL())...))
	trust := must(signer.NewTrust(signer.TrustFiles{CA: caFile, CRLs: []string{crlFile}}))
	directory := index{w.alfa.record, w.beta.record, w.delta.record}
	known := &mailbox.Result{State: mailbox.Known}
	w.options = Options{
		Config: &config.Config{
			Provider: config.Provider{
				Name: w.alfa.Name, Address: w.alfa.Address, ServiceMailbox: address(t, "servizio@alfa.example"),
				Domains: []string{"alfa.example", "pec.alfa.example"}, InternalDomain: "ceralacca.internal",
			},
			Milter: config.Milter{
				SubmissionSocket: config.Endpoint{Network: "unix", Address: filepath.Join(w.dir, "sub")},
				IncomingSocket:   config.Endpoint{Network: "unix", Address: filepath.Join(w.dir, "in")},
			},
			Incoming: config.Incoming{Ordinary: config.OrdinaryAnomaly}, Antivirus: config.Antivirus{Mode: config.AntivirusNone},
			Limits: config.Limits{Size: 100e6, Product: 100e6, HardSize: 150e6},
		},
		Directory: func() Directory { return directory },
		Verifier:  &signer.Verifier{Trust: trust, Directory: func() signer.Directory { return directory }},
		Key:       w.alfa.key, HMAC: must(transaction.NewKey(bytes.Repeat([]byte("k"), 32))),
		Mailboxes: boxes{"mario@alfa.example": known, "silent@alfa.example": nil},
		Clock:     clock.System{}, ClockSound: func() error { return nil }, Random: rand.Reader, Spool: w.dir,
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	return w
}

func (w *world) provider(name string) provider {
	domain := name + ".example"
	p := provider{Provider: pec.Provider{Name: name + " S.p.A.", Address: address(w.t, "posta-certificata@"+domain)}}
	p.pair = pairs()[name]
	cert, key := w.file(name+".pem", p.pair.CertPEM()), w.file(name+".key", must(p.pair.KeyPEM()))
	p.key = must(signer.LoadKey(cert, key))
	p.record = &pec.ProviderRecord{
		Name: p.Name, MailReceipt: address(w.t, "servizio@"+domain), Domains: []string{domain, "pec." + domain},
		Certificates: []*x509.Certificate{p.pair.Cert},
	}
	return p
}

func (w *world) file(name string, content []byte) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// serve starts the milter and Postfix.
func (w *world) serve() *world {
	w.t.Helper()
	w.milter = must(New(w.options))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.milter.Serve(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("Serve: %v", err)
		}
		if text := w.log.String(); strings.Contains(text, "panic") || w.t.Failed() {
			w.t.Logf("the milter said:\n%s", text)
		}
	})
	c := w.options.Config.Milter
	awaitSockets(w.t, c)
	w.mta = mtatest.Start(w.t, mtatest.Config{
		Dir: w.dir, SubmissionSocket: c.SubmissionSocket.Address, IncomingSocket: c.IncomingSocket.Address,
		Main: w.main,
	})
	return w
}

// awaitSockets waits until both are served and Postfix may use them.
func awaitSockets(t testing.TB, c config.Milter) {
	t.Helper()
	for _, path := range []string{c.SubmissionSocket.Address, c.IncomingSocket.Address} {
		served := false
		for end := time.Now().Add(10 * time.Second); !served && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			conn, err := net.Dial("unix", path)
			if err == nil {
				_ = conn.Close()
				info, err := os.Stat(path)
				served = err == nil && info.Mode().Perm() == 0o660
			}
		}
		if !served {
			t.Fatalf("nobody serves %s", path)
		}
	}
}

// arrived is a message that reached the sink: its record, proven, and what the agent would go on with.
type arrived struct {
	mtatest.Delivery
	record *transaction.Record
	header pec.Header // without the record and without what Postfix put above it
	body   []byte
	whole  []byte // header and body
}

// arrive takes the next message from the sink and proves its record as the agent does.
func (w *world) arrive() arrived {
	w.t.Helper()
	d := w.mta.Sink.Wait(w.t)
	src := pec.Bytes(d.Data)
	h, body, err := pec.ReadHeader(src, 10<<20)
	if err != nil {
		w.t.Fatalf("the header that arrived: %v", err)
	}
	record, _, err := w.options.HMAC.Open(h)
	if err != nil {
		w.t.Fatalf("the record that arrived: %v\n%.2000s", err, d.Data)
	}
	following := transaction.Following(h)
	digest, err := transaction.Digest(following, pec.Section(src, body, src.Size()-body))
	if err != nil || digest != record.Digest {
		w.t.Errorf("the digest in the record is not that of what arrived below it:\n%.3000s", d.Data)
	}
	if h[0].Name != "Received" || !strings.EqualFold(h[1].Name, transaction.FieldName) {
		w.t.Errorf("the header begins with %s, %s; want Received and then the record", h[0].Name, h[1].Name)
	}
	var whole bytes.Buffer
	_, _ = following.WriteTo(&whole)
	whole.WriteString("\r\n")
	whole.Write(d.Data[body:])
	return arrived{d, record, following, d.Data[body:], whole.Bytes()}
}

// verify has OpenSSL verify the message, with chain and revocation, and returns what is signed.
func (w *world) verify(message []byte) []byte {
	w.t.Helper()
	in, out := w.file("in.eml", message), filepath.Join(w.dir, "out.eml")
	cmd := exec.Command("openssl", "cms", "-verify", "-in", in, "-out", out, "-CAfile", w.trustedFile, "-crl_check", "-purpose", "any")
	if text, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("openssl: %v\n%s\n%.3000s", err, text, message)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

// parts opens a message of ours that arrived.
func (w *world) parts(message []byte) *pec.Parts {
	w.t.Helper()
	m, err := signer.Open(pec.Bytes(message))
	if err != nil {
		w.t.Fatalf("opening: %v\n%.3000s", err, message)
	}
	parts, err := pec.ReadParts(m.Content)
	if err != nil {
		w.t.Fatalf("reading the parts: %v", err)
	}
	return parts
}

func bytesOf(t testing.TB, src pec.Source) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seal makes a message of an artefact of p's.
func (p provider) seal(t testing.TB, a *pec.Artefact, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	draft, err := signer.NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	var body, whole bytes.Buffer
	sealed, err := draft.SealTo(context.Background(), &body, p.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = sealed.Header().WriteTo(&whole)
	whole.WriteString("\r\n")
	whole.Write(body.Bytes())
	return whole.Bytes()
}

// certData are those of a message from one user to others, as p would write them.
func (p provider) certData(t testing.TB, kind pec.Kind, from string, to ...string) *pec.CertData {
	var random [16]byte
	_, _ = rand.Read(random[:])
	subject := "hello"
	c := &pec.CertData{
		Kind: kind, Error: pec.ErrorNone, Sender: address(t, from), ReplyTo: from, Subject: &subject, Provider: p.Name,
		Time: time.Now().Truncate(time.Second), Identifier: pec.NewIdentifier(random, p.Address.Domain()),
		MessageID: "<client@pc>",
	}
	if kind == pec.KindTransport {
		c.Receipt = pec.ReceiptComplete
	}
	for _, a := range to {
		c.Recipients = append(c.Recipients, pec.Recipient{Address: address(t, a), Type: pec.Certified})
	}
	return c
}

// envelope is a transport envelope of p's.
func (p provider) envelope(t testing.TB, from string, to ...string) []byte {
	text := lines("From: "+from, "To: "+strings.Join(to, ", "), "Subject: hello", "Message-ID: <client@pc>", "", "Hello")
	h, body, err := pec.ReadHeader(pec.Bytes(text), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	original := compose.Original{Header: h, Body: pec.Bytes(text[body:])}
	a, err := compose.TransportEnvelope(p.Provider, original, p.certData(t, pec.KindTransport, from, to...))
	return p.seal(t, a, err)
}

// notification is a receipt or notice of p's about a message of alfa's user mario to one of p's users.
func (p provider) notification(t testing.TB, kind pec.Kind, to string) []byte {
	luigi := address(t, "luigi@"+p.Address.Domain())
	c := p.certData(t, kind, "mario@alfa.example", luigi.String())
	switch kind {
	case pec.KindTakeCharge:
		c.Taken = []pec.Address{luigi}
	default:
		c.Delivery, c.Receipt = &luigi, pec.ReceiptConcise
	}
	a, err := compose.NotificationMessage(p.Provider, compose.Notification{Data: *c, To: address(t, to), Concise: kind == pec.KindDelivery})
	return p.seal(t, a, err)
}

// lines joins lines with CRLF, the last included.
func lines(text ...string) []byte { return []byte(strings.Join(text, "\r\n") + "\r\n") }

// submit is a message of mario's to luigi, with more header fields.
func submit(extra ...string) []byte {
	head := []string{"From: Mario <mario@alfa.example>", "To: luigi@beta.example", "Date: Mon, 1 Jun 2026 10:00:00 +0200"}
	return lines(append(append(head, extra...), "", "Hello,", ".", "..dots")...)
}
