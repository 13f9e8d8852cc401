package clock

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// The lab of this package. Its tests run one after the other: all of them move its clock, and only forward.
var (
	world  *lab.Lab
	env    client.Env
	binary string
	delta  *client.Sink // takes the mail for delta, and certifies nothing by itself
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "clock")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = start(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = errors.Join(delta.Close(), world.Stop()) }()
	code := m.Run()
	if code != 0 {
		for _, name := range []string{"alfa-lda", "alfa-milter"} {
			text, _ := os.ReadFile(filepath.Join(dir, "lab", "log", name+".log")) // for people
			fmt.Fprintf(os.Stderr, "--- %s\n%s\n", name, text[max(0, len(text)-8000):])
		}
	}
	return code
}

func start(dir string) error {
	binary = filepath.Join(dir, "ceralacca")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/ceralacca/ceralacca/cmd/ceralacca")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	var err error
	if world, err = lab.Start(context.Background(), lab.Options{Dir: filepath.Join(dir, "lab"), Bin: binary, Daemons: true}); err != nil {
		return err
	}
	env = client.ParseEnv(world.Env())
	delta, err = env.ListenSink(nil)
	return err
}

// ahead is how far the lab's clock is ahead.
func ahead(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(env["LAB_CLOCK"])
	if err != nil {
		t.Fatal(err)
	}
	by, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return by
}

// pass moves the lab's clock to so long after an instant of it.
func pass(t *testing.T, start, after time.Duration) {
	t.Helper()
	if err := os.WriteFile(env["LAB_CLOCK"], []byte("+"+(start+after).String()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// now is the present of the lab.
func now(t *testing.T) time.Time { return time.Now().Add(ahead(t)).Truncate(time.Second) }

// submit has the first user of alfa send a letter.
func submit(t *testing.T, to ...string) (ref string) {
	t.Helper()
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	ref = "<" + hex.EncodeToString(b[:]) + "@client.example>"
	from := sender()
	raw := fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: Perch=E9\r\nDate: %s\r\nMessage-ID: %s\r\n\r\nTesto.\r\n",
		from.Address, strings.Join(to, ", "), time.Now().Format(time.RFC1123Z), ref)
	if err := env.Submit("ALFA", from, client.Mail{From: from.Address, To: to, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	return ref
}

func sender() client.Login { return env.Users("ALFA")[0] }

// dora is a recipient at delta.
func dora() string { return "dora@" + env["DELTA_DOMAIN"] }

// await waits for exactly these kinds about ref in all mailboxes, with empty queues.
func await(t *testing.T, ref string, want map[string][]pec.Kind) map[string][]*client.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	found, err := env.Await(ctx, ref, want)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// kinds are the acceptance and what else the sender should have about a message to delta.
func kinds(more ...pec.Kind) []pec.Kind { return append([]pec.Kind{pec.KindAcceptance}, more...) }

// mine is what the sender alone has.
func mine(more ...pec.Kind) map[string][]pec.Kind {
	return map[string][]pec.Kind{sender().Address: kinds(more...)}
}

// envelopeOf is what delta got about ref.
func envelopeOf(t *testing.T, ref string) *pec.CertData {
	t.Helper()
	for range 900 {
		for _, got := range delta.Got() {
			if bytes.Contains(got.Raw, []byte(ref)) {
				_, data := opened(t, got.Raw)
				return data
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("delta did not get %s", ref)
	return nil
}

func opened(t *testing.T, raw []byte) (*pec.Parts, *pec.CertData) {
	t.Helper()
	s, err := signer.Open(pec.Bytes(raw))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := pec.ReadParts(s.Content)
	if err != nil {
		t.Fatal(err)
	}
	data, err := pec.ParseCertData(parts.CertData)
	if err != nil {
		t.Fatal(err)
	}
	return parts, data
}

// certify has whoever holds a key send alfa a notification about dora, in the name of delta.
func certify(t *testing.T, key string, kind pec.Kind, about *pec.CertData) {
	t.Helper()
	k, err := signer.LoadKey(env[key+"_CERT"], env[key+"_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	address := parse(t, env["DELTA_PEC_ADDRESS"])
	recipient, to := parse(t, dora()), about.Sender
	data := *about
	data.Kind, data.Error, data.Receipt, data.Provider, data.Time = kind, pec.ErrorNone, "", env["DELTA_PROVIDER"], now(t)
	if kind == pec.KindDelivery {
		data.Delivery, data.Receipt = &recipient, pec.ReceiptComplete
	} else {
		data.Taken, to = []pec.Address{recipient}, parse(t, env.Login("ALFA_SERVICE_USER").Address)
	}
	a, err := compose.NotificationMessage(pec.Provider{Name: data.Provider, Address: address},
		compose.Notification{Data: data, To: to, Concise: kind == pec.KindDelivery})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := signer.NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := draft.SealTo(t.Context(), nil, k, data.Time)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := sealed.Header().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\r\n")
	if err := sealed.WriteBody(&b); err != nil {
		t.Fatal(err)
	}
	if err := env.Deliver("ALFA", client.Mail{From: address.String(), To: []string{to.String()}, Data: &b}); err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ceralacca runs a command on alfa, or beta, and returns what it prints; a fault is an error.
func ceralacca(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "CERALACCA_LAB_CLOCK="+env["LAB_CLOCK"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
