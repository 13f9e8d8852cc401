package revocation_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/revocation"
)

// responder answers as a test says.
type responder struct {
	t         *testing.T
	authority *pki.Authority
	cert      *x509.Certificate
	clock     *hands
	log       bytes.Buffer
	ocsp      *revocation.OCSP

	mu    sync.Mutex
	reply ocsp.Response
	fails bool
	hold  chan struct{} // it answers when this is closed; nil is at once
	asked int
}

func newResponder(t *testing.T) *responder {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	r := &responder{t: t, clock: &hands{now: now}}
	var err error
	if r.authority, err = pki.NewAuthority("CA", now); err != nil {
		t.Fatal(err)
	}
	leaf, err := r.authority.Signing("Delta PEC", "posta-certificata@delta.example")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(server.Close)
	named := *leaf.Cert
	named.OCSPServer = []string{"ldap://ca.example/", server.URL}
	r.cert = &named
	r.ocsp = revocation.NewOCSP(revocation.OCSPOptions{Deadline: 300 * time.Millisecond, Every: 10 * time.Minute, Clock: r.clock,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Metrics: metrics.New()})
	r.set(ocsp.Good, time.Hour)
	return r
}

// set changes what it says, and for how long.
func (r *responder) set(status int, lasts time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	r.fails, r.reply = false, ocsp.Response{Status: status, SerialNumber: r.cert.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(lasts),
		RevokedAt: now.Add(-time.Minute), IssuerHash: crypto.SHA1}
}

func (r *responder) serve(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.asked++
	reply, fails, hold := r.reply, r.fails, r.hold
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
	body, err := io.ReadAll(request.Body)
	if err != nil || fails || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/ocsp-request" {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	if asked, err := ocsp.ParseRequest(body); err != nil || asked.SerialNumber.Cmp(reply.SerialNumber) != 0 {
		http.Error(w, "about what?", http.StatusBadRequest)
		return
	}
	der, err := ocsp.CreateResponse(r.authority.Cert, r.authority.Cert, reply, r.authority.Key)
	if err != nil {
		r.t.Error(err)
	}
	_, _ = w.Write(der) // who does not read it notices
}

// want asks, and fails the test unless this comes of it and the responder was asked so often.
func (r *responder) want(when string, known, revoked bool, asked int) {
	r.t.Helper()
	answer, ok := r.ocsp.Ask(r.cert, r.authority.Cert)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok != known || answer.Revoked != revoked || r.asked != asked {
		r.t.Errorf("%s: %+v, known %t, asked %d times; want known %t, revoked %t, %d", when, answer, ok, r.asked, known, revoked, asked)
	}
}

// An answer serves for the interval, and until its end when there is no newer one; what is revoked stays so.
func TestOCSPAnswersAreKept(t *testing.T) {
	conformance.Covers(t, "C113")
	r := newResponder(t)
	r.want("first", true, false, 1)
	r.want("at once", true, false, 1)
	r.clock.pass(11 * time.Minute)
	r.set(ocsp.Good, time.Hour)
	r.want("after the interval", true, false, 2)
	r.mu.Lock()
	r.fails = true
	r.mu.Unlock()
	r.clock.pass(11 * time.Minute)
	r.want("while the responder fails", true, false, 3)
	r.want("just after", true, false, 3)
	r.clock.pass(time.Hour)
	r.want("after the end of the answer", false, false, 4)
	r.clock.pass(time.Minute)
	r.set(ocsp.Revoked, time.Hour)
	r.want("revoked", true, true, 5)
	r.clock.pass(11 * time.Minute)
	r.mu.Lock()
	r.reply.Status, r.reply.ThisUpdate = ocsp.Good, r.reply.ThisUpdate.Add(-2*time.Minute)
	r.mu.Unlock()
	r.want("an older answer that says good", true, true, 6)
}

// What is revoked stays so through a reload, while the responder is silent; nobody is asked anew before it is time.
func TestOCSPAnswersAreInherited(t *testing.T) {
	conformance.Covers(t, "C113")
	r := newResponder(t)
	r.set(ocsp.Revoked, time.Hour)
	r.want("first", true, true, 1)
	r.mu.Lock()
	r.fails = true
	r.mu.Unlock()
	next := revocation.NewOCSP(revocation.OCSPOptions{Deadline: 300 * time.Millisecond, Every: 10 * time.Minute, Clock: r.clock,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Metrics: metrics.New()})
	next.Inherit(nil)
	next.Inherit(r.ocsp)
	r.ocsp = next
	r.want("after the reload", true, true, 1)
	r.clock.pass(11 * time.Minute)
	r.want("after the interval, while it fails", true, true, 2)
}

// Mail waits for a slow responder no longer than the deadline, and has its answer when it is there.
func TestOCSPDeadline(t *testing.T) {
	conformance.Covers(t, "C113")
	r := newResponder(t)
	r.hold = make(chan struct{})
	start := time.Now()
	r.want("a slow responder", false, false, 1)
	if took := time.Since(start); took < 250*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %v, want the deadline of 300ms", took)
	}
	close(r.hold)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, known := r.ocsp.Ask(r.cert, r.authority.Cert); known {
			break
		}
	}
	r.want("later", true, false, 1)
}

// A certificate that names no responder is not known.
func TestOCSPWithoutResponder(t *testing.T) {
	r := newResponder(t)
	r.cert.OCSPServer = []string{"ldap://ca.example/"}
	r.want("without one", false, false, 0)
}
