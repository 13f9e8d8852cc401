// Package softhsm makes tokens of SoftHSM2, the hardware module without hardware of Debian's softhsm2, for tests, lab and
// measurements. It is no place for a provider's key: what it holds lies in files.
package softhsm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Module is the PKCS#11 library.
const Module = "/usr/lib/softhsm/libsofthsm2.so"

// ConfVariable names to the module its configuration.
const ConfVariable = "SOFTHSM2_CONF"

// Token is a token of its own folder, which belongs to one user.
type Token struct {
	Label   string
	PIN     string
	PINFile string // in a folder of the user's own
	Conf    string // for ConfVariable
	Store   string // the folder of tokens: what is pulled away when it is renamed
	UID     int
}

// SecurityPIN is that of the security officer of every token.
const SecurityPIN = "87654321"

// New makes a token in an empty folder that the user may pass.
func New(dir, label string, uid int) (*Token, error) {
	t := &Token{Label: label, PIN: "1234-5678", PINFile: filepath.Join(dir, "pin", "pin"), Conf: filepath.Join(dir, "softhsm2.conf"),
		Store: filepath.Join(dir, "tokens"), UID: uid}
	for _, folder := range []string{t.Store, filepath.Dir(t.PINFile)} {
		if err := errors.Join(os.Mkdir(folder, 0o700), os.Chown(folder, uid, -1)); err != nil {
			return nil, err
		}
	}
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", t.Store)
	if err := os.WriteFile(t.Conf, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := t.WritePIN(t.PIN); err != nil {
		return nil, err
	}
	return t, t.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", t.PIN, "--so-pin", SecurityPIN)
}

// WritePIN replaces the PIN file.
func (t *Token) WritePIN(pin string) error {
	fresh := t.PINFile + ".new"
	return errors.Join(os.WriteFile(fresh, []byte(pin+"\n"), 0o600), os.Chown(fresh, t.UID, -1), os.Rename(fresh, t.PINFile))
}

// Import puts a private key in PEM (PKCS#8) into the token; id is in hexadecimal digits.
func (t *Token) Import(label, id string, key []byte) error {
	return t.handed("key.pem", key, func(path string) error {
		return t.run("softhsm2-util", "--import", path, "--token", t.Label, "--pin", t.PIN, "--label", label, "--id", id)
	})
}

// Generate has the token make an RSA key.
func (t *Token) Generate(label, id string) error {
	return t.tool("--keypairgen", "--key-type", "rsa:2048", "--label", label, "--id", id)
}

// ImportCertificate puts a certificate in DER into the token.
func (t *Token) ImportCertificate(label, id string, der []byte) error {
	return t.handed("cert.der", der, func(path string) error {
		return t.tool("--write-object", path, "--type", "cert", "--label", label, "--id", id)
	})
}

// Remove removes a private key from the token.
func (t *Token) Remove(label string) error {
	return t.tool("--delete-object", "--type", "privkey", "--label", label)
}

// tool runs OpenSC's pkcs11-tool on the token.
func (t *Token) tool(args ...string) error {
	return t.run("pkcs11-tool", append([]string{"--module", Module, "--token-label", t.Label, "--login", "--pin", t.PIN}, args...)...)
}

// SetPIN changes the PIN of the token, as its security officer, and leaves the PIN file as it is.
func (t *Token) SetPIN(pin string) error {
	err := t.run("pkcs11-tool", "--module", Module, "--token-label", t.Label, "--login", "--login-type", "so", "--so-pin", SecurityPIN,
		"--init-pin", "--new-pin", pin)
	if err == nil {
		t.PIN = pin
	}
	return err
}

// Flags are what the token says of itself.
func (t *Token) Flags() (string, error) {
	out, err := t.command("pkcs11-tool", "--module", Module, "--list-token-slots").CombinedOutput()
	return string(out), err
}

// handed writes a file for the user, for the time of a call.
func (t *Token) handed(name string, content []byte, call func(path string) error) error {
	path := filepath.Join(filepath.Dir(t.PINFile), name)
	if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chown(path, t.UID, -1)); err != nil {
		return err
	}
	return errors.Join(call(path), os.Remove(path))
}

func (t *Token) run(program string, args ...string) error {
	if out, err := t.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w: %s (make deps installs it)", program, args, err, out)
	}
	return nil
}

// command runs as the user, so that all files are the user's.
func (t *Token) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = "/", []string{ConfVariable + "=" + t.Conf, "PATH=/usr/bin:/bin"}
	if os.Geteuid() == 0 && t.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(t.UID), Gid: uint32(t.UID)}}
	}
	return cmd
}
