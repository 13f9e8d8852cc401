package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// TestEveryCertificateOfTheDirectoryIsGood: while a certificate is renewed, envelopes under the old and under the new one are
// both valid; and so is one of a secondary environment, whose receipts and take-charge go where its own record says.
func TestEveryCertificateOfTheDirectoryIsGood(t *testing.T) {
	conformance.Covers(t, "C105", "C129", "C209", "C210", "C221")
	to := env.Users("ALFA")[0].Address
	for _, name := range []string{"DELTA", "DELTA_NEXT"} {
		e := someone(t, name).envelope(t, to)
		deliver(t, "ALFA", e.from, []string{to}, e.raw)
		settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
	}
	e := environment(t, env["DELTA_UNIT_DOMAIN"], to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, e.from: {pec.KindDelivery}, env["DELTA_UNIT_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
	// The environment does not answer for the domain of the main one.
	e = environment(t, env["DELTA_DOMAIN"], to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[to][0], e.raw, pec.ProblemRouting)
}

// environment makes an envelope of delta's secondary environment, from somebody of a domain.
func environment(t *testing.T, domain, to string) *envelope {
	t.Helper()
	key, err := signer.LoadKey(env["DELTA_UNIT_CERT"], env["DELTA_UNIT_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	o := &outsider{pec.Provider{Name: env["DELTA_PROVIDER"], Address: address(t, env["DELTA_UNIT_PEC_ADDRESS"])}, key}
	e := o.draft(t, to)
	e.from = "ugo@" + domain
	e.original = write(t, e.from, []string{to}, nil)
	e.token, _, _ = strings.Cut(strings.Trim(e.original.ref, "<>"), "@")
	e.data.Sender, e.data.ReplyTo, e.data.MessageID = address(t, e.from), e.from, e.original.ref
	e.data.Identifier = pec.Identifier(e.token + e.token + "@" + domain)
	e.raw = o.seal(t, o.compose(t, e))
	return e
}

// publishDirectory signs LDIF as the lab does and puts it where both providers find it. It returns its SHA-256.
func publishDirectory(t *testing.T, ldif string) string {
	t.Helper()
	dir := t.TempDir()
	plain, p7m := filepath.Join(dir, "igpec.ldif"), filepath.Join(dir, "igpec.ldif.p7m")
	if err := os.WriteFile(plain, []byte(ldif), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "cms", "-sign", "-nodetach", "-binary", "-md", "sha256", "-in", plain, "-signer", env["DIRECTORY_SIGNER_CERT"],
		"-inkey", env["DIRECTORY_SIGNER_KEY"], "-outform", "DER", "-out", p7m).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	file, err := os.ReadFile(p7m)
	if err != nil {
		t.Fatal(err)
	}
	next := env["DIRECTORY_P7M"] + ".next" // put there as a whole, as whoever serves it sees it
	if err := os.WriteFile(next, file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, env["DIRECTORY_P7M"]); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// commandOf runs a command of the program on the configuration of a host.
func commandOf(t *testing.T, host string, words ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(env["LAB_BIN"], append(words, "--config", env[host+"_CONFIG"])...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestTheDirectoryIsUpdatedWhileMailRuns: a new provider is certified at once when the agent is told to look, in the milter
// too; a version that lacks delta waits, with alarm and metric, while delta's mail is still good; after a person has accepted
// it, it is an anomaly; and verify says by the kept versions what was right before and what after.
func TestTheDirectoryIsUpdatedWhileMailRuns(t *testing.T) {
	conformance.Covers(t, "C030", "C105", "C213")
	plain, err := os.ReadFile(strings.TrimSuffix(env["DIRECTORY_P7M"], ".p7m"))
	if err != nil {
		t.Fatal(err)
	}
	first := string(plain)
	t.Cleanup(func() { // the other tests have all providers
		publishDirectory(t, first)
		for _, host := range []string{"ALFA", "BETA"} {
			code, out := commandOf(t, host, "directory", "update", "--json")
			if _, digest, waits := strings.Cut(out, `"waiting":{"sha256":"`); waits {
				code, out = commandOf(t, host, "directory", "update", "--accept", digest[:64])
			}
			if code != 0 {
				t.Errorf("putting the directory of %s back: %s", host, out)
			}
		}
	})
	to := env.Users("ALFA")[0].Address
	letter := "\ndn: providerName=Epsilon,o=postacert\nobjectClass: top\nobjectClass: provider\nproviderName: Epsilon\n" +
		"mailReceipt: r@epsilon.example\nmanagedDomains: epsilon.example\n"
	stranger := attributes(t, env["LAB_STRANGER_CERT"])
	publishDirectory(t, first+letter+stranger)
	if code, out := commandOf(t, "ALFA", "directory", "update"); code != 0 || !strings.Contains(out, `"Epsilon" is new`) {
		t.Fatalf("update: %d\n%s", code, out)
	}
	followed(t, "ALFA", "x@epsilon.example", true)

	const alarm = `ceralacca_alarms_total{alarm="directory"}`
	before := metric(t, "ALFA", "METRICS_PORT", alarm)
	from := strings.Index(first, "\ndn: providerName="+env["DELTA_PROVIDER"])
	digest := publishDirectory(t, first[:from]+letter+stranger)
	code, out := commandOf(t, "ALFA", "directory", "update")
	if code != 1 || !strings.Contains(out, "--accept "+digest) || !strings.Contains(out, `"Delta PEC" is gone`) {
		t.Fatalf("update with a loss: %d\n%s", code, out)
	}
	becomes(t, "the metric that one waits", patience, func() bool { return metric(t, "ALFA", "METRICS_PORT", "ceralacca_directory_waiting") == 1 })
	if metric(t, "ALFA", "METRICS_PORT", alarm) <= before {
		t.Error("a version waits, and there is no alarm")
	}
	e := someone(t, "DELTA").envelope(t, to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	settle(t, e.token, map[string][]pec.Kind{to: {pec.KindTransport}, dora(): {pec.KindDelivery}, env["DELTA_MAIL_RECEIPT"]: {pec.KindTakeCharge}})
	provider := time.Now()

	if code, out := commandOf(t, "ALFA", "directory", "update", "--accept", digest); code != 0 {
		t.Fatalf("update --accept: %d\n%s", code, out)
	}
	followed(t, "ALFA", dora(), false)
	e = someone(t, "DELTA").envelope(t, to)
	deliver(t, "ALFA", e.from, []string{to}, e.raw)
	found := settle(t, e.token, map[string][]pec.Kind{to: {pec.KindAnomaly}})
	wantAnomaly(t, "ALFA", found[to][0], e.raw, pec.ProblemUnknownSigner)
	gone := time.Now()
	publishDirectory(t, first) // what was gone is back: nothing is lost by that but Epsilon, which a person accepts too
	_, out = commandOf(t, "ALFA", "directory", "update")
	if _, rest, waits := strings.Cut(out, "--accept "); waits {
		commandOf(t, "ALFA", "directory", "update", "--accept", rest[:64])
	}
	followed(t, "ALFA", dora(), true)
	if code, out := commandOf(t, "ALFA", "directory", "history"); code != 0 || strings.Count(out, "\n") < 4 || !strings.Contains(out, digest) {
		t.Errorf("history: %d\n%s", code, out)
	}
	wasRight(t, e.raw, provider, 0)
	wasRight(t, e.raw, gone, 1)
}

// wasRight asks alfa's kept directories about a message as of an instant.
func wasRight(t *testing.T, message []byte, at time.Time, want int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, message, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := commandOf(t, "ALFA", "verify", file, "--at", at.Format(time.RFC3339Nano)); code != want || !strings.Contains(out, "the version in force then") {
		t.Errorf("verify as of %s: %d, want %d\n%s", at, code, want, out)
	}
}

// attributes are those of a certificate in LDIF, made by others than we test.
func attributes(t *testing.T, file string) string {
	t.Helper()
	der, err := exec.Command("sh", "-c", `printf 'providerCertificateHash: '; openssl x509 -in "$0" -outform DER | sha1sum | cut -d' ' -f1;
printf 'providerCertificate;binary:: '; openssl x509 -in "$0" -outform DER | base64 -w0; echo`, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

// followed waits until the milter of a host takes mail to an address for certified, or not: as the acceptance receipts say.
func followed(t *testing.T, host, to string, certified bool) {
	t.Helper()
	becomes(t, "the milter of "+host+" follows its agent", patience, func() bool {
		user := env.Users(host)[0]
		l := write(t, user.Address, []string{to}, nil)
		submit(t, host, user, l)
		var receipt *client.Message
		becomes(t, "the acceptance", patience, func() bool {
			found, err := env.About(l.ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range found[user.Address] {
				if m.Kind() == pec.KindAcceptance {
					receipt = m
				}
			}
			return receipt != nil
		})
		_, data := sealed(t, receipt)
		return (data.Recipients[0].Type == pec.Certified) == certified
	})
}
