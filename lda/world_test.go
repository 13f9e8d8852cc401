package lda

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// Addresses of the tests: alfa is us, beta another provider.
const (
	mario   = "mario@alfa.example"
	luigi   = "luigi@alfa.example"
	spento  = "spento@alfa.example" // disabled
	pieno   = "pieno@alfa.example"  // full
	nessuno = "nessuno@alfa.example"
	info    = "info@alfa.example" // an alias
	service = "ricevute@alfa.example"
	anna    = "anna@beta.example"
	bruno   = "bruno@beta.example"
	carlo   = "carlo@ordinario.example"

	betaService = "ricevute@beta.example"
	internal    = "@ceralacca.internal"
)

// party is a provider with its key.
type party struct {
	provider pec.Provider
	key      signer.Key
	record   *pec.ProviderRecord
}

// world is an agent of alfa with a real Dovecot and an outbound instance that keeps what it gets.
type world struct {
	t          *testing.T
	dir        string
	dovecot    *dovecot.Server
	out        *sink
	clock      *shiftedClock
	config     *config.Config
	hmac       transaction.Key
	alfa, beta *party
	syncer     *fakeSyncer
	probe      atomic.Pointer[func(step, name string)]
	log        *lockedBuffer
	unsound    atomic.Pointer[error] // what is wrong with the clock

	store   store.Store
	agent   *Agent
	metrics *metrics.Metrics
	stop    func()
}

type shiftedClock struct {
	clock.System
	shift atomic.Int64
}

func (c *shiftedClock) Now() time.Time { return c.System.Now().Add(time.Duration(c.shift.Load())) }

func (w *world) sound() error {
	if err := w.unsound.Load(); err != nil {
		return *err
	}
	return nil
}

type fakeSyncer struct {
	calls atomic.Int64
	err   atomic.Pointer[error]
}

func (s *fakeSyncer) Sync(context.Context) error {
	s.calls.Add(1)
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// directory is a fixed list of providers.
type directory []*party

func (d directory) ByCertificate(c *x509.Certificate) (*pec.ProviderRecord, bool) {
	for _, p := range d {
		if p.key.Certificates()[0].Equal(c) {
			return p.record, true
		}
	}
	return nil, false
}

func (d directory) ByDomain(domain string) (*pec.ProviderRecord, bool) {
	for _, p := range d {
		if p.record.Manages(domain) {
			return p.record, true
		}
	}
	return nil, false
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // most of a world's time is Dovecot's start and end
	w := &world{t: t, dir: t.TempDir(), clock: &shiftedClock{}, syncer: &fakeSyncer{}, log: &lockedBuffer{}}
	w.dovecot = dovecot.Start(t,
		dovecot.User{Address: mario}, dovecot.User{Address: luigi}, dovecot.User{Address: service},
		dovecot.User{Address: spento, Disabled: true}, dovecot.User{Address: pieno, Quota: "*:storage=1B"})
	authority := must(pki.NewAuthority("Test CA", time.Now()))(t)
	w.alfa = newParty(t, authority, "Alfa PEC S.p.A.", "alfa.example")
	w.beta = newParty(t, authority, "Beta PEC S.r.l.", "beta.example")
	w.hmac = must(transaction.NewKey(bytes.Repeat([]byte{7}, 32)))(t)
	w.out = newSink(t, authority)
	w.configure(authority)
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// must makes a result of it, or ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newParty(t *testing.T, ca *pki.Authority, name, domain string) *party {
	address := addr(t, pec.ProviderMailbox+"@"+domain)
	pair := must(ca.Signing(name, address.String()))(t)
	key := must(signer.NewKey(pair.Key, []*x509.Certificate{pair.Cert}))(t)
	return &party{
		provider: pec.Provider{Name: name, Address: address}, key: key,
		record: &pec.ProviderRecord{
			Name: name, MailReceipt: addr(t, "ricevute@"+domain), Domains: []string{domain},
			Certificates: key.Certificates(),
		},
	}
}

func (w *world) configure(ca *pki.Authority) {
	t := w.t
	client := must(ca.Client("agent"))(t)
	file := func(name string, mode os.FileMode, text []byte) string {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sockets := must(os.MkdirTemp("", "lda"))(t) // short
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	w.config = &config.Config{
		Provider: config.Provider{
			Name: w.alfa.provider.Name, Address: w.alfa.provider.Address, ServiceMailbox: addr(t, service),
			Domains: []string{"alfa.example"}, InternalDomain: "ceralacca.internal",
		},
		Incoming: config.Incoming{MaxAge: 72 * time.Hour},
		Receipts: config.Receipts{BriefHash: brief.OverDecoded, BriefAlgorithm: brief.SHA1},
		Agent: config.Agent{
			LMTPSocket: config.Endpoint{Network: "unix", Address: filepath.Join(sockets, "lmtp")},
			DSNSocket:  config.Endpoint{Network: "unix", Address: filepath.Join(sockets, "dsn")},
			Out:        w.out.address, State: w.dir,
			OutCert: file("client.pem", 0o644, client.CertPEM()), OutKey: file("client.key", 0o600, must(client.KeyPEM())(t)),
			OutCA: file("ca.pem", 0o644, ca.CertPEM()),
		},
		Dovecot: config.Dovecot{LMTP: config.Endpoint{Network: "unix", Address: w.dovecot.LMTP}},
	}
}

// atStep has the agent call do at each step of each effect; nil ends that.
func (w *world) atStep(do func(step, name string)) {
	if do == nil {
		w.probe.Store(nil)
		return
	}
	w.probe.Store(&do)
}

// start starts an agent on the state that is there.
func (w *world) start() {
	t := w.t
	t.Helper()
	w.store = must(store.Open(filepath.Join(w.dir, "state.db")))(t)
	w.metrics = metrics.New()
	maps := filepath.Join(w.dir, "virtual")
	if _, err := os.Stat(maps); err != nil {
		w.setAliases(info + " " + mario + ", " + luigi)
	}
	probe := func(step, name string) {
		if do := w.probe.Load(); do != nil {
			(*do)(step, name)
		}
	}
	w.agent = must(New(Options{
		Config: w.config, Key: w.alfa.key, HMAC: w.hmac, Store: w.store, Syncer: w.syncer, Clock: w.clock,
		ClockSound: w.sound,
		Directory:  func() Directory { return directory{w.alfa, w.beta} },
		Register:   effect.New(w.store, w.clock, probe),
		Mailboxes: mailbox.New(mailbox.Options{
			UserDB: w.dovecot.UserDB, Maps: []string{"texthash:" + maps}, Postmap: w.postmap(), Domains: w.config.Provider.Domains,
			IMAP: mailbox.IMAP{Network: "unix", Address: w.dovecot.IMAP, Master: dovecot.Master,
				Password: dovecot.MasterPassword, Spool: w.dir},
		}),
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Metrics: w.metrics, Spool: w.dir,
	}))(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.agent.Serve(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := w.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the agent:\n%s", w.log.String())
		}
	})
	eventually(t, "the sockets", func() bool {
		for _, e := range []config.Endpoint{w.config.Agent.LMTPSocket, w.config.Agent.DSNSocket} {
			c, err := net.Dial(e.Network, e.Address)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	})
}

// setAliases writes the alias map, a line for each.
func (w *world) setAliases(lines ...string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "virtual"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// postmap is Postfix's program with a configuration of its own: that of the machine may be half installed.
func (w *world) postmap() string {
	w.t.Helper()
	program := filepath.Join(w.dir, "postmap")
	script := "#!/bin/sh\nexec postmap -c " + w.dir + " \"$@\"\n"
	for name, text := range map[string]string{"main.cf": "compatibility_level = 3.6\n", "postmap": script} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	return program
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 2400 { // a minute, for a busy machine
		if is() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s: not in time", what)
}

func addr(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

func addrs(t testing.TB, list ...string) []pec.Address {
	out := make([]pec.Address, len(list))
	for i, s := range list {
		out[i] = addr(t, s)
	}
	return out
}

// sink is the outbound instance: TLS with a client certificate, DSN, and a memory.
type sink struct {
	address string
	mu      sync.Mutex
	got     []sent
	refuse  error
	conns   []net.Conn
	// judge, when there is one, sees each message before it is kept, and says whether it is and what is answered; who is
	// answered errHangUp hears nothing.
	judge func(one sent) (keep bool, err error)
}

var errHangUp = errors.New("hang up")

// hangUp closes all connections.
func (s *sink) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

type sent struct {
	from, envid, to string
	text            []byte
}

func newSink(t *testing.T, ca *pki.Authority) *sink {
	s := &sink{}
	pair := must(ca.Server("out.alfa.example", "127.0.0.1"))(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns = append(s.conns, c.Conn())
		return &sinkSession{sink: s}, nil
	}))
	server.EnableDSN = true
	server.ErrorLog = discard{}
	server.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{must(tls.X509KeyPair(pair.CertPEM(), must(pair.KeyPEM())(t)))(t)},
		ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	s.address = l.Addr().String()
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return s
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func (s *sink) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// take returns what arrived since the last call.
func (s *sink) take() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

type sinkSession struct {
	sink *sink
	one  sent
}

func (s *sinkSession) Reset()        { s.one = sent{} }
func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, o *smtp.MailOptions) error {
	s.one = sent{from: from, envid: o.EnvelopeID}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.one.to = to
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	if s.sink.refuse != nil {
		return s.sink.refuse
	}
	s.one.text = text
	if s.sink.judge != nil {
		keep, err := s.sink.judge(s.one)
		if err == errHangUp { //nolint:errorlint // the very value
			for _, c := range s.sink.conns {
				_ = c.Close()
			}
			s.sink.conns = nil
		}
		if !keep {
			return err
		}
		s.sink.got = append(s.sink.got, s.one)
		return err
	}
	s.sink.got = append(s.sink.got, s.one)
	return nil
}

// message is a certified message to be made.
type message struct {
	id         string // of the transaction; made when empty
	from       string
	to         []string
	cc         []string
	header     string // more fields of the original, CRLF each
	body       string
	receipt    pec.ReceiptKind
	identifier pec.Identifier
	at         time.Time
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// envelope seals the transport envelope of a message by a provider.
func (w *world) envelope(by *party, m *message) ([]byte, *pec.CertData) {
	t := w.t
	t.Helper()
	if m.at.IsZero() {
		m.at = w.clock.Now().Truncate(time.Second)
	}
	if m.identifier == "" {
		m.identifier = pec.Identifier(newID() + "@" + by.provider.Address.Domain())
	}
	subject := "Prova"
	data := &pec.CertData{
		Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: addr(t, m.from), ReplyTo: m.from, Subject: &subject,
		Provider: by.provider.Name, Time: m.at, Identifier: m.identifier, MessageID: "<1@client.example>",
		Receipt: pec.ReceiptComplete,
	}
	if m.receipt != "" {
		data.Receipt = m.receipt
	}
	for _, a := range addrs(t, append(slices.Clone(m.to), m.cc...)...) {
		kind := pec.Certified
		if a.Domain() == "ordinario.example" {
			kind = pec.Ordinary
		}
		data.Recipients = append(data.Recipients, pec.Recipient{Address: a, Type: kind})
	}
	text := "From: " + m.from + "\r\nTo: " + strings.Join(m.to, ", ") + "\r\n"
	if len(m.cc) > 0 {
		text += "Cc: " + strings.Join(m.cc, ", ") + "\r\n"
	}
	text += m.header + "Subject: Prova\r\nMessage-ID: <1@client.example>\r\n\r\n" + m.body + "ciao\r\n"
	header, body, err := pec.ReadHeader(pec.Bytes([]byte(text)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if header.Has("Reply-To") {
		data.ReplyTo = header.Get("Reply-To")
	}
	original := compose.Original{Header: header, Body: pec.Section(pec.Bytes([]byte(text)), body, int64(len(text))-body)}
	return seal(t, by, must(compose.TransportEnvelope(by.provider, original, data))(t), m.at), data
}

func seal(t testing.TB, by *party, a *pec.Artefact, at time.Time) []byte {
	t.Helper()
	draft := must(signer.NewDraft(a))(t)
	sealed := must(draft.SealTo(context.Background(), nil, by.key, at))(t)
	var b bytes.Buffer
	if err := wholeOf(sealed)(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// queued puts a record and Postfix's Received on top of a message, as they stand in the queue.
func (w *world) queued(r *transaction.Record, text []byte) []byte {
	w.t.Helper()
	r.Digest = sha256.Sum256(text)
	var b bytes.Buffer
	b.WriteString("Received: by mx.alfa.example (Postfix)\r\n\tid 4XyZ123456; Sun, 22 Nov 2026 10:00:00 +0100 (CET)\r\n")
	_, _ = pec.Header(must(w.hmac.Seal(r))(w.t)).WriteTo(&b)
	b.Write(text)
	return b.Bytes()
}

// submission is an accepted submission of alfa in the queue.
func (w *world) submission(m *message) (queued []byte, r *transaction.Record, envelope []byte) {
	text, data := w.envelope(w.alfa, m)
	if m.id == "" {
		m.id = newID()
	}
	r = &transaction.Record{
		Point: transaction.PointSubmission, Verdict: transaction.VerdictEnvelope, ID: m.id, Identifier: data.Identifier,
		Instant: m.at, Sender: data.Sender, Kind: pec.KindNone, Subject: "Prova", HasSubject: true, MessageID: data.MessageID,
	}
	for _, one := range data.Recipients {
		r.Recipients, r.Types = append(r.Recipients, one.Address), append(r.Types, one.Type)
	}
	return w.queued(r, text), r, text
}

// incoming is a valid envelope of beta in the queue.
func (w *world) incoming(m *message, recipients ...string) (queued []byte, r *transaction.Record, envelope []byte) {
	text, data := w.envelope(w.beta, m)
	if len(recipients) == 0 {
		recipients = append(slices.Clone(m.to), m.cc...)
	}
	r = w.incomingRecord(transaction.VerdictValidEnvelope, recipients...)
	r.Identifier, r.Sender, r.Kind = data.Identifier, data.Sender, pec.KindTransport
	return w.queued(r, text), r, text
}

func (w *world) incomingRecord(v transaction.Verdict, recipients ...string) *transaction.Record {
	return &transaction.Record{
		Point: transaction.PointIncoming, Verdict: v, ID: newID(), Instant: w.clock.Now().Truncate(time.Second),
		Recipients: addrs(w.t, recipients...), Signer: w.beta.provider.Name,
		SignerCert: sha256.Sum256(w.beta.key.Certificates()[0].Raw),
	}
}

// rcpt writes a recipient with its ORCPT.
func rcpt(to, original string) string { return to + " ORCPT=rfc822;" + original }

// present hands a message to the agent as Postfix does and returns the code and enhanced code for each recipient.
func (w *world) present(text []byte, from string, recipients ...string) []string {
	w.t.Helper()
	return w.presentAt(w.config.Agent.LMTPSocket, text, "<"+from+">", recipients)
}

func (w *world) presentAt(e config.Endpoint, text []byte, from string, recipients []string) []string {
	w.t.Helper()
	answers, err := lmtpDialogue(e, text, from, recipients)
	if err != nil {
		w.t.Fatal(err)
	}
	return answers
}

func lmtpDialogue(e config.Endpoint, text []byte, from string, recipients []string) ([]string, error) {
	c, err := textproto.Dial(e.Network, e.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil {
		return nil, err
	}
	commands := []string{"LHLO postfix", "MAIL FROM:" + from}
	for _, r := range recipients {
		address, rest, _ := strings.Cut(r, " ")
		commands = append(commands, strings.TrimSpace("RCPT TO:<"+address+"> "+rest))
	}
	for _, command := range commands {
		if err := c.PrintfLine("%s", command); err != nil {
			return nil, err
		}
		if _, _, err := c.ReadResponse(250); err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
	}
	if err := c.PrintfLine("DATA"); err != nil {
		return nil, err
	}
	if _, _, err := c.ReadResponse(354); err != nil {
		return nil, err
	}
	data := c.DotWriter()
	if _, err := data.Write(text); err != nil {
		return nil, err
	}
	if err := data.Close(); err != nil {
		return nil, err
	}
	var answers []string
	for range recipients {
		code, reply, err := c.ReadResponse(0)
		if _, isReply := errors.AsType[*textproto.Error](err); err != nil && !isReply {
			return answers, err
		}
		enhanced, _, _ := strings.Cut(reply, " ")
		answers = append(answers, fmt.Sprintf("%d %s", code, enhanced))
	}
	return answers, nil
}

// in says what a mailbox holds: for each message kind, recipient of a receipt, and original or not; sorted.
func (w *world) in(address string) []string {
	w.t.Helper()
	out := []string{}
	for _, text := range w.dovecot.Messages(address) {
		out = append(out, w.describe(crlf(text)))
	}
	slices.Sort(out)
	return out
}

// outgoing says the same of what went to the outbound instance.
func (w *world) outgoing() []string {
	w.t.Helper()
	out := []string{}
	for _, s := range w.out.take() {
		out = append(out, s.to+": "+w.describe(s.text))
	}
	slices.Sort(out)
	return out
}

func crlf(text []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// describe opens a message, whose signature must verify.
func (w *world) describe(text []byte) string {
	w.t.Helper()
	s, err := signer.Open(pec.Bytes(text))
	if err != nil {
		return "unsigned"
	}
	if bytes.Contains(text, []byte(transaction.FieldName)) {
		w.t.Errorf("a message that left holds the private header")
	}
	parts := must(pec.ReadParts(s.Content))(w.t)
	if parts.CertData == nil {
		return s.Header.Get(pec.FieldTransport)
	}
	data := must(pec.ParseCertData(parts.CertData))(w.t)
	words := []string{string(data.Kind)}
	if data.Delivery != nil {
		words = append(words, data.Delivery.String())
	}
	for _, a := range data.Taken {
		words = append(words, a.String())
	}
	if data.Detail != "" {
		code, _, _ := strings.Cut(data.Detail, " ")
		words = append(words, code)
	}
	if parts.Original != nil && data.Kind == pec.KindDelivery {
		words = append(words, "with original")
	}
	return strings.Join(words, " ")
}

// events are those of the log for a message, in order.
func (w *world) events(id pec.Identifier) []string {
	w.t.Helper()
	out := []string{}
	for _, r := range w.records(id) {
		out = append(out, string(r.Event))
	}
	return out
}

// records are those of the log for a message, in order; all when id is empty.
func (w *world) records(id pec.Identifier) (out []ledger.Record) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx store.Tx) error {
		return ledger.Read(tx, id, func(r ledger.Record) error {
			out = append(out, r)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// senderOf is the provider that made an identifier, by its domain.
func (w *world) senderOf(id pec.Identifier) string {
	if strings.HasSuffix(string(id), "@"+w.alfa.record.Domains[0]) {
		return w.alfa.record.Name
	}
	return w.beta.record.Name
}

func (w *world) fact(id pec.Identifier, recipient string) string {
	w.t.Helper()
	var s tracking.State
	err := w.store.View(w.t.Context(), func(tx store.Tx) (err error) {
		s, err = tracking.Outcome(tx, w.senderOf(id), id, addr(w.t, recipient))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var words []string
	if s.Taken != nil {
		words = append(words, "taken")
	}
	if s.Final != nil {
		words = append(words, string(s.Final.Kind))
	}
	return strings.Join(words, " ")
}

// same fails the test when two lists differ.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
