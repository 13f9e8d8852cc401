package signer

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
)

func trustOf(t testing.TB, ca []byte, crls ...[]byte) *Trust {
	t.Helper()
	trust, err := NewTrust(trustFiles(t, ca, crls...))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func trustFiles(t testing.TB, ca []byte, crls ...[]byte) TrustFiles {
	t.Helper()
	files := TrustFiles{CA: writeFile(t, "ca.pem", ca)}
	for _, crl := range crls {
		files.CRLs = append(files.CRLs, writeFile(t, "crl", crl))
	}
	return files
}

func TestChainDatesAndRevocation(t *testing.T) {
	conformance.Covers(t, "C110", "C111", "C112")
	root := newAuthority(t, "Root", nil)
	middle := newAuthority(t, "Middle", root)
	stranger := newAuthority(t, "Stranger", nil)
	key := rsaKey(t, "alfa")
	good, bad := middle.issue(t, key, 7), middle.issue(t, key, 8)
	trust := trustOf(t, pemCerts(root.cert, middle.cert), middle.revoke(t, nil, bad))
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		at   time.Time
		want error
	}{
		{"good", good, now, nil},
		{"without usages", middle.issue(t, key, 9, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), now, nil},
		{"for anything", middle.issue(t, key, 9, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), now, nil},
		{"with basic constraints", middle.issue(t, key, 9, func(c *x509.Certificate) { c.BasicConstraintsValid = true }), now, nil},
		{"for servers", middle.issue(t, key, 9, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), now, ErrChain},
		{"of a stranger", stranger.issue(t, key, 7), now, ErrChain},
		{"of its own", stranger.cert, now, ErrChain},
		{"of the root itself", root.cert, now, ErrChain},
		{"ended", good, now.Add(2 * year), ErrExpired},
		{"not begun", good, now.Add(-2 * year), ErrExpired},
		{"revoked", bad, now, ErrRevoked},
		{"revoked by the minute", bad, now.Add(-30 * time.Minute), ErrRevoked},
		{"not revoked yet", bad, now.Add(-31 * time.Minute), nil},
		{"of the root, of which no list speaks", root.issue(t, key, 7), now, ErrNoCRL},
	} {
		if err := trust.Check(c.cert, nil, c.at); !errors.Is(err, c.want) {
			t.Errorf("Check of a certificate %s = %v, want %v", c.name, err, c.want)
		}
	}
}

// TestOpenSSLJudgesTheSame holds our verdicts to those of openssl verify.
func TestOpenSSLJudgesTheSame(t *testing.T) {
	conformance.Covers(t, "C110", "C111", "C112")
	root, stranger := newAuthority(t, "Root", nil), newAuthority(t, "Stranger", nil)
	key := rsaKey(t, "alfa")
	revoked := root.issue(t, key, 8)
	crl := root.revoke(t, nil, revoked)
	trust := trustOf(t, pemCerts(root.cert), crl)
	both := writeFile(t, "both.pem", append(pemCerts(root.cert), pemCRL(crl)...))
	for name, cert := range map[string]*x509.Certificate{
		"good": root.issue(t, key, 7), "revoked": revoked, "strange": stranger.issue(t, key, 7),
		"ended": root.issue(t, key, 9, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }),
	} {
		ours := trust.Check(cert, nil, now)
		theirs := opensslVerify(t, both, writeFile(t, "c", pemCerts(cert)))
		if (ours == nil) != (theirs == nil) {
			t.Errorf("a %s certificate: Check = %v, openssl = %v", name, ours, theirs)
		}
	}
}

func TestAnAuthorityBelowTheRootCanBeRevoked(t *testing.T) {
	conformance.Covers(t, "C110", "C111")
	root := newAuthority(t, "Root", nil)
	middle := newAuthority(t, "Middle", root)
	leaf := middle.issue(t, rsaKey(t, "alfa"), 7)
	ca := pemCerts(root.cert, middle.cert)
	list := middle.revoke(t, nil)
	if err := trustOf(t, ca, list, root.revoke(t, nil)).Check(leaf, nil, now); err != nil {
		t.Errorf("Check with lists of both authorities: %v", err)
	}
	if err := trustOf(t, ca, list, root.revoke(t, nil, middle.cert)).Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check under a revoked authority = %v, want %v", err, ErrRevoked)
	}
}

func TestAuthoritiesOfTheMessageBuildAChainButAreNotTrusted(t *testing.T) {
	conformance.Covers(t, "C110")
	root := newAuthority(t, "Root", nil)
	middle := newAuthority(t, "Middle", root)
	template := *middle.cert
	template.SerialNumber = big.NewInt(77)
	reissued := createCertificate(t, &template, root.cert, middle.key.Public(), root.key)
	leaf := middle.issue(t, rsaKey(t, "alfa"), 7)
	stranger := newAuthority(t, "Stranger", nil)
	trust := trustOf(t, pemCerts(root.cert, reissued), middle.revoke(t, nil), root.revoke(t, nil))
	if err := trust.Check(leaf, []*x509.Certificate{middle.cert, leaf}, now); err != nil {
		t.Errorf("Check with another copy of the authority, same key: %v", err)
	}
	if err := trust.Check(stranger.issue(t, rsaKey(t, "alfa"), 7), []*x509.Certificate{stranger.cert}, now); !errors.Is(err, ErrChain) {
		t.Errorf("Check with an authority that came along = %v, want %v", err, ErrChain)
	}
}

func TestCertificatesSignedOverSHA1AreRefused(t *testing.T) {
	conformance.Covers(t, "C110")
	dir := t.TempDir()
	root := newAuthority(t, rsaAuthority, nil)
	ca, key := writeFile(t, "ca", pemCerts(root.cert)), writeFile(t, "k", pemKey(t, root.key))
	leafKey := writeFile(t, "lk", pemKey(t, rsaKey(t, "alfa")))
	request, err := openssl(t, "req", "-new", "-key", leafKey, "-subj", "/O=Alfa S.p.A.")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash string
		want error
	}{{"-sha256", nil}, {"-sha1", ErrChain}, {"-md5", ErrChain}} {
		out, err := openssl(t, "x509", "-req", "-in", writeFile(t, "r", request), "-CA", ca, "-CAkey", key, "-CAserial", dir+"/serial",
			"-CAcreateserial", "-days", "30", c.hash)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := ReadCertificates(writeFile(t, "leaf", out))
		if err != nil {
			t.Fatal(err)
		}
		if err := trustOf(t, pemCerts(root.cert), root.revoke(t, nil)).Check(certs[0], nil, time.Now().Add(time.Minute)); !errors.Is(err, c.want) {
			t.Errorf("Check of a certificate signed with %s = %v, want %v", c.hash, err, c.want)
		}
	}
}

func TestAListThatEndedIsBelievedForADay(t *testing.T) {
	conformance.Covers(t, "C111", "C113")
	root := newAuthority(t, "Root", nil)
	good, bad := root.issue(t, rsaKey(t, "alfa"), 7), root.issue(t, rsaKey(t, "alfa"), 8)
	files := trustFiles(t, pemCerts(root.cert), root.revoke(t, func(l *x509.RevocationList) { l.NextUpdate = now }, bad))
	trust, err := NewTrust(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after     time.Duration
		good, bad error
		end       bool
	}{
		{0, nil, ErrRevoked, false},
		{time.Second, nil, ErrRevoked, true},
		{24 * time.Hour, nil, ErrRevoked, true},
		{24*time.Hour + time.Second, ErrNoCRL, ErrRevoked, true},
	} {
		at := now.Add(c.after)
		if err := trust.Check(good, nil, at); !errors.Is(err, c.good) {
			t.Errorf("%s after its end: Check = %v, want %v", c.after, err, c.good)
		}
		if err := trust.Check(bad, nil, at); !errors.Is(err, c.bad) {
			t.Errorf("%s after its end: Check of what it revokes = %v, want %v", c.after, err, c.bad)
		}
		state := trust.State(at, []*x509.Certificate{good, bad})
		if len(state) != 1 || state[0].Ended(at) != c.end || state[0].File != files.CRLs[0] || !state[0].NextUpdate.Equal(now) ||
			!state[0].Believed.Equal(now.Add(24*time.Hour)) {
			t.Errorf("%s after its end: State = %+v", c.after, state)
		}
	}
}

// A list that was superseded, and one of an authority by which nobody signs, say nothing of when lists end.
func TestStateIsOfTheListsThatMatter(t *testing.T) {
	root, orphan := newAuthority(t, "Root", nil), newAuthority(t, "Orphan", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	ended := func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	}
	files := trustFiles(t, pemCerts(root.cert, orphan.cert), root.revoke(t, ended), root.revoke(t, nil), orphan.revoke(t, ended))
	trust, err := NewTrust(files)
	if err != nil {
		t.Fatal(err)
	}
	if state := trust.State(now, []*x509.Certificate{leaf}); len(state) != 1 || state[0].Ended(now) || state[0].File != files.CRLs[1] {
		t.Errorf("State = %+v, want the one list that is in use", state)
	}
}

func TestTrustIsReloaded(t *testing.T) {
	conformance.Covers(t, "C113")
	root := newAuthority(t, "Root", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	files := trustFiles(t, pemCerts(root.cert), root.revoke(t, nil))
	trust, err := NewTrust(files)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := trust.Refresh(); changed || err != nil {
		t.Errorf("Refresh of files that stand still = %t, %v", changed, err)
	}
	replace(t, files.CRLs[0], []byte("junk"))
	if changed, err := trust.Refresh(); !changed || err == nil {
		t.Errorf("Refresh of a list that is none = %t, %v, want an error", changed, err)
	}
	if err := trust.Check(leaf, nil, now); err != nil {
		t.Errorf("after a list that is none the old one does not hold: %v", err)
	}
	replace(t, files.CRLs[0], root.revoke(t, nil, leaf))
	if changed, err := trust.Refresh(); !changed || err != nil {
		t.Errorf("Refresh of a new list = %t, %v", changed, err)
	}
	if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
		t.Errorf("Check under the new list = %v, want %v", err, ErrRevoked)
	}
	if err := os.Remove(files.CRLs[0]); err != nil {
		t.Fatal(err)
	}
	if err := trust.Reload(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Reload without the list = %v, want %v", err, fs.ErrNotExist)
	}
}

// replace renames a new file over an old one.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func TestNewTrustRefuses(t *testing.T) {
	conformance.Covers(t, "C110", "C111")
	root, stranger := newAuthority(t, "Root", nil), newAuthority(t, "Stranger", nil)
	asRoot := *root.cert
	asRoot.PublicKey = nil
	impostor := &authority{key: stranger.key, cert: createCertificate(t, root.cert, &asRoot, stranger.key.Public(), stranger.key)}
	middle := newAuthority(t, "Middle", root)
	ca, list := pemCerts(root.cert), root.revoke(t, nil)
	tampered := bytes.Clone(list)
	tampered[len(tampered)-1] ^= 1
	extension := func(oid asn1.ObjectIdentifier, value ...byte) []byte {
		return root.revoke(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oid, Critical: true, Value: value}}
		})
	}
	for name, files := range map[string]TrustFiles{
		"no file of authorities":        {CA: "/nonexistent/ca.pem", CRLs: trustFiles(t, ca, list).CRLs},
		"no list configured":            trustFiles(t, ca),
		"no file of a list":             {CA: trustFiles(t, ca).CA, CRLs: []string{"/nonexistent/crl.pem"}},
		"no authority":                  trustFiles(t, []byte("nothing"), list),
		"no root":                       trustFiles(t, pemCerts(middle.cert), middle.revoke(t, nil)),
		"a list of a stranger":          trustFiles(t, ca, stranger.revoke(t, nil)),
		"a list by an impostor":         trustFiles(t, ca, impostor.revoke(t, nil)),
		"a changed list":                trustFiles(t, ca, tampered),
		"a list cut short":              trustFiles(t, ca, list[:40]),
		"a certificate as a list":       trustFiles(t, ca, ca),
		"an empty list file":            trustFiles(t, ca, nil),
		"a delta list":                  trustFiles(t, ca, extension(asn1.ObjectIdentifier{2, 5, 29, 27}, 2, 1, 1)),
		"an indirect list":              trustFiles(t, ca, extension(oidIssuingDistributionPoint, 0x30, 3, 0x84, 1, 0xff)),
		"a list of attributes":          trustFiles(t, ca, extension(oidIssuingDistributionPoint, 0x30, 3, 0x85, 1, 0xff)),
		"a list of some reasons":        trustFiles(t, ca, extension(oidIssuingDistributionPoint, 0x30, 4, 0x83, 2, 1, 0x40)),
		"one good list and one bad one": trustFiles(t, ca, list, tampered),
	} {
		if _, err := NewTrust(files); err == nil {
			t.Errorf("NewTrust takes %s", name)
		}
	}
}

func TestListsSpeakOfWhatTheySay(t *testing.T) {
	conformance.Covers(t, "C111")
	root := newAuthority(t, "Root", nil)
	point := func(value ...byte) []byte {
		return root.revoke(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidIssuingDistributionPoint, Critical: true, Value: value}}
		})
	}
	uri := "http://ca.example/1"
	name := append([]byte{0x86, byte(len(uri))}, uri...)
	name = append([]byte{0xa0, byte(len(name))}, name...)
	name = append([]byte{0xa0, byte(len(name))}, name...)
	named := append([]byte{0x30, byte(len(name))}, name...)
	for _, c := range []struct {
		name  string
		list  []byte
		point string
		want  error
	}{
		{"of users", point(0x30, 3, 0x81, 1, 0xff), "", nil},
		{"of authorities", point(0x30, 3, 0x82, 1, 0xff), "", ErrNoCRL},
		{"of a place that the certificate names", point(named...), uri, nil},
		{"of another place", point(named...), "http://ca.example/12", ErrNoCRL},
		{"of a place, when the certificate names none", point(named...), "", ErrNoCRL},
	} {
		leaf := root.issue(t, rsaKey(t, "alfa"), 7, func(l *x509.Certificate) {
			if c.point != "" {
				l.CRLDistributionPoints = []string{c.point}
			}
		})
		if err := trustOf(t, pemCerts(root.cert), c.list).Check(leaf, nil, now); !errors.Is(err, c.want) {
			t.Errorf("Check with a list %s = %v, want %v", c.name, err, c.want)
		}
	}
}

func TestTheNewestOfSeveralListsHolds(t *testing.T) {
	conformance.Covers(t, "C111")
	root, other := newAuthority(t, "Root", nil), newAuthority(t, "Other", nil)
	leaf := root.issue(t, rsaKey(t, "alfa"), 7)
	older := root.revoke(t, func(l *x509.RevocationList) { l.ThisUpdate = now.Add(-48 * time.Hour) })
	newer := root.revoke(t, nil, leaf)
	for name, crls := range map[string][][]byte{
		"older first":    {older, newer},
		"newer first":    {newer, older},
		"in one file":    {append(append(pemCRL(older), pemCRL(newer)...), pemCRL(other.revoke(t, nil))...)},
		"with another's": {other.revoke(t, nil), newer},
	} {
		trust := trustOf(t, pemCerts(root.cert, other.cert), crls...)
		if err := trust.Check(leaf, nil, now); !errors.Is(err, ErrRevoked) {
			t.Errorf("Check with lists %s = %v, want %v", name, err, ErrRevoked)
		}
	}
}
