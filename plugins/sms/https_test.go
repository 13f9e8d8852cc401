package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
)

// journal keeps what an engine logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// shop is an engine with a real channel, and a clock that the test moves.
type shop struct {
	t   *testing.T
	dir string
	e   *engine
	log journal
}

// newShop starts an engine of settings, which get a state, and a rule for one mailbox.
func newShop(t *testing.T, s settings, rule string) *shop {
	t.Helper()
	shop := &shop{t: t, dir: t.TempDir()}
	s.State = shop.dir
	for name, text := range map[string]string{"rules.json": `{"mailboxes": {"` + box1 + `": ` + rule + `}}`, "clock": "+0s"} {
		if err := os.WriteFile(filepath.Join(shop.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	shop.e, err = open(c, clock.NewMoved(filepath.Join(shop.dir, "clock")), slog.New(slog.NewTextHandler(&shop.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		shop.e.run(t.Context())
		close(ended)
	}()
	t.Cleanup(func() { <-ended })
	return shop
}

// later moves the clock.
func (s *shop) later(by string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "clock"), []byte(by), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) event(key string) {
	s.t.Helper()
	if got, err := s.e.Notify(s.t.Context(), plugins.Event{Key: key, Mailbox: box1, Name: "delivered"}); err != nil || got.Outcome != plugins.Done {
		s.t.Fatalf("Notify = %+v, %v", got, err)
	}
}

// until waits for something that must come.
func (s *shop) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain for %s; the log:\n%s", what, s.log.String())
		}
	}
}

// says is whether the log has a text.
func (s *shop) says(text string) func() bool {
	return func() bool { return strings.Contains(s.log.String(), text) }
}

// hides fails when the log has one of the words.
func (s *shop) hides(words ...string) {
	s.t.Helper()
	for _, word := range words {
		if strings.Contains(s.log.String(), word) {
			s.t.Errorf("the log has %q:\n%s", word, s.log.String())
		}
	}
}

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority("Gateway CA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// certificate is one for 127.0.0.1.
func certificate(t *testing.T, a *pki.Authority) *tls.Certificate {
	t.Helper()
	pair, err := a.Server("gateway.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(pair.CertPEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// secureGateway is a gateway over HTTPS with a certificate that can be exchanged.
type secureGateway struct {
	*httptest.Server
	cert atomic.Pointer[tls.Certificate]
	mu   sync.Mutex
	got  []string // credentials and body
}

func newSecureGateway(t *testing.T) *secureGateway {
	g := &secureGateway{}
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.got = append(g.got, r.Header.Get("Authorization")+" "+string(body))
	}))
	g.Config.ErrorLog = log.New(io.Discard, "", 0)
	// httptest has a certificate of its own for who names no host.
	g.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*g.cert.Load()}}, nil
	}}
	g.StartTLS()
	t.Cleanup(g.Close)
	return g
}

func (g *secureGateway) all() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.got...)
}

// With a certificate of a stranger nothing is sent, whatever is to be done about what is unknown; it is tried again, and
// taken by the gateway that has the right one. No log has the credentials.
func TestGatewayWithAnOwnAuthority(t *testing.T) {
	for _, unknown := range []string{"repeat", "stop"} {
		t.Run(unknown, func(t *testing.T) {
			own, stranger := authority(t), authority(t)
			g := newSecureGateway(t)
			g.cert.Store(certificate(t, stranger))
			s := newShop(t, settings{Gateway: &gatewaySettings{URL: g.URL + "/send?key={secret}", Body: "{to}", ContentType: "text/plain",
				Headers: map[string]string{"Authorization": "Bearer {secret}"}, SecretFile: written(t, "to/p s3cret\n"),
				CAFile: written(t, string(own.CertPEM())), WhenUnknown: unknown}}, `{"numbers": ["+393401234567"]}`)
			s.event("1")
			s.until("the sentence", s.says("the server's certificate is not to be believed"))
			if !s.says("name the file of its authority in ca_file of [gateway]")() {
				t.Errorf("the log does not say what to do:\n%s", s.log.String())
			}
			if got := g.all(); got != nil {
				t.Fatalf("a stranger was told %q", got)
			}
			s.later("+1m")
			s.until("another try", func() bool { return strings.Count(s.log.String(), "is tried again") > 1 })
			g.cert.Store(certificate(t, own))
			s.later("+3m")
			s.until("the gateway", func() bool { return g.all() != nil })
			s.until("the end", idle(s.dir))
			if got := strings.Join(g.all(), "|"); got != "Bearer to/p s3cret +393401234567" {
				t.Errorf("the gateway got %q", got)
			}
			s.hides("s3cret", "393401234567", "alarm=true")
		})
	}
}

// What a hostile answer says again of the request is not in the error.
func TestCredentialsAreInNoError(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"location": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://[x/"+r.URL.RawQuery+r.Header.Get("X-Key"))
			w.WriteHeader(http.StatusFound)
		},
		"no answer": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 "+r.URL.RawQuery+" "+r.Header.Get("X-Key")+"\r\n\r\n")
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			g, err := newGateway(gatewaySettings{URL: server.URL + "/?k={secret}&to={to}&t={text}", Headers: map[string]string{"X-Key": "{secret}"},
				SecretFile: written(t, "to/p s3cret")})
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.send(t.Context(), parcel{id: "id-a", to: "+39340", text: "a text"}, false)
			if got != perhaps || err == nil {
				t.Fatalf("send = %d, %v", got, err)
			}
			for _, word := range []string{"s3cret", "39340", "a text", "a%20text"} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("the error has %q: %v", word, err)
				}
			}
		})
	}
}

// What may have been taken is sent once when that is asked for, also by the library: not again on a new connection when the
// one that was used before is closed.
func TestTheLibraryRepeatsNothing(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer server.Close()
	g, err := newGateway(gatewaySettings{URL: server.URL + "/?to={to}", Method: "GET", WhenUnknown: "stop"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []answer{taken, perhaps} {
		if got, err := g.send(t.Context(), parcel{id: "id-a", to: "+39340"}, false); got != want {
			t.Errorf("%d: %d, %v; want %d", i, got, err, want)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the gateway was asked %d times, want 2", n)
	}
}
