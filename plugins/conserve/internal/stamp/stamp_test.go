package stamp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/internal/clock"
)

var (
	stamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	usageOID = asn1.ObjectIdentifier{2, 5, 29, 37}
	clients  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
)

// authorityFor is a certificate for a usage, good for an hour, and that of its issuer.
func authorityFor(t *testing.T, usage tsa.Usage) (own, ca *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.System{}.Now()
	issue := func(c, parent *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = issue(root, root)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "TSA"}, KeyUsage: x509.KeyUsageDigitalSignature}
	if usage.OIDs != nil {
		value, err := asn1.Marshal(usage.OIDs)
		if err != nil {
			t.Fatal(err)
		}
		leaf.ExtraExtensions = []pkix.Extension{{Id: usageOID, Critical: usage.Critical, Value: value}}
	}
	return issue(leaf, ca), ca
}

// Who may stamp: for that alone, critically, under a configured authority, within its dates.
func TestWhoMayStamp(t *testing.T) {
	own, ca := authorityFor(t, tsa.Good())
	now := clock.System{}.Now()
	if err := (Authority{Roots: []*x509.Certificate{ca}}).chain(own, nil, now); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for name, usage := range map[string]tsa.Usage{
		"of no usage": {}, "of another usage": {OIDs: []asn1.ObjectIdentifier{clients}, Critical: true},
		"of two usages": {OIDs: []asn1.ObjectIdentifier{stamping, clients}, Critical: true}, "not critical": {OIDs: []asn1.ObjectIdentifier{stamping}},
	} {
		bad, issuer := authorityFor(t, usage)
		if err := (Authority{Roots: []*x509.Certificate{issuer}}).chain(bad, nil, now); !errors.Is(err, ErrStamp) {
			t.Errorf("one %s: %v, want ErrStamp", name, err)
		}
	}
	_, stranger := authorityFor(t, tsa.Good())
	for name, err := range map[string]error{
		"of another authority": (Authority{Roots: []*x509.Certificate{stranger}}).chain(own, []*x509.Certificate{ca}, now),
		"of no authority":      (Authority{}).chain(own, []*x509.Certificate{ca}, now),
		"that has ended":       (Authority{Roots: []*x509.Certificate{ca}}).chain(own, nil, now.Add(2*time.Hour)),
	} {
		if !errors.Is(err, ErrStamp) {
			t.Errorf("one %s: %v, want ErrStamp", name, err)
		}
	}
}

// A real authority stamps; what it said of other content, an answer to another question, and one that was changed, are none.
func TestStamp(t *testing.T) {
	genuine, err := tsa.New(t.TempDir(), clock.System{}.Now(), tsa.Good())
	if err != nil {
		t.Fatal(err)
	}
	var replay []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if replay != nil {
			w.Header().Set("Content-Type", "application/timestamp-reply")
			_, _ = w.Write(replay)
			return
		}
		genuine.ServeHTTP(w, r)
	}))
	defer server.Close()
	text, err := os.ReadFile(genuine.CA())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a := Authority{URL: server.URL, Roots: []*x509.Certificate{root}, HTTP: server.Client()}
	data := []byte("an index")
	answer, err := a.Stamp(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := a.Check(answer, data); err != nil || (clock.System{}).Now().Sub(at) > time.Minute {
		t.Errorf("Check: %v, %v", at, err)
	}
	if _, err := a.Check(answer, []byte("another")); !errors.Is(err, ErrStamp) {
		t.Errorf("of other content: %v, want ErrStamp", err)
	}
	sum := sha256.Sum256(data)
	statement := bytes.Index(answer, sum[:]) + len(sum) // what follows in it is serial number and time
	for _, at := range []int{statement + 3, statement + 12, len(answer) - 10} {
		changed := bytes.Clone(answer)
		changed[at] ^= 1
		if _, err := a.Check(changed, data); err == nil {
			t.Errorf("with byte %d changed it is good", at)
		}
	}
	replay = answer
	if _, err := a.Stamp(t.Context(), data); !errors.Is(err, ErrStamp) || !strings.Contains(err.Error(), "nonce") {
		t.Errorf("an answer to another question: %v, want ErrStamp about its nonce", err)
	}
}
