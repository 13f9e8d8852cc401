package signer

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

// offered is a Trust that has no file of lists.
func offered(t testing.TB, files TrustFiles, authorities ...*x509.Certificate) *Trust {
	t.Helper()
	files.CA, files.Offered = writeFile(t, "ca.pem", pemCerts(authorities...)), true
	trust, err := NewTrust(files)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// A list that is offered is believed from then on, and one that is older never again: it may hide a revocation.
func TestOffer(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	root, stranger := newAuthority(t, "Root", nil), newAuthority(t, "Stranger", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	trust := offered(t, TrustFiles{}, root.cert)
	list := func(age time.Duration, number int64, revoked ...*x509.Certificate) []byte {
		return root.revoke(t, func(l *x509.RevocationList) { l.ThisUpdate, l.Number = now.Add(-age), big.NewInt(number) }, revoked...)
	}
	if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrNoCRL) {
		t.Errorf("Check before any list = %v, want %v", err, ErrNoCRL)
	}
	for _, c := range []struct {
		name  string
		offer []byte
		err   error
		check error
	}{
		{"the first", list(2*time.Hour, 5), nil, nil},
		{"the same", list(2*time.Hour, 5), ErrSameList, nil},
		{"a newer one in PEM", pemCRL(list(time.Hour, 6, leaf)), nil, ErrRevoked},
		{"the first again", list(2*time.Hour, 5), ErrReplayed, ErrRevoked},
		{"one of the same instant with a lower number", list(time.Hour, 5), ErrReplayed, ErrRevoked},
		{"one of the same instant with a higher number", list(time.Hour, 7), nil, nil},
		{"a newer one that revokes", list(time.Minute, 8, leaf), nil, ErrRevoked},
	} {
		_, err := trust.Offer(c.offer, "http://ca.example/crl", now)
		if !errors.Is(err, c.err) {
			t.Errorf("Offer of %s = %v, want %v", c.name, err, c.err)
		}
		if err := trust.Check(leaf, nil, now); !errors.Is(err, c.check) {
			t.Errorf("Check after %s = %v, want %v", c.name, err, c.check)
		}
	}
	for name, offer := range map[string][]byte{
		"one of a stranger":        stranger.revoke(t, nil),
		"a changed one":            changedAt(list(0, 9), -1),
		"one with a changed entry": changedAt(list(0, 9, leaf), len(list(0, 9))/2),
		"one of the future":        list(-time.Hour, 9),
		"a web page":               []byte("<html>"),
		"two in one":               bytes.Repeat(pemCRL(list(0, 9)), 2),
		"half of one":              list(0, 9)[:100],
		"one with something after": append(list(0, 9), 0),
	} {
		if _, err := trust.Offer(offer, "x", now); err == nil || errors.Is(err, ErrSameList) {
			t.Errorf("Offer of %s = %v, want that it is refused", name, err)
		}
	}
	if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check after what was refused = %v, want %v", err, ErrRevoked)
	}
	states := trust.State(now, []*x509.Certificate{leaf})
	if lists := trust.current.Load().lists; len(states) != 1 || states[0].File != "http://ca.example/crl" || len(lists) != 1 || len(lists[0].revoked) != 1 {
		t.Errorf("State = %+v, want the one list in use", states)
	}
}

func changedAt(der []byte, at int) []byte {
	changed := bytes.Clone(der)
	changed[(at+len(der))%len(der)] ^= 1
	return changed
}

// What was offered stays through a reload, and passes to the Trust of the next configuration as long as the authority does.
func TestOfferedListsStay(t *testing.T) {
	conformance.Covers(t, "C113")
	root, other := newAuthority(t, "Root", nil), newAuthority(t, "Other", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	trust := offered(t, TrustFiles{}, root.cert)
	if _, err := trust.Offer(root.revoke(t, nil, leaf), "x", now); err != nil {
		t.Fatal(err)
	}
	if err := trust.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check after a reload = %v, want %v", err, ErrRevoked)
	}
	next, without := offered(t, TrustFiles{}, root.cert, other.cert), offered(t, TrustFiles{}, other.cert)
	next.Inherit(trust)
	without.Inherit(trust)
	if err := next.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check of the next Trust = %v, want %v", err, ErrRevoked)
	}
	if len(without.current.Load().lists) != 0 {
		t.Error("a Trust without the authority has its list")
	}
	if _, err := next.Offer(root.revoke(t, func(l *x509.RevocationList) { l.ThisUpdate = now.Add(-2 * time.Hour) }), "x", now); !errors.Is(err, ErrReplayed) {
		t.Errorf("Offer of an older list to the next Trust = %v, want %v", err, ErrReplayed)
	}
}

// How long a list is believed after its end, and what becomes of a certificate that nobody speaks of, are settings.
func TestGraceAndUnknown(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	root := newAuthority(t, "Root", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	var told []error
	accept := func(err error) error { told = append(told, err); return nil }
	for _, c := range []struct {
		name    string
		unknown func(error) error
		after   time.Duration
		want    error
		told    int
	}{
		{"within the grace", nil, time.Hour, nil, 0},
		{"after it", nil, time.Hour + time.Second, ErrNoCRL, 0},
		{"after it, when that is accepted", accept, time.Hour + time.Second, nil, 1},
		{"outside its dates, when what is unknown is accepted", accept, 2 * 365 * 24 * time.Hour, ErrExpired, 0},
	} {
		told = nil
		trust := offered(t, TrustFiles{Grace: time.Hour, Unknown: c.unknown}, root.cert)
		if _, err := trust.Offer(root.revoke(t, func(l *x509.RevocationList) { l.NextUpdate = now }), "x", now); err != nil {
			t.Fatal(err)
		}
		if err := trust.Check(leaf, nil, now.Add(c.after)); !errors.Is(err, c.want) || len(told) != c.told {
			t.Errorf("Check %s = %v, told %v; want %v, %d", c.name, err, told, c.want, c.told)
		}
	}
}

// OpenSSL's own authority makes lists and replaces them; ours reads what it revokes.
func TestListsOfOpenSSL(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	ca := newOpenSSLCA(t)
	keep, leave := ca.issue("keep"), ca.issue("leave")
	trust := offered(t, TrustFiles{}, ca.cert)
	at := time.Now().Add(time.Second)
	if _, err := trust.Offer(ca.crl(), "x", at); err != nil {
		t.Fatal(err)
	}
	if err := trust.Check(leave, nil, at); err != nil {
		t.Errorf("Check before the revocation: %v", err)
	}
	ca.revoke("leave")
	if _, err := trust.Offer(ca.crl(), "x", at); err != nil {
		t.Fatal(err)
	}
	if err := trust.Check(leave, nil, at); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check after the revocation = %v, want %v", err, ErrRevoked)
	}
	if err := trust.Check(keep, nil, at); err != nil {
		t.Errorf("Check of another: %v", err)
	}
}

// openSSLCA is an authority that openssl ca keeps, in a folder.
type openSSLCA struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
}

func newOpenSSLCA(t testing.TB) *openSSLCA {
	t.Helper()
	ca := &openSSLCA{t: t, dir: t.TempDir()}
	conf := strings.ReplaceAll(`[ca]
default_ca=own
[own]
database=DIR/index
new_certs_dir=DIR
serial=DIR/serial
crlnumber=DIR/number
certificate=DIR/ca.pem
private_key=DIR/ca.key
default_md=sha256
default_days=30
default_crl_days=2
policy=any
unique_subject=no
[any]
organizationName=optional
commonName=supplied
[leaf]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@alfa.example
authorityInfoAccess=OCSP;URI:http://127.0.0.1/
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
[ocsp]
extendedKeyUsage=OCSPSigning
`, "DIR", ca.dir)
	for name, text := range map[string]string{"conf": conf, "index": "", "serial": "F1" + strings.Repeat("0", 14) + "\n", "number": "01\n"} {
		if err := os.WriteFile(ca.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ca.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", ca.path("ca.key"), "-out", ca.path("ca.pem"), "-subj", "/CN=OpenSSL CA",
		"-days", "60", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	ca.cert = ca.read("ca")
	return ca
}

func (ca *openSSLCA) path(name string) string { return filepath.Join(ca.dir, name) }

func (ca *openSSLCA) run(args ...string) []byte {
	ca.t.Helper()
	var errors bytes.Buffer
	cmd := exec.Command("openssl", args...)
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		ca.t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, &errors)
	}
	return out
}

func (ca *openSSLCA) read(name string) *x509.Certificate {
	ca.t.Helper()
	certs, err := ReadCertificates(ca.path(name + ".pem"))
	if err != nil {
		ca.t.Fatal(err)
	}
	return certs[0]
}

// issue makes a certificate of the extensions "leaf", or those that are given.
func (ca *openSSLCA) issue(name string, extensions ...string) *x509.Certificate {
	ca.t.Helper()
	ca.run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", ca.path(name+".key"), "-out", ca.path(name+".csr"), "-subj", "/CN="+name)
	section := append(extensions, "leaf")[0]
	ca.run("ca", "-batch", "-config", ca.path("conf"), "-extensions", section, "-in", ca.path(name+".csr"), "-out", ca.path(name+".pem"), "-notext")
	return ca.read(name)
}

func (ca *openSSLCA) revoke(name string) {
	ca.run("ca", "-config", ca.path("conf"), "-revoke", ca.path(name+".pem"))
}

func (ca *openSSLCA) crl() []byte {
	return ca.run("ca", "-config", ca.path("conf"), "-gencrl")
}

// The list of an authority of the world at large does not fill the memory. LARGE_LIST=1000000 takes a million entries.
func TestLargeList(t *testing.T) {
	conformance.Covers(t, "C113")
	entries := 50_000
	if n, err := strconv.Atoi(os.Getenv("LARGE_LIST")); err == nil {
		entries = n
	}
	root := newAuthority(t, "Root", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	serials := make([]x509.RevocationListEntry, 0, entries)
	for i := range entries {
		number := new(big.Int).Lsh(big.NewInt(int64(i*7919%entries+1)), 90) // out of order, as long as real ones
		serials = append(serials, x509.RevocationListEntry{SerialNumber: number, RevocationTime: now.Add(-time.Hour)})
	}
	serials[entries/2].SerialNumber = leaf.SerialNumber
	list := root.revoke(t, func(l *x509.RevocationList) { l.RevokedCertificateEntries = serials })
	serials = nil
	trust := offered(t, TrustFiles{}, root.cert)
	before := heap()
	start := time.Now()
	if _, err := trust.Offer(list, "x", now); err != nil {
		t.Fatal(err)
	}
	took, grown := time.Since(start), heap()-before
	if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check = %v, want %v", err, ErrRevoked)
	}
	lookups := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = trust.current.Load().lists[0].revoked.find(leaf.SerialNumber)
		}
	})
	t.Logf("%d entries, %d bytes: read in %v, %d MiB stay, a look-up takes %v", entries, len(list), took, grown>>20, time.Duration(lookups.NsPerOp()))
	if got := len(trust.current.Load().lists[0].revoked); got != entries {
		t.Errorf("%d entries are known, want %d", got, entries)
	}
	if limit := int64(entries)*48 + 1<<20; grown > limit {
		t.Errorf("it keeps %d bytes; want at most %d", grown, limit)
	}
	runtime.KeepAlive(list)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What is revoked is found whatever the length of its number, and nothing else is.
func TestSerials(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	numbers := []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(127), big.NewInt(128), big.NewInt(1 << 40), new(big.Int).Lsh(big.NewInt(1), 159)}
	der := root.revoke(t, func(l *x509.RevocationList) {
		for i, n := range numbers {
			at := now.Add(-time.Duration(i) * time.Hour)
			if i == 0 {
				at = time.Date(2051, 1, 2, 3, 4, 5, 0, time.UTC) // a GeneralizedTime
			}
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: at, ReasonCode: 1})
		}
	})
	c, err := parseCRL(der, []*x509.Certificate{root.cert})
	if err != nil {
		t.Fatal(err)
	}
	library, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range library.RevokedCertificateEntries {
		if got, found := c.revoked.find(e.SerialNumber); !found || !got.Equal(e.RevocationTime) {
			t.Errorf("%v: %v, %t; want %v", e.SerialNumber, got, found, e.RevocationTime)
		}
	}
	for _, n := range []int64{2, 126, 129, 256, -1} {
		if _, found := c.revoked.find(big.NewInt(n)); found {
			t.Errorf("%d is found", n)
		}
	}
}

// FuzzCRL: what is read of a list is what the standard library reads of it, and nothing makes us fall over.
func FuzzCRL(f *testing.F) {
	root := newAuthority(f, "Root", nil)
	leaf := root.issue(f, rsaKey(f, "alfa"), 7)
	for _, seed := range [][]byte{root.revoke(f, nil), root.revoke(f, nil, leaf), root.revoke(f, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(1 << 40), RevocationTime: now, ReasonCode: 4}}
	})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		head, entries, err := splitCRL(der)
		if err != nil {
			return
		}
		ours, err := readSerials(entries)
		library, failed := x509.ParseRevocationList(der)
		if err != nil || failed != nil {
			return // one of the two is stricter: the list is refused
		}
		if rest, err := x509.ParseRevocationList(head); err != nil || len(rest.RevokedCertificateEntries) > 0 {
			return // what stands there twice is refused too; the library reads the first and leaves the second
		}
		seen := map[string]bool{}
		for _, e := range library.RevokedCertificateEntries {
			seen[fmt.Sprint(e.SerialNumber)] = true
			if _, found := ours.find(e.SerialNumber); !found {
				t.Errorf("%v is revoked for the library, not for us", e.SerialNumber)
			}
		}
		if len(seen) != len(ours) {
			t.Errorf("%d are revoked for us, %d for the library", len(ours), len(seen))
		}
	})
}
