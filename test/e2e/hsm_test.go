package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/softhsm"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// module is a token of SoftHSM with alfa's key in it, under the label "sealing", and what alfa's configuration says of it.
type module struct {
	*softhsm.Token
	dir       string // others may read there
	conf      []byte // alfa's configuration as it was
	files     string // the lines of it that name certificate and key
	cert, key string // paths of these
	section   string // [plugins.hsm], without keys
}

// newModule builds the plug-in and makes the token. The configuration is as it was when the test ends.
func newModule(t *testing.T) *module {
	t.Helper()
	path := filepath.Join(world.Runtime(), "bin", "pkcs11")
	build := exec.Command("go", "build", "-o", path, "github.com/ceralacca/ceralacca/plugins/pkcs11")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plug-in: %v\n%s", err, out)
	}
	sum, err := host.Checksum(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &module{}
	if m.conf, err = os.ReadFile(env["ALFA_CONFIG"]); err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(user|network) = .*$`).FindString(string(m.conf)) // as clamav has them
	files := regexp.MustCompile(`(?m)^cert = "([^"]+)"\nkey = "([^"]+)"\n`).FindStringSubmatch(string(m.conf))
	if files == nil {
		t.Fatalf("alfa has no [key]:\n%s", m.conf)
	}
	m.files, m.cert, m.key = files[0], files[1], files[2]
	uid := 65534
	if strings.HasPrefix(rights, "network") { // plug-ins run as the daemon
		info, err := os.Stat(m.key)
		if err != nil {
			t.Fatal(err)
		}
		uid = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	if m.dir, err = os.MkdirTemp(world.Runtime(), "hsm"); err == nil {
		err = os.Chmod(m.dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.Token, err = softhsm.New(m.dir, "alfa", uid); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(m.key)
	if err == nil {
		err = m.Import("sealing", "01", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.section = fmt.Sprintf("\n[plugins.hsm]\npath = %q\nsha256 = %q\n%s\ndeadline = \"5s\"\n[plugins.hsm.config]\nmodule = %q\ntoken = %q\npin_file = %q\n"+
		"environment = {%s = %q}\n", path, sum, rights, softhsm.Module, m.Label, m.PINFile, softhsm.ConfVariable, m.Conf)
	t.Cleanup(func() { rereadAll(t, m.conf) })
	return m
}

// use has both daemons of alfa sign by the plug-in: with these keys of the token, and further lines of [key].
func (m *module) use(t *testing.T, keys, lines string) {
	t.Helper()
	rereadAll(t, []byte(strings.Replace(string(m.conf), m.files, "plugin = \"hsm\"\n"+lines, 1)+m.section+"keys = ["+keys+"]\n"))
}

// rereadAll has both daemons of alfa read a configuration.
func rereadAll(t *testing.T, text []byte) {
	t.Helper()
	if err := os.WriteFile(env["ALFA_CONFIG"], text, 0o644); err != nil {
		t.Fatal(err)
	}
	for daemon, file := range map[string]string{"alfa-milter": "ALFA_MILTER_PID", "alfa-lda": "ALFA_LDA_PID"} {
		raw, err := os.ReadFile(env[file])
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		log := daemonLog(t, daemon)
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, log, "the configuration was read again")
	}
}

// TestKeyInHardware: alfa signs with a key in a token. While the token is away nothing is certified: submissions get 451, what waits
// for a receipt waits; once it is back everything goes on by itself, and what the token signed OpenSSL verifies.
func TestKeyInHardware(t *testing.T) {
	conformance.Covers(t, "C225")
	token := newModule(t)
	token.use(t, fmt.Sprintf("{label = \"sealing\", certificate = %q}", token.cert), "")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0]
	whole := map[string][]pec.Kind{mario.Address: {pec.KindAcceptance, pec.KindDelivery}, bruno.Address: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge}}
	exchanged := func(l *letter) {
		t.Helper()
		for _, list := range await(t, l.ref, whole) {
			for _, m := range list {
				sealed(t, m)
			}
		}
	}
	before := write(t, mario.Address, []string{bruno.Address}, nil)
	submit(t, "ALFA", mario, before)
	exchanged(before)

	log := daemonLog(t, "alfa-milter")
	flowing := write(t, mario.Address, []string{bruno.Address}, nil) // its receipts may have to wait
	submit(t, "ALFA", mario, flowing)
	if err := os.Rename(token.Store, token.Store+".away"); err != nil {
		t.Fatal(err)
	}
	away := write(t, mario.Address, []string{bruno.Address}, nil)
	login(t, "ALFA", mario).tempfails(away)
	eventually(t, log, "the key does not sign; nothing is certified")
	eventually(t, log, "plug-in is not well")
	if err := os.Rename(token.Store+".away", token.Store); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		err := env.Submit("ALFA", mario, client.Mail{From: away.from, To: away.to, Data: bytes.NewReader(away.raw)})
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the token is back and submissions still fail: %v", err)
		}
	}
	exchanged(away)
	exchanged(flowing)
}
