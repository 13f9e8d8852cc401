package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/fsx"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/signer"
)

const (
	// askTimeout bounds a question to a responder, which may go on when mail waits no more.
	askTimeout = 20 * time.Second
	// maxAnswer bounds an answer, in bytes, as package signer does.
	maxAnswer = 64 << 10
	// askAgain is how long a responder that failed is left alone.
	askAgain = 30 * time.Second
)

// OCSPOptions say how responders are asked.
type OCSPOptions struct {
	// Deadline is how long mail waits for an answer.
	Deadline time.Duration
	// Every is how long an answer is believed to be the newest; until its nextUpdate it is believed when there is no newer.
	Every   time.Duration
	Roots   *x509.CertPool // of servers of https; nil are those that the system trusts
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics *metrics.Metrics // optional
}

// OCSP asks the responders that certificates name. It is safe for concurrent use.
type OCSP struct {
	o      OCSPOptions
	client *http.Client

	mu    sync.Mutex
	known map[[sha256.Size]byte]*state // by certificate
}

var _ signer.Online = (*OCSP)(nil)

// state is what is known of one certificate. Its fields belong to the mutex of the OCSP.
type state struct {
	answer  *signer.OCSPAnswer // nil is none
	until   time.Time          // how long it holds, if it is good; what is revoked stays so
	next    time.Time          // when to ask again
	asking  chan struct{}      // closed when the question under way has its answer; nil is none
	trouble trouble
}

// NewOCSP makes an OCSP that knows nothing yet.
func NewOCSP(o OCSPOptions) *OCSP {
	return &OCSP{o: o, client: newClient(o.Roots), known: map[[sha256.Size]byte]*state{}}
}

// Inherit takes over the answers that an OCSP of an earlier configuration has: what is revoked stays so. Questions under way are
// asked again. It does nothing to old, which may go on serving; old may be nil. [C113]
func (c *OCSP) Inherit(old *OCSP) {
	if old == nil || old == c {
		return
	}
	old.mu.Lock()
	inherited := make(map[[sha256.Size]byte]*state, len(old.known))
	for id, s := range old.known {
		inherited[id] = &state{answer: s.answer, until: s.until, next: s.next, trouble: s.trouble}
	}
	old.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range inherited {
		if c.known[id] == nil {
			c.known[id] = s
		}
	}
}

// Ask implements signer.Online. A certificate without a responder is not known; so is one whose responder does not answer, and
// has said nothing that still holds.
func (c *OCSP) Ask(cert, issuer *x509.Certificate) (signer.OCSPAnswer, bool) {
	if !asked(cert) {
		return signer.OCSPAnswer{}, false
	}
	s, wait := c.begin(cert, issuer)
	if wait != nil {
		ctx, cancel := context.WithTimeout(context.Background(), c.o.Deadline)
		defer cancel()
		select {
		case <-wait:
		case <-ctx.Done():
			c.o.Metrics.Count(metrics.OCSPAnswers, "late")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.answer == nil || !s.answer.Revoked && c.o.Clock.Now().After(s.until) {
		return signer.OCSPAnswer{}, false
	}
	return *s.answer, true
}

// asked says whether a certificate names a responder that can be asked.
func asked(cert *x509.Certificate) bool {
	for _, url := range cert.OCSPServer {
		if Followed(url) {
			return true
		}
	}
	return false
}

// begin asks anew when it is time to, one question at a time, and returns what to wait for, nil for nothing.
func (c *OCSP) begin(cert, issuer *x509.Certificate) (*state, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := sha256.Sum256(cert.Raw)
	s := c.known[id]
	if s == nil {
		s = &state{}
		c.known[id] = s
	}
	if s.asking == nil && !c.o.Clock.Now().Before(s.next) {
		done := make(chan struct{})
		s.asking = done
		go func() {
			defer close(done)
			answer, err := c.query(cert, issuer)
			c.end(s, cert, answer, err)
		}()
	}
	if s.asking == nil {
		return s, nil
	}
	return s, s.asking
}

// end notes the answer to a question.
func (c *OCSP) end(s *state, cert *x509.Certificate, answer signer.OCSPAnswer, err error) {
	now := c.o.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.asking = nil
	if err == nil && s.answer != nil && answer.ThisUpdate.Before(s.answer.ThisUpdate) {
		err = fmt.Errorf("%w: it is older than the one before", signer.ErrOCSP)
	}
	note(context.Background(), &s.trouble, now, err, report{c.o.Log, c.o.Metrics,
		"a responder does not say whether a certificate holds; the lists decide", slog.String("certificate", cert.Subject.String())})
	if err != nil {
		c.o.Metrics.Count(metrics.OCSPAnswers, "failed")
		s.next = now.Add(min(askAgain, c.o.Every))
		return
	}
	c.o.Metrics.Count(metrics.OCSPAnswers, map[bool]string{true: "revoked", false: "good"}[answer.Revoked])
	s.answer, s.next, s.until = &answer, now.Add(c.o.Every), answer.NextUpdate
	if s.until.IsZero() { // it does not say, and holds until it is asked for again
		s.until = s.next
	}
	if s.until.Before(s.next) {
		s.next = s.until
	}
}

// query asks the responders of a certificate, one after the other, until one says something.
func (c *OCSP) query(cert, issuer *x509.Certificate) (answer signer.OCSPAnswer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	err = errors.New("no responder can be asked")
	for _, url := range cert.OCSPServer {
		if !Followed(url) {
			continue
		}
		if answer, err = c.post(ctx, url, cert, issuer); err == nil {
			return answer, nil
		}
		err = fmt.Errorf("%s: %w", url, err)
	}
	return answer, err
}

func (c *OCSP) post(ctx context.Context, url string, cert, issuer *x509.Certificate) (signer.OCSPAnswer, error) {
	question, err := signer.NewOCSPQuestion(cert, issuer)
	if err != nil {
		return signer.OCSPAnswer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question.DER))
	if err != nil {
		return signer.OCSPAnswer{}, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	request.Header.Set("Accept", "application/ocsp-response")
	response, err := c.client.Do(request)
	if err != nil {
		return signer.OCSPAnswer{}, err
	}
	defer response.Body.Close() // it was only read
	if response.StatusCode != http.StatusOK {
		return signer.OCSPAnswer{}, fmt.Errorf("the server answers %s", response.Status)
	}
	content, err := fsx.ReadLimited(response.Body, maxAnswer)
	if err != nil {
		return signer.OCSPAnswer{}, err
	}
	return question.Read(content, c.o.Clock.Now())
}
