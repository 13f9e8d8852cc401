package revocation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/revocation"
	"github.com/ceralacca/ceralacca/signer"
)

// hands is a clock that a test sets.
type hands struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) Sleep(ctx context.Context, d time.Duration) error {
	h.pass(d)
	return ctx.Err()
}

func (h *hands) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// world is an authority, a web server with its list, and a Fetcher.
type world struct {
	t         *testing.T
	authority *pki.Authority
	leaf      *pki.Pair
	clock     *hands
	log       *bytes.Buffer
	numbers   *metrics.Metrics
	server    *httptest.Server
	dir       string

	mu     sync.Mutex
	page   []byte // what the server has; nil is nothing
	asked  int
	whole  int // how often it sent a page
	change time.Time

	options revocation.Options
	trust   *signer.Trust
	lists   *revocation.Fetcher
}

func newWorld(t *testing.T, change ...func(*revocation.Options)) *world {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	w := &world{t: t, clock: &hands{now: now}, log: &bytes.Buffer{}, numbers: metrics.New(), dir: t.TempDir()}
	var err error
	if w.authority, err = pki.NewAuthority("CA", now); err != nil {
		t.Fatal(err)
	}
	if w.leaf, err = w.authority.Signing("Delta PEC", "posta-certificata@delta.example"); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	w.start(change...)
	return w
}

// start starts as after a restart: what is left is on disk.
func (w *world) start(change ...func(*revocation.Options)) {
	w.t.Helper()
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.authority.CertPEM(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	if w.trust, err = signer.NewTrust(signer.TrustFiles{CA: ca, Offered: true}); err != nil {
		w.t.Fatal(err)
	}
	w.options = revocation.Options{URLs: []string{w.server.URL + "/ca.crl"}, Cache: filepath.Join(w.dir, "cache"), Every: 10 * time.Minute,
		Trust: w.trust, Clock: w.clock, Log: log, Metrics: w.numbers}
	for _, c := range change {
		c(&w.options)
	}
	w.lists = revocation.New(w.options)
	w.lists.Load(w.t.Context())
}

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.page == nil || r.URL.Path != "/ca.crl" {
		http.NotFound(out, r)
		return
	}
	if r.Header.Get("If-Modified-Since") == "" {
		w.whole++
	}
	http.ServeContent(out, r, "ca.crl", w.change, bytes.NewReader(w.page))
}

// publish has the server serve a list that was made so long ago.
func (w *world) publish(age time.Duration, revoked ...*x509.Certificate) []byte {
	w.t.Helper()
	now := w.clock.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.Add(-age).Unix()), ThisUpdate: now.Add(-age), NextUpdate: now.Add(24 * time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.SerialNumber, RevocationTime: now.Add(-age)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, w.authority.Cert, w.authority.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(der)
	return der
}

func (w *world) put(page []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.page = page
	w.change = w.change.Add(time.Hour)
	if w.change.Year() < 2000 {
		w.change = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
}

func (w *world) fetch() { w.lists.Fetch(w.t.Context()) }

// wantCheck fails the test unless the certificate is judged so.
func (w *world) wantCheck(when string, want error) {
	w.t.Helper()
	if err := w.trust.Check(w.leaf.Cert, nil, w.clock.Now()); !errors.Is(err, want) || want == nil && err != nil {
		w.t.Errorf("%s: Check = %v, want %v\n%s", when, err, want, w.log)
	}
}

func (w *world) wantAsked(when string, want int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked != want {
		w.t.Errorf("%s: the server was asked %d times, want %d", when, w.asked, want)
	}
}

func (w *world) number(line string) bool {
	out := httptest.NewRecorder()
	w.numbers.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/", nil))
	return strings.Contains("\n"+out.Body.String(), "\n"+line+"\n")
}

// A revocation is noticed after one interval, an unchanged list is not sent again, a restart needs no server, and an older list
// is refused before and after it.
func TestListsAreFetchedAndKept(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	w := newWorld(t)
	w.wantCheck("before any list", signer.ErrNoCRL)
	old := w.publish(time.Hour)
	w.fetch()
	w.wantCheck("after the first", nil)
	w.fetch()
	w.wantAsked("within the interval", 1)
	w.clock.pass(10 * time.Minute)
	w.fetch()
	w.wantAsked("after it", 2)
	if w.whole != 1 {
		t.Errorf("the list was sent %d times, want once: it has not changed", w.whole)
	}
	w.publish(time.Minute, w.leaf.Cert)
	w.clock.pass(10 * time.Minute)
	w.fetch()
	w.wantCheck("after a revocation", signer.ErrRevoked)
	w.put(old)
	w.clock.pass(10 * time.Minute)
	w.fetch()
	w.wantCheck("after the old list is served again", signer.ErrRevoked)
	w.put(nil)
	w.start()
	w.wantCheck("after a restart", signer.ErrRevoked)
	w.put(old)
	w.fetch()
	w.wantCheck("after a restart and the old list", signer.ErrRevoked)
	for outcome, n := range map[string]string{"taken": "2", "unchanged": "1", "refused": "2"} {
		if line := `ceralacca_revocation_fetches_total{outcome="` + outcome + `"} ` + n; !w.number(line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
}

// A server that fails is asked again soon, then less often; it is an alarm when it goes on, and the list in use serves on.
func TestServerThatFails(t *testing.T) {
	conformance.Covers(t, "C113")
	w := newWorld(t)
	w.publish(time.Hour)
	w.fetch()
	w.put(nil)
	w.clock.pass(10 * time.Minute)
	w.fetch()
	w.wantAsked("at the first failure", 2)
	w.clock.pass(29 * time.Second)
	w.fetch()
	w.wantAsked("within half a minute", 2)
	w.clock.pass(2 * time.Second)
	w.fetch()
	w.wantAsked("after half a minute", 3)
	if strings.Contains(w.log.String(), "alarm=true") {
		t.Errorf("two failures are an alarm:\n%s", w.log)
	}
	w.clock.pass(2 * time.Minute)
	w.fetch()
	if !strings.Contains(w.log.String(), "alarm=true") || !strings.Contains(w.log.String(), "404 Not Found") ||
		!w.number(`ceralacca_alarms_total{alarm="revocation"} 1`) {
		t.Errorf("three failures are no alarm:\n%s", w.log)
	}
	w.wantCheck("with the list in use", nil)
	for range 5 { // half an hour: never longer than the interval, one alarm in the hour
		w.clock.pass(10 * time.Minute)
		w.fetch()
	}
	w.wantAsked("while it fails", 9)
	if !w.number(`ceralacca_alarms_total{alarm="revocation"} 1`) {
		t.Errorf("the alarm comes more than once in an hour:\n%s", w.log)
	}
	if states := w.lists.State(); len(states) != 1 || states[0].Err == nil {
		t.Errorf("State = %+v, want the error", states)
	}
	w.clock.pass(48 * time.Hour)
	w.wantCheck("two days later", signer.ErrNoCRL)
	w.publish(0)
	w.fetch()
	w.wantCheck("when the server is back", nil)
	if states := w.lists.State(); states[0].Err != nil || !states[0].Checked.Equal(w.clock.Now()) {
		t.Errorf("State = %+v, want that it is well", states)
	}
}

// A list that ends before the interval does is looked for before it ends, and until its successor is there.
func TestListThatEndsSoon(t *testing.T) {
	conformance.Covers(t, "C113")
	w := newWorld(t, func(o *revocation.Options) { o.Every = 24 * time.Hour })
	w.publish(time.Hour) // of 25 hours
	w.fetch()
	w.clock.pass(21 * time.Hour)
	w.fetch()
	w.wantAsked("long before the end", 1)
	w.clock.pass(time.Hour)
	w.fetch()
	w.wantAsked("before the end", 2)
	w.clock.pass(2*time.Hour + time.Second)
	w.fetch()
	w.clock.pass(30 * time.Second)
	w.fetch()
	w.wantAsked("after the end", 4)
}

// What is no list, or too much, is refused; so is what a cache holds and nobody vouches for.
func TestForeignBytes(t *testing.T) {
	w := newWorld(t)
	w.publish(time.Hour)
	w.fetch()
	for name, page := range map[string][]byte{"nothing": {}, "a page": []byte("<html>"), "too much": make([]byte, 64<<20+1)} {
		w.put(page)
		w.clock.pass(10 * time.Minute)
		w.fetch()
		if states := w.lists.State(); states[0].Err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	w.wantCheck("after what was refused", nil)
	for name, content := range map[string][]byte{"junk.crl": []byte("junk"), "empty.crl": nil} {
		if err := os.WriteFile(filepath.Join(w.dir, "cache", name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.put(nil)
	w.start()
	w.wantCheck("with junk in the cache", nil)
	if got := strings.Count(w.log.String(), "of no use"); got != 2 {
		t.Errorf("%d files are said to be of no use, want 2:\n%s", got, w.log)
	}
}

// The distribution points of certificates in use are followed, http alone; the others are named once.
func TestDistributionPoints(t *testing.T) {
	conformance.Covers(t, "C113")
	var certificates []*x509.Certificate
	w := newWorld(t, func(o *revocation.Options) {
		o.URLs, o.Certificates = nil, func() []*x509.Certificate { return certificates }
	})
	w.publish(time.Hour)
	w.fetch()
	w.wantAsked("without certificates", 0)
	named := *w.leaf.Cert
	named.CRLDistributionPoints = []string{"ldap://ca.example/cn=CA", w.server.URL + "/ca.crl"}
	certificates = []*x509.Certificate{&named, &named}
	w.fetch()
	w.fetch()
	w.wantAsked("with one", 1)
	w.wantCheck("with one", nil)
	if got := strings.Count(w.log.String(), "only http and https are"); got != 1 || !strings.Contains(w.log.String(), "ldap://ca.example/cn=CA") {
		t.Errorf("the one that is not followed is named %d times, want once:\n%s", got, w.log)
	}
	ended, strange := named, named
	ended.NotAfter = w.clock.Now().Add(-time.Hour)
	strange.RawIssuer = []byte("another")
	certificates = []*x509.Certificate{&ended, &strange}
	w.clock.pass(time.Hour)
	w.fetch()
	w.wantAsked("with one that ended and one of a stranger", 1)
}

// A cache that cannot be written does not keep a list from being used; it is an alarm.
func TestCacheThatCannotBeWritten(t *testing.T) {
	w := newWorld(t, func(o *revocation.Options) { o.Cache = filepath.Join("/proc", "none") })
	w.publish(time.Hour)
	w.fetch()
	w.wantCheck("without a cache", nil)
	if !w.number(`ceralacca_alarms_total{alarm="revocation"} 1`) {
		t.Errorf("it is no alarm:\n%s", w.log)
	}
}

// Run fetches by itself, and ends with its context.
func TestRun(t *testing.T) {
	conformance.Covers(t, "C113")
	w := newWorld(t)
	w.publish(time.Hour, w.leaf.Cert)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.lists.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if errors.Is(w.trust.Check(w.leaf.Cert, nil, w.clock.Now()), signer.ErrRevoked) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.wantCheck("while it runs", signer.ErrRevoked)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ends with %v", err)
	}
}
