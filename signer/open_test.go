package signer

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func readAll(t testing.TB, s pec.Source) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// opens asserts that a message opens to a content, and that OpenSSL reads the same in it.
func opens(t *testing.T, p *party, message, content string) *pec.SignedMessage {
	t.Helper()
	got, err := Open(pec.Bytes([]byte(message)))
	if err != nil {
		t.Fatalf("Open: %v\n%s", err, message)
	}
	if diff := cmp.Diff(content, readAll(t, got.Content)); diff != "" {
		t.Errorf("the content differs (-want +got):\n%s", diff)
	}
	if want := sha256.Sum256([]byte(content)); got.Digest != want {
		t.Errorf("Digest = %x, want %x", got.Digest, want)
	}
	if !got.Signer.Equal(p.cert) {
		t.Errorf("the signer is %s, want %s", got.Signer.Subject, p.cert.Subject)
	}
	read, err := openssl(t, "cms", "-verify", "-in", writeFile(t, "m", []byte(message)), "-inform", "SMIME", "-CAfile", p.caFile)
	if err != nil {
		t.Errorf("openssl does not verify what Open does: %v", err)
	} else if string(read) != content {
		t.Errorf("openssl reads %q, want %q", read, content)
	}
	return got
}

func TestOpenReadsTheMIMEOfOthers(t *testing.T) {
	conformance.Covers(t, "C104", "C109", "C256")
	p := newParty(t)
	base := newFixture(testContent, cmsOf(t, p, testContent))
	boundary := `boundary="` + boundaryOfOthers + `"`
	for name, change := range map[string]func(*fixture){
		"as OpenSSL writes it": func(f *fixture) {},
		"pkcs7 without the x": func(f *fixture) {
			f.contentType = ` multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; ` + boundary
			f.partHeader = strings.ReplaceAll(f.partHeader, "x-pkcs7", "pkcs7")
		},
		"x in one place only": func(f *fixture) {
			f.partHeader = strings.ReplaceAll(f.partHeader, "x-pkcs7", "pkcs7")
		},
		"bare parameters": func(f *fixture) {
			f.contentType = ` multipart/signed; protocol=application/pkcs7-signature; micalg=sha1; boundary=` + boundaryOfOthers
		},
		"folded with a tab": func(f *fixture) {
			f.contentType = " multipart/signed;\r\n\tprotocol=\"application/pkcs7-signature\";\r\n\tmicalg=\"SHA1\";\r\n\t" + boundary
		},
		"a trailing semicolon":  func(f *fixture) { f.contentType += "; " },
		"a folded trailing one": func(f *fixture) { f.contentType += "; \r\n\t" },
		"other case": func(f *fixture) {
			f.contentType = strings.Replace(f.contentType, "multipart/signed; protocol", "Multipart/Signed; PROTOCOL", 1)
		},
		"micalg of another sort":  func(f *fixture) { f.contentType = strings.Replace(f.contentType, `"sha1"`, "rsa-sha256", 1) },
		"no micalg":               func(f *fixture) { f.contentType = strings.Replace(f.contentType, `micalg="sha1"; `, "", 1) },
		"no protocol":             func(f *fixture) { f.contentType = ` multipart/signed; ` + boundary },
		"a report type besides":   func(f *fixture) { f.contentType += "; report-type=x" },
		"a preamble":              func(f *fixture) { f.preamble = "This is an S/MIME signed message\r\n\r\n" },
		"another preamble":        func(f *fixture) { f.preamble = "This is a S/MIME signed message\r\n----\r\n" },
		"an epilogue":             func(f *fixture) { f.epilogue = "\r\nthe end\r\n--\r\n" },
		"white space in the name": func(f *fixture) { f.fields += "X-Y : z\r\n" },
		"an encoding of identity": func(f *fixture) { f.fields += "Content-Transfer-Encoding: 7bit\r\n" },
		"encoding in other case":  func(f *fixture) { f.partHeader = strings.Replace(f.partHeader, "base64", "Base64", 1) },
		"a folded part header":    func(f *fixture) { f.partHeader = strings.Replace(f.partHeader, "; name", ";\r\n\tname", 1) },
		"base64 in one line": func(f *fixture) {
			f.signature = strings.ReplaceAll(f.signature[:900], "\r\n", "") + f.signature[900:]
		},
		"base64 in 76 columns": func(f *fixture) {
			one := strings.ReplaceAll(f.signature, "\r\n", "")
			f.signature = one[:76] + "\r\n" + one[76:152] + "\r\n" + lines(one[152:])
		},
		"blank lines around base64":    func(f *fixture) { f.signature += "\r\n\r\n" },
		"white space after delimiters": func(f *fixture) { f.padding = " \t" },
		"fields of gateways":           func(f *fixture) { f.fields = "Delivered-To: x@y.example\r\nX-REM-Subject: z\r\n" + f.fields },
	} {
		t.Run(name, func(t *testing.T) { opens(t, p, base.with(change).String(), testContent) })
	}
	t.Run("no line end at last", func(t *testing.T) {
		opens(t, p, strings.TrimSuffix(base.String(), "\r\n"), testContent)
	})
}

func TestOpenReadsWhatOpenSSLWrites(t *testing.T) {
	conformance.Covers(t, "C104", "C109", "C256")
	p := newParty(t)
	content := writeFile(t, "content", []byte(testContent))
	for _, args := range [][]string{
		{"cms"}, {"smime"}, {"cms", "-md", "sha1"}, {"smime", "-md", "sha1"}, {"cms", "-md", "sha384"}, {"cms", "-md", "sha512"},
		{"cms", "-nosmimecap"}, {"cms", "-certfile", p.caFile}, {"cms", "-cades"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			args = append(args, "-sign", "-binary", "-crlfeol", "-in", content, "-signer", p.certFile, "-inkey", p.keyFile, "-outform", "SMIME")
			message, err := openssl(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(strings.ReplaceAll(string(message), "\r\n", "\n"), "\n", "\r\n")
			opens(t, p, text, testContent)
		})
	}
}

func TestOpenReadsTheCMSOfOthers(t *testing.T) {
	conformance.Covers(t, "C002", "C109", "C256", "C257")
	p := newParty(t)
	plain := cmsOf(t, p, testContent)
	rsaOID := []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}
	withHash := func(last byte) []byte { return append(bytes.Clone(rsaOID[:10]), last) }
	sha1 := cmsOf(t, p, testContent, "-md", "sha1")
	for name, cms := range map[string][]byte{
		"DER":                         plain,
		"SHA-1":                       sha1,
		"BER without lengths":         indefinite(t, plain, false, p.cert.Raw),
		"BER in pieces":               indefinite(t, plain, true, p.cert.Raw),
		"BER over SHA-1":              indefinite(t, sha1, false, p.cert.Raw),
		"sha256WithRSAEncryption":     replaceLast(plain, rsaOID, withHash(0x0b)),
		"sha1WithRSAEncryption":       replaceLast(sha1, rsaOID, withHash(0x05)),
		"with the certificate of CA":  cmsOf(t, p, testContent, "-certfile", p.caFile),
		"without capabilities":        cmsOf(t, p, testContent, "-nosmimecap"),
		"with a receipt as attribute": cmsOf(t, p, testContent, "-cades"),
	} {
		t.Run(name, func(t *testing.T) {
			got := opens(t, p, newFixture(testContent, cms).String(), testContent)
			if age := now.Sub(got.SigningTime).Abs(); age > time.Hour {
				t.Errorf("the signing time is %s, want about %s", got.SigningTime, now)
			}
		})
	}
}

func TestContentOfManySizesIsHashedWhole(t *testing.T) {
	p := newParty(t)
	for _, size := range []int{0, 1, 2, bufferSize - 70, bufferSize - 2, bufferSize - 1, bufferSize, bufferSize + 1, 3*bufferSize + 17} {
		for _, line := range []int{78, 3, 1 << 30} {
			content := longContent(size, line)
			a := testArtefact(content)
			message, _ := sealed(t, p, a)
			got, err := Open(pec.Bytes(message))
			if err != nil {
				t.Errorf("Open of %d bytes in lines of %d: %v", size, line, err)
			} else if readAll(t, got.Content) != content {
				t.Errorf("%d bytes in lines of %d come back as others", size, line)
			}
		}
	}
}

// longContent has size bytes in lines of that many bytes, each with hyphens at its start.
func longContent(size, line int) string {
	text := bytes.Repeat([]byte("-"), size)
	for i := line - 1; i < size; i += line {
		if i > 0 {
			text[i-1], text[i] = '\r', '\n'
		}
	}
	return string(text)
}

// TestDelimitersAreFoundWherePiecesMeet moves the end of the content over every offset near the end of a buffer.
func TestDelimitersAreFoundWherePiecesMeet(t *testing.T) {
	p := newParty(t)
	for shift := -200; shift <= 40; shift++ {
		content := strings.Repeat("x", bufferSize+shift)
		message, _ := sealed(t, p, testArtefact(content))
		if _, err := Open(pec.Bytes(message)); err != nil {
			t.Fatalf("content of %d bytes: %v", len(content), err)
		}
	}
}

func TestOpenRefusesWhatIsNotSigned(t *testing.T) {
	conformance.Covers(t, "C104")
	for name, field := range map[string]string{
		"no type":             "",
		"plain text":          "Content-Type: text/plain\r\n",
		"plain text twice":    "Content-Type: text/plain\r\nContent-Type: text/plain\r\n",
		"mixed":               "Content-Type: multipart/mixed; boundary=x\r\n",
		"opaque":              "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n",
		"signed with OpenPGP": "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=x\r\n",
	} {
		_, err := Open(pec.Bytes([]byte("From: a@b.example\r\n" + field + "\r\n--x\r\n\r\n--x--\r\n")))
		if !errors.Is(err, ErrNotSigned) {
			t.Errorf("Open of a message of %s = %v, want %v", name, err, ErrNotSigned)
		}
	}
}

// TestOpenRefusesWhatReadersReadInTwoWays: the messages carry a good signature that some reader would find.
func TestOpenRefusesWhatReadersReadInTwoWays(t *testing.T) {
	conformance.Covers(t, "C104", "C109")
	p := newParty(t)
	base := newFixture(testContent, cmsOf(t, p, testContent))
	delimiter := "--" + boundaryOfOthers
	forged := "Content-Type: text/plain\r\n\r\nforged\r\n"
	for name, change := range map[string]func(*fixture){
		"two types":                  func(f *fixture) { f.fields += "Content-Type: text/plain\r\n" },
		"two types, one obsolete":    func(f *fixture) { f.fields += "content-type : multipart/mixed; boundary=inner\r\n" },
		"two boundaries":             func(f *fixture) { f.contentType += "; boundary=inner" },
		"two boundaries in case":     func(f *fixture) { f.contentType += "; Boundary=inner" },
		"a continued boundary":       func(f *fixture) { f.contentType += "; boundary*0=inner" },
		"an encoded boundary":        func(f *fixture) { f.contentType += "; boundary*=us-ascii''inner" },
		"an escaped boundary":        func(f *fixture) { f.contentType = strings.Replace(f.contentType, "Part", `\Part`, 1) },
		"a comment":                  func(f *fixture) { f.contentType = strings.Replace(f.contentType, "micalg", "(x)micalg", 1) },
		"an empty boundary":          func(f *fixture) { f.contentType = strings.Replace(f.contentType, boundaryOfOthers, "", 1) },
		"no boundary":                func(f *fixture) { f.contentType = ` multipart/signed; protocol="application/pkcs7-signature"` },
		"a boundary without end":     func(f *fixture) { f.contentType = strings.TrimSuffix(f.contentType, `"`) },
		"text after a boundary":      func(f *fixture) { f.contentType += "x" },
		"a transfer encoding":        func(f *fixture) { f.fields += "Content-Transfer-Encoding: base64\r\n" },
		"two transfer encodings":     func(f *fixture) { f.fields += "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n" },
		"a part before":              func(f *fixture) { f.preamble = delimiter + "\r\n" + forged },
		"a part between":             func(f *fixture) { f.between = "\r\n" + delimiter + "\r\n" + forged },
		"a part after":               func(f *fixture) { f.epilogue = delimiter + "\r\n" + forged + delimiter + "--\r\n" },
		"another end":                func(f *fixture) { f.epilogue = delimiter + "--\r\n" },
		"an end between":             func(f *fixture) { f.between = "\r\n" + delimiter + "--\r\n" },
		"an end before":              func(f *fixture) { f.preamble = delimiter + "--\r\n" },
		"a longer delimiter within":  func(f *fixture) { f.content += delimiter + "x\r\n" },
		"a longer delimiter before":  func(f *fixture) { f.preamble = delimiter + "x\r\n" + forged },
		"a delimiter after bare LF":  func(f *fixture) { f.between = "\n" + delimiter + "\n" + forged },
		"a delimiter after bare CR":  func(f *fixture) { f.between = "\r" + delimiter + "\r" + forged },
		"a bare LF in the content":   func(f *fixture) { f.content = strings.Replace(f.content, "\r\n", "\n", 1) },
		"a bare CR in the content":   func(f *fixture) { f.content = strings.Replace(f.content, " \r\n", "\r\r\n", 1) },
		"a bare LF in the header":    func(f *fixture) { f.fields += "X-Y: z\nX-Z: y\r\n" },
		"a bare CR in the header":    func(f *fixture) { f.fields += "X-Y: z\rX-Z: y\r\n" },
		"a bare CR at the very end":  func(f *fixture) { f.epilogue = "\r" },
		"much after a delimiter":     func(f *fixture) { f.padding = strings.Repeat(" ", 70) },
		"a delimiter in the header":  func(f *fixture) { f.fields += delimiter + "\r\n" },
		"another type of signature":  func(f *fixture) { f.partHeader = strings.ReplaceAll(f.partHeader, "x-pkcs7-signature", "octet-stream") },
		"two types of the signature": func(f *fixture) { f.partHeader += "Content-Type: text/plain\r\n" },
		"signature not in base64":    func(f *fixture) { f.partHeader = strings.Replace(f.partHeader, "base64", "binary", 1) },
		"signature of no encoding":   func(f *fixture) { f.partHeader = "Content-Type: application/pkcs7-signature\r\n" },
		"signature of two encodings": func(f *fixture) { f.partHeader += "Content-Transfer-Encoding: base64\r\n" },
		"junk within base64":         func(f *fixture) { f.signature = "!" + f.signature },
		"junk after base64":          func(f *fixture) { f.signature += "AAAA" },
		"no signature":               func(f *fixture) { f.signature = "" },
		"an overlong signature":      func(f *fixture) { f.signature = strings.Repeat(f.signature, 200) },
		"blank lines for ever":       func(f *fixture) { f.signature += strings.Repeat("\r\n", 200000) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(pec.Bytes([]byte(base.with(change).String()))); !errors.Is(err, ErrMalformed) {
				t.Errorf("Open = %v, want %v", err, ErrMalformed)
			}
		})
	}
	whole := base.String()
	for name, message := range map[string]string{
		"cut in the content":   whole[:strings.Index(whole, "trailing")],
		"cut in the signature": whole[:len(whole)-500],
		"without its end":      strings.Replace(whole, delimiter+"--", "", 1),
		"cut in a delimiter":   whole[:len(whole)-5],
		"saved with LF":        strings.ReplaceAll(whole, "\r\n", "\n"),
		"empty content":        strings.Replace(whole, testContent+"\r\n", "", 1),
	} {
		if _, err := Open(pec.Bytes([]byte(message))); !errors.Is(err, ErrMalformed) {
			t.Errorf("Open of a message %s = %v, want %v", name, err, ErrMalformed)
		}
	}
}

func TestOpenRefusesSignaturesThatDoNotCount(t *testing.T) {
	conformance.Covers(t, "C002", "C109", "C256")
	p := newParty(t)
	second := newParty(t)
	second.cert = second.root.issue(t, rsaKey(t, "second"), 8)
	certFile, keyFile := writeFile(t, "c", pemCerts(second.cert)), writeFile(t, "k", pemKey(t, rsaKey(t, "second")))
	plain := cmsOf(t, p, testContent)
	rsaOID := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}
	flipped := bytes.Clone(plain)
	flipped[len(flipped)-1] ^= 1
	attached := cmsOf(t, p, testContent, "-nodetach")
	for _, c := range []struct {
		name string
		cms  []byte
		want error
	}{
		{"of other content", cmsOf(t, p, testContent+"\r\n"), ErrSignature},
		{"with a bit changed", flipped, ErrSignature},
		{"over MD5", cmsOf(t, p, testContent, "-md", "md5"), ErrSignature},
		{"without signed attributes", cmsOf(t, p, testContent, "-noattr"), ErrSignature},
		{"without the certificate", cmsOf(t, p, testContent, "-nocerts"), ErrSignature},
		{"by two signers", cmsOf(t, p, testContent, "-signer", certFile, "-inkey", keyFile), ErrSignature},
		{"by key identifier", cmsOf(t, p, testContent, "-keyid"), ErrSignature},
		{"with PSS", cmsOf(t, p, testContent, "-keyopt", "rsa_padding_mode:pss"), ErrSignature},
		{"with an algorithm of another hash", replaceLast(plain, rsaOID, append(bytes.Clone(rsaOID[:8]), 0x05)), ErrSignature},
		{"with its own content", attached, ErrMalformed},
		{"of something typed", cmsOf(t, p, testContent, "-econtent_type", "id-smime-ct-receipt"), ErrMalformed},
		{"followed by bytes", append(bytes.Clone(plain), 0, 0), ErrMalformed},
		{"cut short", plain[:len(plain)-1], ErrMalformed},
		{"that is text", []byte("signature"), ErrMalformed},
		{"that is a certificate", p.cert.Raw, ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(pec.Bytes([]byte(newFixture(testContent, c.cms).String())))
			if !errors.Is(err, c.want) {
				t.Errorf("Open of a signature %s = %v, want %v", c.name, err, c.want)
			}
		})
	}
}

func TestEveryByteOfTheContentIsCovered(t *testing.T) {
	p := newParty(t)
	message := []byte(newFixture(testContent, cmsOf(t, p, testContent)).String())
	start := bytes.Index(message, []byte(testContent))
	for i := range testContent {
		message[start+i] ^= 1
		if _, err := Open(pec.Bytes(message)); err == nil {
			t.Errorf("Open accepts another byte at offset %d of the content, %q", i, testContent[i])
		}
		message[start+i] ^= 1
	}
}

func TestOpenTellsTroubleFromFault(t *testing.T) {
	p := newParty(t)
	message := newFixture(testContent, cmsOf(t, p, testContent, "-md", "sha1")).String()
	for after := range int64(20) {
		src := &unreliable{Source: pec.Bytes([]byte(message)), good: after}
		_, err := Open(src)
		if src.good >= 0 {
			if err != nil {
				t.Fatal(err)
			}
			if after < 3 {
				t.Errorf("it was read %d times only: this test proves nothing", after)
			}
			return
		}
		if !errors.Is(err, errBroken) || errors.Is(err, ErrMalformed) || errors.Is(err, ErrSignature) || errors.Is(err, ErrNotSigned) {
			t.Errorf("Open when reading fails after %d times = %v, want only %v", after, err, errBroken)
		}
	}
	t.Error("Open never came to an end")
}

var errBroken = errors.New("input/output error")

// unreliable fails after so many good readings.
type unreliable struct {
	pec.Source
	good int64
}

func (u *unreliable) ReadAt(b []byte, off int64) (int, error) {
	if u.good--; u.good < 0 {
		return 0, errBroken
	}
	return u.Source.ReadAt(b, off)
}

func TestOpenAttachedOpensTheDirectory(t *testing.T) {
	conformance.Covers(t, "C211", "C257")
	p := newParty(t)
	ldif := strings.Repeat("dn: o=postacert\r\nobjectClass: provider\r\n\r\n", 3000)
	plain := cmsOf(t, p, ldif, "-nodetach")
	streamed := cmsOf(t, p, ldif, "-nodetach", "-stream")
	if streamed[1] != 0x80 {
		t.Fatal("openssl does not stream: this test proves less than it says")
	}
	for name, cms := range map[string][]byte{
		"DER": plain, "BER": streamed, "BER in pieces": indefinite(t, cmsOf(t, p, "short", "-nodetach"), true, p.cert.Raw),
		"with the authority": cmsOf(t, p, ldif, "-nodetach", "-certfile", p.caFile),
	} {
		want := ldif
		if name == "BER in pieces" {
			want = "short"
		}
		content, signer, certs, err := OpenAttached(cms)
		if err != nil {
			t.Errorf("OpenAttached of %s: %v", name, err)
			continue
		}
		if string(content) != want || !signer.Equal(p.cert) || len(certs) == 0 {
			t.Errorf("OpenAttached of %s = %d bytes by %s, want %d by %s", name, len(content), signer.Subject, len(want), p.cert.Subject)
		}
	}
	tampered := bytes.Replace(plain, []byte("o=postacert"), []byte("o=postacerT"), 1)
	for _, c := range []struct {
		name string
		cms  []byte
		want error
	}{
		{"changed content", tampered, ErrSignature},
		{"no signed attributes", cmsOf(t, p, ldif, "-nodetach", "-noattr"), ErrSignature},
		{"MD5", cmsOf(t, p, ldif, "-nodetach", "-md", "md5"), ErrSignature},
		{"no content", cmsOf(t, p, ldif), ErrMalformed},
		{"no CMS", []byte(ldif), ErrMalformed},
		{"nothing", nil, ErrMalformed},
	} {
		if _, _, _, err := OpenAttached(c.cms); !errors.Is(err, c.want) {
			t.Errorf("OpenAttached with %s = %v, want %v", c.name, err, c.want)
		}
	}
}

func TestDeepNestingIsRefusedAtOnce(t *testing.T) {
	deep := bytes.Repeat([]byte{0x30, 0x80}, 2<<20) // 4 MB, which overflow the stack of a decoder that calls itself
	started := time.Now()
	if _, _, _, err := OpenAttached(deep); !errors.Is(err, ErrMalformed) {
		t.Errorf("OpenAttached of 4 MB of nesting = %v, want %v", err, ErrMalformed)
	}
	text := lines(base64.StdEncoding.EncodeToString(deep))
	message := newFixture(testContent, nil).with(func(f *fixture) { f.signature = text }).String()
	if _, err := Open(pec.Bytes([]byte(message))); !errors.Is(err, ErrMalformed) {
		t.Errorf("Open with 4 MB of nesting = %v, want %v", err, ErrMalformed)
	}
	small := newFixture(testContent, bytes.Repeat([]byte{0x30, 0x80}, maxCMS/2)).String()
	if _, err := Open(pec.Bytes([]byte(small))); !errors.Is(err, ErrMalformed) {
		t.Errorf("Open with 64 KiB of nesting = %v, want %v", err, ErrMalformed)
	}
	if d := time.Since(started); d > 5*time.Second {
		t.Errorf("refusing them took %s", d)
	}
}

func TestDigestsOfOtherAlgorithmsAreOfTheSameContent(t *testing.T) {
	content := pec.Bytes([]byte(longContent(3*bufferSize, 70)))
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA512} {
		got, err := digestSource(content, h)
		want := h.New()
		fmt.Fprint(want, readAll(t, content))
		if err != nil || !bytes.Equal(got, want.Sum(nil)) {
			t.Errorf("digestSource with %v = %x, %v", h, got, err)
		}
	}
}
