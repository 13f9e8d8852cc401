package kill

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
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
)

// The lab that all tests of this package share. They run one after the other.
var (
	world    *lab.Lab
	env      client.Env
	controls string // the folder that faultd looks into
	binary   string // ceralacca itself, for audit
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if f := flag.Lookup("test.list"); f != nil && f.Value.String() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kill")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := start(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = world.Stop() }()
	code := m.Run()
	if err := world.Audit(context.Background(), binary, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func start(dir string) error {
	controls = filepath.Join(dir, "controls")
	if err := errors.Join(os.Mkdir(controls, 0o777), os.Chmod(controls, 0o777), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	faultd := filepath.Join(dir, "faultd")
	binary = filepath.Join(dir, "ceralacca")
	for bin, pkg := range map[string]string{faultd: "test/faultd", binary: "cmd/ceralacca", filepath.Join(dir, "clamav"): "plugins/clamav"} {
		cmd := exec.Command("go", "build", "-o", bin, "github.com/ceralacca/ceralacca/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	var err error
	world, err = lab.Start(context.Background(), lab.Options{
		Dir: filepath.Join(dir, "lab"), Bin: faultd, Daemons: true, Antivirus: true, Env: []string{"FAULTD=" + controls},
	})
	if err != nil {
		return err
	}
	env = client.ParseEnv(world.Env())
	return errors.Join(impatient("alfa-postfix", world.Alfa.PostfixConfig), impatient("beta-postfix", world.Beta.PostfixConfig))
}

// impatient lets a Postfix start a client again at once that died in its first delivery, and not after a minute.
func impatient(name, config string) error {
	if out, err := exec.Command("postconf", "-c", config, "-e", "service_throttle_time=1s").CombinedOutput(); err != nil {
		return fmt.Errorf("postconf: %w: %s", err, out)
	}
	return world.Processes().Signal(name, syscall.SIGHUP)
}

// killed tells faultd to die at a point, runs fn, and asks that it did.
func killed(t *testing.T, point string, fn func()) {
	t.Helper()
	set(t, "kill", point)
	t.Cleanup(func() { _ = os.Remove(filepath.Join(controls, "kill")) })
	_ = os.Remove(filepath.Join(controls, "killed"))
	fn()
	if _, err := os.Stat(filepath.Join(controls, "killed")); err != nil {
		t.Errorf("the agent never came to %q", point)
	}
}

func set(t *testing.T, name, value string) {
	t.Helper()
	path := filepath.Join(controls, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(value), 0o666), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// settle waits until the mailboxes hold exactly what want says, making Postfix try again at once instead of in minutes,
// and asks both providers for an audit.
func settle(t *testing.T, ref string, want map[string][]pec.Kind) map[string][]*client.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	go flush(ctx)
	found, err := env.Await(ctx, ref, want)
	if err != nil {
		t.Fatal(err)
	}
	audit(t)
	return found
}

func flush(ctx context.Context) {
	for ctx.Err() == nil {
		for _, name := range []string{"ALFA_POSTFIX_CONFIG", "ALFA_OUT_CONFIG", "BETA_POSTFIX_CONFIG", "BETA_OUT_CONFIG"} {
			_ = exec.CommandContext(ctx, "postqueue", "-c", env[name], "-f").Run() // what waits is seen by Await
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func audit(t *testing.T) {
	t.Helper()
	for _, host := range []string{"ALFA", "BETA"} {
		out, err := exec.CommandContext(t.Context(), binary, "audit", "--grace", "0s", "--config", env[host+"_CONFIG"]).CombinedOutput()
		if err != nil {
			t.Errorf("audit of %s: %v\n%s", host, err, out)
		}
	}
}

// letter makes an original and its Message-ID.
func letter(t *testing.T, from string, to ...string) (ref string, raw []byte) {
	t.Helper()
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	ref = "<" + hex.EncodeToString(b[:]) + "@client.example>"
	return ref, fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: prova\r\nDate: %s\r\nMessage-ID: %s\r\n\r\nTesto.\r\n",
		from, strings.Join(to, ", "), time.Now().Format(time.RFC1123Z), ref)
}

func submit(t *testing.T, from client.Login, to ...string) (ref string) {
	t.Helper()
	ref, raw := letter(t, from.Address, to...)
	if err := env.Submit("ALFA", from, client.Mail{From: from.Address, To: to, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	return ref
}
