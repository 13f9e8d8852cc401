package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// carry puts a file into the attachment of a letter.
func (l *letter) carry(t *testing.T, file string) *letter {
	t.Helper()
	var wrapped strings.Builder
	for text := base64.StdEncoding.EncodeToString([]byte(file)); text != ""; {
		n := min(76, len(text))
		wrapped.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	changed := strings.Replace(string(l.raw), "AAECAwQFBgcICQ==\r\n", wrapped.String(), 1)
	if changed == string(l.raw) {
		t.Fatal("the letter has no attachment to replace")
	}
	l.raw = []byte(changed)
	return l
}

// token is what everything about a letter contains.
func (l *letter) token() string { return strings.Trim(l.ref, "<>") }

// zipped is an archive with one file.
func zipped(t *testing.T, text string) string {
	t.Helper()
	return archive(t, &zip.FileHeader{Name: "file", Method: zip.Store, UncompressedSize64: uint64(len(text))}, text)
}

// locked is an archive that says of its one file that it is encrypted.
func locked(t *testing.T) string {
	t.Helper()
	return archive(t, &zip.FileHeader{Name: "file", Flags: 1, Method: zip.Store, UncompressedSize64: 20}, strings.Repeat(random(t), 2))
}

func archive(t *testing.T, header *zip.FileHeader, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header.CompressedSize64 = uint64(len(text))
	into, err := w.CreateRaw(header)
	if err == nil {
		_, err = io.WriteString(into, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// quarantined is the message of a host's quarantine that contains token, which must be the only one, and be readable by
// its owner only.
func quarantined(t *testing.T, host, token string) []byte {
	t.Helper()
	var found [][]byte
	folder := filepath.Join(env[host+"_STATE"], "quarantine")
	files, _ := filepath.Glob(filepath.Join(folder, "*.eml")) // the pattern is well formed
	for _, f := range append(files, folder) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", f, info.Mode())
		}
		if info.IsDir() {
			continue
		}
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(token)) {
			found = append(found, raw)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the quarantine of %s has %d messages about %s, want one", host, len(found), token)
	}
	return found[0]
}

// wantVirus checks a notice about a virus: sealed, of this error, naming the virus, without the original.
func wantVirus(t *testing.T, m *client.Message, subject string) *pec.CertData {
	t.Helper()
	parts, data := sealed(t, m)
	if data.Error != pec.ErrorVirus || parts.Original != nil {
		t.Errorf("%s: error %q, the original is there: %v", m.Kind(), data.Error, parts.Original != nil)
	}
	if text := plain(t, parts.Text); !strings.Contains(text, virus.EicarName) && !strings.Contains(text, "Only-Beta") {
		t.Errorf("the text does not name the virus:\n%s", text)
	}
	if got := pec.DecodeText(m.Header.Get("Subject")); !strings.HasPrefix(got, subject) {
		t.Errorf("the subject is %q, want %q", got, subject)
	}
	return data
}

// TestVirusAtSubmission: the sender is told, the message lies in the quarantine as it came, and nobody else hears of it.
func TestVirusAtSubmission(t *testing.T) {
	conformance.Covers(t, "C027", "C060", "C061", "C062", "C063", "C064", "C065", "C066", "C067")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	for _, file := range []string{virus.Eicar, zipped(t, virus.Eicar), zipped(t, zipped(t, virus.Eicar))} {
		l := write(t, mario.Address, []string{bruno}, nil).carry(t, file)
		submit(t, "ALFA", mario, l)
		found := settle(t, l.token(), map[string][]pec.Kind{mario.Address: {pec.KindNonAcceptance}})
		wantVirus(t, found[mario.Address][0], "AVVISO DI NON ACCETTAZIONE PER VIRUS: Richiesta di prova")
		if raw := quarantined(t, "ALFA", l.token()); !bytes.HasSuffix(raw, l.raw) {
			t.Errorf("the quarantine has\n%q\nwhich does not end with\n%q", raw, l.raw)
		}
	}
}

// TestVirusInAnEnvelope: its provider gets a take-charge receipt and a notice for each recipient; the recipients nothing.
func TestVirusInAnEnvelope(t *testing.T) {
	conformance.Covers(t, "C120", "C121", "C143", "C144", "C145", "C146", "C147", "C148", "C149", "C150", "C151")
	beta := env.Users("BETA")
	o := someone(t, "DELTA")
	e := o.draft(t, beta[0].Address, beta[1].Address)
	e.original.carry(t, zipped(t, virus.Eicar))
	e.raw = o.seal(t, o.compose(t, e))
	deliver(t, "BETA", e.from, []string{beta[0].Address, beta[1].Address}, e.raw)
	service := env["DELTA_MAIL_RECEIPT"]
	found := settle(t, e.token, map[string][]pec.Kind{service: {pec.KindTakeCharge, pec.KindVirusDetection, pec.KindVirusDetection}})
	var about []string
	for _, m := range found[service] {
		if m.Kind() == pec.KindVirusDetection {
			data := wantVirus(t, m, "PROBLEMA DI SICUREZZA: Richiesta di prova")
			about = append(about, data.Delivery.String())
		}
	}
	slices.Sort(about)
	if want := sorted(beta[0].Address, beta[1].Address); !slices.Equal(about, want) {
		t.Errorf("the notices are about %v, want %v", about, want)
	}
	if raw := quarantined(t, "BETA", e.token); !bytes.HasSuffix(raw, e.raw) {
		t.Error("the quarantine does not have the envelope as it came")
	}
}

// TestVirusInOrdinaryMail: it is refused in the session, without a notice.
func TestVirusInOrdinaryMail(t *testing.T) {
	conformance.Covers(t, "C122", "C123", "C143", "C145")
	bruno := env.Users("BETA")[0].Address
	l := write(t, gino(), []string{bruno}, nil).carry(t, zipped(t, virus.Eicar))
	err := env.Deliver("BETA", client.Mail{From: gino(), To: l.to, Data: bytes.NewReader(l.raw)})
	refuses(t, "ordinary mail with a virus", err, 550, "5.7.1")
	settle(t, l.token(), nil)
}

// TestAntivirusAway: while clamd is dead or does not answer, both points say "try later" and take nothing.
func TestAntivirusAway(t *testing.T) {
	conformance.Covers(t, "C060", "C122")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	for name, away := range map[string]func() (back func()){
		"killed": func() func() { return halt(t, "alfa-clamd") },
		"stopped": func() func() {
			signal(t, "alfa-clamd", syscall.SIGSTOP)
			t.Cleanup(func() { signal(t, "alfa-clamd", syscall.SIGCONT) })
			return func() { signal(t, "alfa-clamd", syscall.SIGCONT) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := write(t, mario.Address, []string{bruno}, nil)
			e := someone(t, "DELTA").envelope(t, mario.Address)
			log := daemonLog(t, "alfa-milter")
			back := away()
			login(t, "ALFA", mario).tempfails(l)
			converse(t, "ALFA", "MX_PORT").tempfails(&letter{from: e.from, to: []string{mario.Address}, raw: e.raw})
			if !strings.Contains(log(), "alarm=true") {
				t.Errorf("there is no alarm:\n%s", log())
			}
			settle(t, l.token(), nil)
			settle(t, e.token, nil)
			back()
			for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
				err := env.Submit("ALFA", mario, client.Mail{From: l.from, To: l.to, Data: bytes.NewReader(l.raw)})
				if err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("clamd is back, and: %v", err)
				}
			}
			settle(t, l.token(), exchange())
		})
	}
}

func signal(t *testing.T, name string, s syscall.Signal) {
	t.Helper()
	if err := world.Processes().Signal(name, s); err != nil {
		t.Fatal(err)
	}
}

// TestEncryptedArchive: it is no virus; it passes, and the envelope says that nobody could look into it.
func TestEncryptedArchive(t *testing.T) {
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, nil).carry(t, locked(t))
	submit(t, "ALFA", mario, l)
	found := settle(t, l.token(), exchange())
	parts, _ := sealed(t, found[bruno][0])
	if text := plain(t, parts.Text); !strings.Contains(text, "cifrata") {
		t.Errorf("the envelope does not warn:\n%s", text)
	}
	other := write(t, mario.Address, []string{bruno}, nil).carry(t, zipped(t, "open"))
	submit(t, "ALFA", mario, other)
	parts, _ = sealed(t, settle(t, other.token(), exchange())[bruno][0])
	if text := plain(t, parts.Text); strings.Contains(text, "cifrata") {
		t.Errorf("the envelope warns of nothing:\n%s", text)
	}
}

// TestVirusThatTheSenderMissed: beta's antivirus knows what alfa's does not, and alfa tells its user.
func TestVirusThatTheSenderMissed(t *testing.T) {
	conformance.Covers(t, "C152", "C153", "C154", "C155", "C156", "C157")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	secret := "only beta knows " + random(t)
	file := filepath.Join(env["BETA_CLAMD_DATABASE"], "beta.ndb")
	if err := os.WriteFile(file, []byte(virus.Signature("Only-Beta", secret)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	for end := time.Now().Add(patience); !strings.Contains(clamd(t, "BETA", secret), "Only-Beta"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("beta's clamd does not learn the signature")
		}
	}
	l := write(t, mario.Address, []string{bruno}, nil).carry(t, zipped(t, secret))
	submit(t, "ALFA", mario, l)
	service := env.Login("ALFA_SERVICE_USER").Address
	found := settle(t, l.token(), map[string][]pec.Kind{
		mario.Address: {pec.KindAcceptance, pec.KindNonDelivery}, service: {pec.KindTakeCharge, pec.KindVirusDetection},
	})
	data := wantVirus(t, pick(t, found[mario.Address], pec.KindNonDelivery), "AVVISO DI MANCATA CONSEGNA PER VIRUS: Richiesta di prova")
	if data.Delivery == nil || data.Delivery.String() != bruno {
		t.Errorf("the notice is about %v, want %s", data.Delivery, bruno)
	}
	quarantined(t, "BETA", l.token())
}

// clamd asks a host's clamd about a text, after having it read its signatures.
func clamd(t *testing.T, host, text string) string {
	t.Helper()
	talk := func(b []byte) string {
		conn, err := net.Dial("unix", env[host+"_CLAMD_SOCKET"])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(b) // the answer says what became of it
		answer, _ := io.ReadAll(conn)
		return string(answer)
	}
	talk([]byte("zRELOAD\x00"))
	b := binary.BigEndian.AppendUint32([]byte("zINSTREAM\x00"), uint32(len(text)))
	return talk(append(append(b, text...), 0, 0, 0, 0))
}
