package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

const testBoundary = "ceralacca-0123456789abcdef-busta"

const testContent = "Content-Type: multipart/mixed; boundary=inner\r\n\r\n" +
	"--inner\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\n\r\nMessaggio di posta certificata\r\n" +
	"--inner\r\nContent-Type: message/rfc822; name=\"postacert.eml\"\r\n\r\n" +
	"Subject: \xe8 8 bit\r\n\r\ntrailing space \r\n\r\n--ceralacca\r\n-- \r\n\tl\xf9nga\r\n" +
	"--inner--\r\n"

func testArtefact(content string) *pec.Artefact {
	return &pec.Artefact{
		Kind: pec.KindTransport,
		Header: pec.Header{
			{Name: "Date", Value: " Sun, 22 Nov 2026 17:00:00 +0100"},
			{Name: "From", Value: ` "Per conto di: mario@alfa.example" <` + providerAddress + ">"},
			{Name: "To", Value: " luigi@beta.example,\r\n\tanna@beta.example"},
			{Name: "Subject", Value: " POSTA CERTIFICATA: prova"},
			{Name: "Message-ID", Value: " <0123456789abcdef0123456789abcdef@alfa.example>"},
			{Name: "X-Trasporto", Value: " posta-certificata"},
			{Name: "MIME-Version", Value: " 1.0"},
			{Name: "Content-Type", Value: " multipart/signed; protocol=\"application/pkcs7-signature\";\r\n\tmicalg=sha-256; boundary=\"" + testBoundary + `"`},
		},
		Boundary: testBoundary,
		Content:  []pec.Source{pec.Bytes([]byte(content))},
	}
}

func draft(t testing.TB, a *pec.Artefact) *Draft {
	t.Helper()
	d, err := NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sealed returns a whole message, as it goes to the network.
func sealed(t testing.TB, p *party, a *pec.Artefact) ([]byte, *Sealed) {
	t.Helper()
	var body bytes.Buffer
	s, err := draft(t, a).SealTo(context.Background(), &body, p.key, now)
	if err != nil {
		t.Fatal(err)
	}
	var message bytes.Buffer
	if _, err := s.Header().WriteTo(&message); err != nil {
		t.Fatal(err)
	}
	message.WriteString("\r\n")
	message.Write(body.Bytes())
	return message.Bytes(), s
}

// openssl runs OpenSSL and returns what it wrote to -out.
func openssl(t testing.TB, args ...string) ([]byte, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("openssl", append(args, "-out", out)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.New(stderr.String())
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return content, nil
}

func TestOpenSSLVerifiesWhatIsSealed(t *testing.T) {
	conformance.Covers(t, "C001", "C002", "C004", "C256")
	p := newParty(t)
	message, _ := sealed(t, p, testArtefact(testContent))
	file := writeFile(t, "message.eml", message)
	stranger := newAuthority(t, "Stranger", nil)
	strangerFile := writeFile(t, "stranger.pem", pemCerts(stranger.cert))
	strangerCRL := writeFile(t, "stranger-crl.pem", pemCRL(stranger.revoke(t, nil)))
	revokedCRL := writeFile(t, "revoked.pem", pemCRL(p.root.revoke(t, nil, p.cert)))
	for _, command := range []string{"cms", "smime"} {
		t.Run(command, func(t *testing.T) {
			got, err := openssl(t, command, "-verify", "-in", file, "-inform", "SMIME", "-purpose", "smimesign",
				"-CAfile", withCRL(t, p.caFile, p.crlFile), "-crl_check")
			if err != nil {
				t.Fatalf("openssl %s -verify: %v", command, err)
			}
			if diff := cmp.Diff(testContent, string(got)); diff != "" {
				t.Errorf("what openssl took for the content differs (-signed +read):\n%s", diff)
			}
			if _, err := openssl(t, command, "-verify", "-in", file, "-inform", "SMIME", "-purpose", "smimesign",
				"-CAfile", withCRL(t, strangerFile, strangerCRL), "-crl_check"); err == nil {
				t.Errorf("openssl %s -verify accepts the message under another authority", command)
			}
			if _, err := openssl(t, command, "-verify", "-in", file, "-inform", "SMIME", "-purpose", "smimesign",
				"-CAfile", withCRL(t, p.caFile, revokedCRL), "-crl_check"); err == nil {
				t.Errorf("openssl %s -verify accepts a revoked certificate", command)
			}
		})
	}
}

// withCRL makes one file of both, as OpenSSL wants them.
func withCRL(t testing.TB, caFile, crlFile string) string {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := os.ReadFile(crlFile)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "both.pem", append(ca, crl...))
}

func TestOpenSSLRefusesWhatWasChangedAfterSealing(t *testing.T) {
	conformance.Covers(t, "C109")
	p := newParty(t)
	message, _ := sealed(t, p, testArtefact(testContent))
	changed := bytes.Replace(message, []byte("posta certificata\r\n"), []byte("posta certificat4\r\n"), 1)
	file := writeFile(t, "message.eml", changed)
	if _, err := openssl(t, "cms", "-verify", "-in", file, "-inform", "SMIME", "-noverify"); err == nil {
		t.Error("openssl accepts changed content")
	}
	if _, err := Open(pec.Bytes(changed)); !errors.Is(err, ErrSignature) {
		t.Errorf("Open of changed content = %v, want %v", err, ErrSignature)
	}
}

func TestSealingIsRepeatable(t *testing.T) {
	p := newParty(t)
	first, s := sealed(t, p, testArtefact(testContent))
	second, _ := sealed(t, p, testArtefact(testContent))
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("the same draft, key and instant give other bytes:\n%s", diff)
	}
	if got := s.Size(); got != int64(len(first)) {
		t.Errorf("Size() = %d, want %d", got, len(first))
	}
	if got, want := s.Digest(), sha256.Sum256([]byte(testContent)); got != want {
		t.Errorf("Digest() = %x, want %x", got, want)
	}
	var body bytes.Buffer
	for range 2 {
		body.Reset()
		if err := s.WriteBody(&body); err != nil {
			t.Fatal(err)
		}
		if _, want, _ := bytes.Cut(first, []byte("\r\n\r\n")); !bytes.Equal(body.Bytes(), want) {
			t.Error("WriteBody writes another body than SealTo")
		}
	}
}

func TestContentInPiecesIsSealedAsOne(t *testing.T) {
	p := newParty(t)
	want, _ := sealed(t, p, testArtefact(testContent))
	for _, at := range []int{1, 40, len(testContent) / 2, len(testContent) - 1} {
		a := testArtefact("")
		a.Content = []pec.Source{pec.Bytes([]byte(testContent[:at])), pec.Bytes(nil), pec.Bytes([]byte(testContent[at:]))}
		if got, _ := sealed(t, p, a); !bytes.Equal(got, want) {
			t.Errorf("cut at %d: other bytes than in one piece", at)
		}
	}
}

func TestResumeMakesTheSameMessage(t *testing.T) {
	p := newParty(t)
	_, s := sealed(t, p, testArtefact(testContent))
	r, err := draft(t, testArtefact(testContent)).Resume(s.CMS())
	if err != nil {
		t.Fatal(err)
	}
	var want, got bytes.Buffer
	if err := errors.Join(s.WriteBody(&want), r.WriteBody(&got)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) || r.Digest() != s.Digest() {
		t.Error("the resumed message differs from the sealed one")
	}
}

func TestResumeRefusesAnotherSignature(t *testing.T) {
	p := newParty(t)
	_, s := sealed(t, p, testArtefact(testContent))
	other, _ := sealed(t, p, testArtefact(strings.Replace(testContent, "8 bit", "9 bit", 1)))
	opened, err := Open(pec.Bytes(other))
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(s.CMS())
	broken[len(broken)-1] ^= 1
	sha1, err := openssl(t, "cms", "-sign", "-binary", "-md", "sha1", "-in", writeFile(t, "c", []byte(testContent)),
		"-signer", p.certFile, "-inkey", p.keyFile, "-outform", "DER")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cms  []byte
		want error
	}{
		{"of other content", opened.CMS, ErrDigest},
		{"with a broken signature", broken, ErrSignature},
		{"cut short", s.CMS()[:100], ErrMalformed},
		{"over SHA-1", sha1, ErrSignature},
		{"none", nil, ErrMalformed},
	} {
		if _, err := draft(t, testArtefact(testContent)).Resume(c.cms); !errors.Is(err, c.want) {
			t.Errorf("Resume from a signature %s = %v, want %v", c.name, err, c.want)
		}
	}
}

func TestADraftIsUsedOnce(t *testing.T) {
	p := newParty(t)
	d := draft(t, testArtefact(testContent))
	s, err := d.SealTo(context.Background(), nil, p.key, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.SealTo(context.Background(), nil, p.key, now); !errors.Is(err, ErrUsed) {
		t.Errorf("sealing again = %v, want %v", err, ErrUsed)
	}
	if _, err := d.Resume(s.CMS()); !errors.Is(err, ErrUsed) {
		t.Errorf("resuming what was sealed = %v, want %v", err, ErrUsed)
	}
}

func TestNewDraftLintsTheHeader(t *testing.T) {
	conformance.Covers(t, "C001", "C011")
	set := func(name, value string) func(*pec.Artefact) {
		return func(a *pec.Artefact) {
			a.Header = append(a.Header.Without(name), pec.Field{Name: name, Value: value})
		}
	}
	add := func(name, value string) func(*pec.Artefact) {
		return func(a *pec.Artefact) { a.Header = append(a.Header, pec.Field{Name: name, Value: value}) }
	}
	drop := func(name string) func(*pec.Artefact) {
		return func(a *pec.Artefact) { a.Header = a.Header.Without(name) }
	}
	for name, change := range map[string]func(*pec.Artefact){
		"no content":           func(a *pec.Artefact) { a.Content = nil },
		"no kind":              func(a *pec.Artefact) { a.Kind = pec.KindNone },
		"another kind":         func(a *pec.Artefact) { a.Kind = pec.KindAnomaly },
		"receipt and envelope": add("X-Ricevuta", " accettazione"),
		"envelope twice":       add("X-Trasporto", " posta-certificata"),
		"receipt as envelope":  func(a *pec.Artefact) { a.Kind = pec.KindAcceptance },
		"no From":              drop("From"),
		"two From":             add("From", " <posta-certificata@alfa.example>"),
		"no Date":              drop("Date"),
		"no MIME-Version":      drop("MIME-Version"),
		"two Content-Type":     add("content-type", " text/plain"),
		"mixed":                set("Content-Type", ` multipart/mixed; boundary="`+testBoundary+`"`),
		"opaque":               set("Content-Type", " application/pkcs7-mime; smime-type=signed-data"),
		"another boundary":     func(a *pec.Artefact) { a.Boundary = "x" },
		"micalg sha1":          set("Content-Type", ` multipart/signed; protocol="application/pkcs7-signature"; micalg=sha1; boundary="`+testBoundary+`"`),
		"a field in a value":   add("X-Priority", " 3\r\nX-Ricevuta: accettazione"),
		"a bare LF in a value": add("X-Priority", " 3\n X-Y: z"),
		"a bare CR in a value": add("X-Priority", " 3\r X-Y: z"),
		"an open line end":     add("X-Priority", " 3\r\n"),
		"a name with a colon":  add("X-A: b\r\nX-C", " d"),
		"an empty name":        add("", " d"),
		"a name with a space":  add("X Y", " d"),
		"an overlong boundary": func(a *pec.Artefact) {
			a.Boundary = strings.Repeat("b", 71)
			set("Content-Type", ` multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="`+a.Boundary+`"`)(a)
		},
		"a boundary with a star": func(a *pec.Artefact) {
			a.Boundary = "a*b"
			set("Content-Type", ` multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="a*b"`)(a)
		},
	} {
		a := testArtefact(testContent)
		change(a)
		if _, err := NewDraft(a); !errors.Is(err, ErrLint) {
			t.Errorf("NewDraft with %s = %v, want %v", name, err, ErrLint)
		}
	}
}

func TestContentThatReadersCouldMistakeIsNotSealed(t *testing.T) {
	p := newParty(t)
	for name, content := range map[string]string{
		"the boundary":          strings.Replace(testContent, "--ceralacca\r\n", "--"+testBoundary+"\r\n", 1),
		"the boundary, longer":  strings.Replace(testContent, "--ceralacca\r\n", "--"+testBoundary+"x\r\n", 1),
		"the closing boundary":  strings.Replace(testContent, "--ceralacca\r\n", "--"+testBoundary+"--\r\n", 1),
		"the boundary at first": "--" + testBoundary + "\r\n" + testContent,
		"the boundary at last":  testContent + "--" + testBoundary,
		"a bare LF":             strings.Replace(testContent, " \r\n", " \n", 1),
		"a bare CR":             strings.Replace(testContent, "8 bit", "8\rbit", 1),
		"a bare CR at last":     testContent + "\r",
	} {
		if _, err := draft(t, testArtefact(content)).SealTo(context.Background(), nil, p.key, now); !errors.Is(err, ErrLint) {
			t.Errorf("sealing content with %s = %v, want %v", name, err, ErrLint)
		}
	}
}

func TestFromMustBeTheAddressOfTheCertificate(t *testing.T) {
	conformance.Covers(t, "C004")
	p := newParty(t)
	_, s := sealed(t, p, testArtefact(testContent))
	for _, from := range []string{" posta-certificata@beta.example", " a@alfa.example, posta-certificata@alfa.example", " nobody"} {
		a := testArtefact(testContent)
		a.Header = append(a.Header.Without("From"), pec.Field{Name: "From", Value: from})
		if _, err := draft(t, a).SealTo(context.Background(), nil, p.key, now); !errors.Is(err, ErrLint) {
			t.Errorf("sealing with From:%s = %v, want %v", from, err, ErrLint)
		}
		if _, err := draft(t, a).Resume(s.CMS()); !errors.Is(err, ErrLint) {
			t.Errorf("resuming with From:%s = %v, want %v", from, err, ErrLint)
		}
	}
}

// failing is a key that is broken in some way.
type failing struct {
	Key
	sign func(digest []byte) ([]byte, error)
}

func (f failing) Sign(_ context.Context, digest []byte) ([]byte, error) { return f.sign(digest) }

func TestAKeyThatFailsSealsNothing(t *testing.T) {
	p := newParty(t)
	gone := errors.New("the device is gone")
	other := newParty(t)
	for _, c := range []struct {
		name string
		sign func([]byte) ([]byte, error)
		want error
	}{
		{"that is gone", func([]byte) ([]byte, error) { return nil, gone }, gone},
		{"that signs something else", func([]byte) ([]byte, error) {
			return other.key.Sign(context.Background(), make([]byte, 32))
		}, ErrKey},
	} {
		_, err := draft(t, testArtefact(testContent)).SealTo(context.Background(), nil, failing{p.key, c.sign}, now)
		if !errors.Is(err, c.want) {
			t.Errorf("sealing with a key %s = %v, want %v", c.name, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := draft(t, testArtefact(testContent)).SealTo(ended, nil, p.key, now); !errors.Is(err, context.Canceled) {
		t.Errorf("sealing when it is too late = %v, want %v", err, context.Canceled)
	}
}

// opensslVerify asks OpenSSL what it thinks of a certificate.
func opensslVerify(t testing.TB, caFile, certFile string) error {
	t.Helper()
	out, err := exec.Command("openssl", "verify", "-CAfile", caFile, "-crl_check", "-purpose", "smimesign", certFile).CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	return nil
}
