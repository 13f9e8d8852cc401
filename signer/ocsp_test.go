package signer

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// answer lets openssl ocsp answer a question about a certificate, as the responder that has the certificate and key of by.
func (ca *openSSLCA) answer(q *OCSPQuestion, by string, more ...string) []byte {
	ca.t.Helper()
	if err := os.WriteFile(ca.path("question"), q.DER, 0o600); err != nil {
		ca.t.Fatal(err)
	}
	args := append([]string{"ocsp", "-index", ca.path("index"), "-CA", ca.path("ca.pem"), "-rsigner", ca.path(by + ".pem"),
		"-rkey", ca.path(by + ".key"), "-reqin", ca.path("question"), "-respout", ca.path("answer"), "-ndays", "1"}, more...)
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		ca.t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	content, err := os.ReadFile(ca.path("answer"))
	if err != nil {
		ca.t.Fatal(err)
	}
	return content
}

func question(t testing.TB, cert, issuer *x509.Certificate) *OCSPQuestion {
	t.Helper()
	q, err := NewOCSPQuestion(cert, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// OpenSSL understands what is asked, and answers as the authority itself and as somebody it made a certificate for.
func TestOCSPWithOpenSSL(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	ca := newOpenSSLCA(t)
	keep, leave := ca.issue("keep"), ca.issue("leave")
	ca.issue("responder", "ocsp")
	ca.revoke("leave")
	at := time.Now()
	for _, by := range []string{"ca", "responder"} {
		q := question(t, keep, ca.cert)
		if got, err := q.Read(ca.answer(q, by), at); err != nil || got.Revoked || got.NextUpdate.IsZero() {
			t.Errorf("answer of %s about a good one = %+v, %v", by, got, err)
		}
		q = question(t, leave, ca.cert)
		if got, err := q.Read(ca.answer(q, by), at); err != nil || !got.Revoked || got.Since.After(at.Add(time.Second)) {
			t.Errorf("answer of %s about a revoked one = %+v, %v", by, got, err)
		}
	}
	q := question(t, keep, ca.cert)
	for name, answer := range map[string][]byte{
		"by who signs mail":   ca.answer(q, "leave"),
		"to another question": ca.answer(question(t, keep, ca.cert), "ca"),
		"about another":       ca.answer(question(t, leave, ca.cert), "ca"),
		"that is changed":     changedAt(ca.answer(q, "ca"), 60),
		"cut short":           ca.answer(q, "ca")[:200],
		"that is a web page":  []byte("<html>"),
		"that is too large":   make([]byte, maxOCSP+1),
	} {
		if got, err := q.Read(answer, at); !errors.Is(err, ErrOCSP) {
			t.Errorf("an answer %s = %+v, %v; want %v", name, got, err, ErrOCSP)
		}
	}
	good := ca.answer(q, "ca")
	for name, at := range map[string]time.Time{"of yesterday": at.Add(25 * time.Hour), "of tomorrow": at.Add(-time.Hour)} {
		if got, err := q.Read(good, at); !errors.Is(err, ErrOCSP) {
			t.Errorf("an answer %s = %+v, %v; want %v", name, got, err, ErrOCSP)
		}
	}
}

// Answers that OpenSSL does not make: without a nonce and without a next update, of another authority, of an unknown certificate.
func TestOCSPFreshnessAndAuthority(t *testing.T) {
	conformance.Covers(t, "C113")
	root, other := newAuthority(t, "Root", nil), newAuthority(t, "Other", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	responder := func(by *authority, change func(*x509.Certificate)) *authority {
		a := &authority{key: ecdsaKey(t)}
		a.cert = by.issue(t, a.key, 99, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
			if change != nil {
				change(c)
			}
		})
		return a
	}
	template := ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: now, IssuerHash: crypto.SHA1}
	for _, c := range []struct {
		name   string
		change func(*ocsp.Response)
		issuer *x509.Certificate
		by     *authority
		good   bool
	}{
		{"of now", nil, root.cert, root, true},
		{"of some minutes ago", func(r *ocsp.Response) { r.ThisUpdate = now.Add(-9 * time.Minute) }, root.cert, root, true},
		{"of a quarter of an hour ago", func(r *ocsp.Response) { r.ThisUpdate = now.Add(-15 * time.Minute) }, root.cert, root, false},
		{"of yesterday that holds until tomorrow", func(r *ocsp.Response) {
			r.ThisUpdate, r.NextUpdate = now.Add(-24*time.Hour), now.Add(24*time.Hour)
		}, root.cert, root, true},
		{"of who does not know", func(r *ocsp.Response) { r.Status = ocsp.Unknown }, root.cert, root, false},
		{"with another hash", func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }, root.cert, root, false},
		{"about the serial number of another authority", nil, other.cert, root, false},
		{"signed by another authority", nil, root.cert, other, false},
		{"of a responder", nil, root.cert, responder(root, nil), true},
		{"of a responder whose certificate ended", nil, root.cert, responder(root, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }), false},
		{"of a responder for mail", nil, root.cert, responder(root, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		}), false},
		{"of a responder of another authority", nil, root.cert, responder(other, nil), false},
	} {
		r := template
		if c.change != nil {
			c.change(&r)
		}
		if !c.by.cert.IsCA {
			r.Certificate = c.by.cert
		}
		der, err := ocsp.CreateResponse(c.issuer, c.by.cert, r, c.by.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := question(t, leaf, root.cert).Read(der, now); (err == nil) != c.good || err != nil && !errors.Is(err, ErrOCSP) {
			t.Errorf("an answer %s: %v; want good %t", c.name, err, c.good)
		}
	}
}

// online answers one thing.
type online struct {
	answer OCSPAnswer
	known  bool
}

func (o online) Ask(*x509.Certificate, *x509.Certificate) (OCSPAnswer, bool) {
	return o.answer, o.known
}

// List and answer together: revoked is what one of them says is revoked, and an answer stands in for a list.
func TestOCSPBesideLists(t *testing.T) {
	conformance.Covers(t, "C111")
	root := newAuthority(t, "Root", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	good := online{OCSPAnswer{ThisUpdate: now}, true}
	revoked := online{OCSPAnswer{Revoked: true, Since: now.Add(-time.Minute)}, true}
	later := online{OCSPAnswer{Revoked: true, Since: now.Add(time.Minute)}, true}
	for _, c := range []struct {
		name   string
		list   []byte
		online online
		want   error
	}{
		{"list and answer good", root.revoke(t, nil), good, nil},
		{"revoked by the list", root.revoke(t, nil, leaf), good, ErrRevoked},
		{"revoked by the answer", root.revoke(t, nil), revoked, ErrRevoked},
		{"revoked by the answer alone", nil, revoked, ErrRevoked},
		{"revoked afterwards", root.revoke(t, nil), later, nil},
		{"no list, good answer", nil, good, nil},
		{"no answer", root.revoke(t, nil), online{}, nil},
		{"neither", nil, online{}, ErrNoCRL},
	} {
		trust := offered(t, TrustFiles{Online: c.online}, root.cert)
		if c.list != nil {
			if _, err := trust.Offer(c.list, "x", now); err != nil {
				t.Fatal(err)
			}
		}
		if err := trust.Check(leaf, nil, now); !errors.Is(err, c.want) {
			t.Errorf("%s: Check = %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzOCSP: whatever a server answers, it is good only when the issuer signed it.
func FuzzOCSP(f *testing.F) {
	root := newAuthority(f, "Root", nil)
	leaf := root.issue(f, rsaKey(f, "alfa"), 7)
	for _, status := range []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown} {
		der, err := ocsp.CreateResponse(root.cert, root.cert, ocsp.Response{Status: status, SerialNumber: big.NewInt(7), ThisUpdate: now,
			RevokedAt: now, IssuerHash: crypto.SHA1}, root.key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	q := question(f, leaf, root.cert)
	f.Fuzz(func(t *testing.T, der []byte) {
		answer, err := q.Read(der, now)
		if err != nil && !errors.Is(err, ErrOCSP) {
			t.Errorf("an error that is none: %v", err)
		}
		if err == nil && answer.ThisUpdate.IsZero() {
			t.Errorf("an answer without an instant: %+v", answer)
		}
		var whole asn1.RawValue
		if rest, failed := asn1.Unmarshal(der, &whole); err == nil && (failed != nil || len(rest) > 0) {
			t.Error("something follows an answer that is good")
		}
	})
}
