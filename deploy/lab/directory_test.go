package lab_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

func fetchDirectory(t *testing.T, certificates ...tls.Certificate) ([]byte, error) {
	t.Helper()
	ca, err := os.ReadFile(shared.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: certificates}
	config.RootCAs.AppendCertsFromPEM(ca)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	r, err := web.Get(shared.DirectoryURL)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

func TestDirectoryIsSignedAndForHoldersOfACertificate(t *testing.T) {
	conformance.Covers(t, "C211")
	if _, err := fetchDirectory(t); err == nil {
		t.Error("the directory is served without a client certificate")
	}
	pair, err := tls.LoadX509KeyPair(shared.ClientCert, shared.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := fetchDirectory(t, pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ca string
		ok bool
	}{{shared.DirectorySignerCA, true}, {shared.CA, false}} {
		cmd := exec.Command("openssl", "cms", "-verify", "-inform", "DER", "-CAfile", c.ca, "-purpose", "any")
		cmd.Stdin = strings.NewReader(string(raw))
		out, err := cmd.Output()
		if (err == nil) != c.ok {
			t.Errorf("openssl cms -verify with %s: %v", c.ca, err)
		}
		if c.ok && strings.Count(string(out), "providerCertificate;binary::") != 8 {
			t.Errorf("certificates in the directory: want alfa's, beta's, five of delta and that of its environment:\n%s", out)
		}
	}
}
