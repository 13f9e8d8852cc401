package app_test

import (
	"crypto"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
)

// TestOCSPAnswersOutliveAReload: what a responder has said stands after a reload: it is not asked again before it is time.
func TestOCSPAnswersOutliveAReload(t *testing.T) {
	conformance.Covers(t, "C113")
	w := apptest.New(t)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		asked.Add(1)
		question, err := io.ReadAll(in.Body)
		if err != nil {
			t.Error(err)
		}
		request, err := ocsp.ParseRequest(question)
		if err != nil {
			t.Error(err)
			return
		}
		now := time.Now()
		answer, err := ocsp.CreateResponse(w.Authority.Cert, w.Authority.Cert, ocsp.Response{Status: ocsp.Good, SerialNumber: request.SerialNumber,
			ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour), IssuerHash: crypto.SHA1}, w.Authority.Key)
		if err != nil {
			t.Error(err)
		}
		_, _ = out.Write(answer)
	}))
	defer server.Close()
	w.Authority.Responder = server.URL
	signing, err := w.Authority.Signing("Alfa PEC", apptest.Address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "cert.pem", signing.CertPEM())
	w.Write(t, "key.pem", key)
	w.SignDirectory(t, "alfa.example", signing)
	reconfigure(t, w, "[time]\n", "[revocation]\nocsp = \"on\"\n[time]\n")
	d := start(t, w, app.Agent)
	d.awaitLog("agent started", 1)
	if got := asked.Load(); got != 1 {
		t.Fatalf("at the start the responder was asked %d times, want once", got)
	}
	d.reload <- syscall.SIGHUP
	d.awaitLog("the configuration was read again", 1)
	if got := asked.Load(); got != 1 {
		t.Errorf("the reload asked the responder: %d times in all", got)
	}
	d.stop()
}
