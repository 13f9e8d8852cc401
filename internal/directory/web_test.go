package directory

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/secret"
)

// site is an HTTPS server of directories.
type site struct {
	*httptest.Server
	file     atomic.Pointer[[]byte]
	answered [600]atomic.Int64 // by status
	handler  atomic.Pointer[http.HandlerFunc]
}

// serve starts a server that wants a client certificate of clients, and understands conditional requests.
func (f *fixture) serve(server, clients *identity) *site {
	f.t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := s.handler.Load(); h != nil {
			(*h)(w, r)
			return
		}
		file := *s.file.Load()
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256(file))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			s.answered[http.StatusNotModified].Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		s.answered[http.StatusOK].Add(1)
		_, _ = w.Write(file)
	}))
	pair, err := tls.LoadX509KeyPair(server.certFile, server.keyFile)
	if err != nil {
		f.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	f.t.Cleanup(s.Close)
	s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	return s
}

func (s *site) put(file []byte) { s.file.Store(&file) }

// webFixture loads from a site with the right certificates on both sides.
func webFixture(t *testing.T) (*fixture, *site, *identity) {
	f := newFixture(t)
	webCA := issue(t, nil, "Web CA")
	client := issue(t, webCA, "Alfa", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	s := f.serve(issue(t, webCA, "igpec"), webCA)
	s.put(sign(t, f.by, f.ldif("alfa.example")))
	f.options.File, f.options.URL, f.options.URLCA = "", s.URL+"/igpec.ldif.p7m", webCA.certFile
	f.options.ClientCert, f.options.ClientKey = client.certFile, client.keyFile
	return f, s, webCA
}

func TestLoadFromTheWebWithAClientCertificate(t *testing.T) {
	conformance.Covers(t, "C211", "C223", "C224")
	f, s, _ := webFixture(t)
	l := f.load()
	if !has(l, "alfa.example") {
		t.Error("the directory is not in use")
	}
	for range 2 {
		if err := l.Refresh(t.Context()); err != nil {
			t.Errorf("Refresh without a change: %v", err)
		}
	}
	if got, unchanged := s.answered[200].Load(), s.answered[304].Load(); got != 1 || unchanged != 2 {
		t.Errorf("the server sent the file %d times and said 'not changed' %d times; want 1 and 2", got, unchanged)
	}
	s.put(sign(t, f.by, f.ldif("two.example")))
	if err := l.Refresh(t.Context()); err != nil || !has(l, "two.example") {
		t.Errorf("Refresh after a change: %v", err)
	}
	// A wrong file is fetched again each time: it is not what is in use.
	s.put([]byte("junk"))
	for range 2 {
		if err := l.Refresh(t.Context()); err == nil || !has(l, "two.example") {
			t.Errorf("Refresh of junk: %v; want an error and the old one", err)
		}
	}
	s.Close()
	if err := l.Refresh(t.Context()); !errors.Is(err, ErrFetch) || !has(l, "two.example") || !errors.Is(l.State().Err, ErrFetch) {
		t.Errorf("Refresh without a server: %v; want %v and the old one", err, ErrFetch)
	}
	if _, err := Load(t.Context(), f.options); !errors.Is(err, ErrFetch) {
		t.Errorf("Load without a server: %v; want %v", err, ErrFetch)
	}
}

func TestTheWebIsNotTrusted(t *testing.T) {
	conformance.Covers(t, "C223")
	f, s, webCA := webFixture(t)
	stranger := issue(t, nil, "Stranger")
	other := issue(t, stranger, "Alfa")
	good := f.options
	for name, change := range map[string]func(*Options){
		"a client certificate of somebody else": func(o *Options) { o.ClientCert, o.ClientKey = other.certFile, other.keyFile },
		"a server under another authority":      func(o *Options) { o.URLCA = stranger.certFile },
		"a server with another name":            func(o *Options) { o.URL = strings.Replace(o.URL, "localhost", "127.0.0.1", 1) },
		"no TLS":                                func(o *Options) { o.URL = strings.Replace(o.URL, "https", "http", 1) },
	} {
		o := good
		change(&o)
		if _, err := Load(t.Context(), o); !errors.Is(err, ErrFetch) {
			t.Errorf("%s: Load: %v; want %v", name, err, ErrFetch)
		}
	}
	elsewhere := f.serve(issue(t, webCA, "elsewhere"), webCA)
	elsewhere.put(sign(t, f.by, f.ldif("alfa.example")))
	for name, h := range map[string]http.HandlerFunc{
		"a redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"an error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"no change":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"nothing":       func(http.ResponseWriter, *http.Request) {},
		"half a file": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 1000))
		},
		"a file without end": func(w http.ResponseWriter, _ *http.Request) {
			for piece := make([]byte, 1<<20); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		},
	} {
		s.handler.Store(&h)
		if _, err := Load(t.Context(), good); !errors.Is(err, ErrFetch) {
			t.Errorf("%s: Load: %v; want %v", name, err, ErrFetch)
		}
	}
	if n := elsewhere.answered[200].Load(); n != 0 {
		t.Errorf("we were sent elsewhere %d times", n)
	}
}

func TestClientKeysAreSecret(t *testing.T) {
	f, _, _ := webFixture(t)
	if err := os.Chmod(f.options.ClientKey, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), f.options); !errors.Is(err, secret.ErrMode) {
		t.Errorf("Load with a key open to all: %v; want %v", err, secret.ErrMode)
	}
}

// A client certificate is renewed in place: the next look uses the new one.
func TestARenewedClientCertificateIsUsed(t *testing.T) {
	f, _, webCA := webFixture(t)
	l := f.load()
	stranger := issue(t, issue(t, nil, "Stranger"), "Alfa")
	install(t, &f.options, stranger)
	if err := l.Refresh(t.Context()); !errors.Is(err, ErrFetch) {
		t.Errorf("Refresh with the certificate of a stranger: %v; want %v", err, ErrFetch)
	}
	install(t, &f.options, issue(t, webCA, "Alfa"))
	if err := l.Refresh(t.Context()); err != nil {
		t.Errorf("Refresh with the renewed certificate: %v", err)
	}
}

func install(t *testing.T, o *Options, id *identity) {
	t.Helper()
	for from, to := range map[string]string{id.certFile: o.ClientCert, id.keyFile: o.ClientKey} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
