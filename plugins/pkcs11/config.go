//go:build cgo

package main

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/signer"
)

// config is the configuration, every value in its place.
type config struct {
	module        string
	token, serial string
	pinFile       string
	keys          []wanted
	sessions      int
	patience      time.Duration // for one call of the module
}

// wanted is a key that should sign.
type wanted struct {
	name  string // of the entry; says which key
	id    []byte
	label string
	chain []*x509.Certificate // empty: the token has it
}

// settings are what the schema describes.
type settings struct {
	Module        string            `json:"module"`
	Token         string            `json:"token"`
	Serial        string            `json:"serial"`
	PINFile       string            `json:"pin_file"`
	Keys          []keySettings     `json:"keys"`
	Sessions      int               `json:"sessions"`
	AnswerTimeout string            `json:"answer_timeout"`
	Environment   map[string]string `json:"environment"`
}

type keySettings struct {
	Label       string `json:"label"`
	ID          string `json:"id"`
	Certificate string `json:"certificate"`
}

// config fills in what is not written, reads the certificates, and sets the environment of the module. The host has
// validated the rest.
func (s settings) config() (config, error) {
	c := config{module: s.Module, token: s.Token, serial: s.Serial, pinFile: s.PINFile, sessions: 16, patience: 30 * time.Second}
	if s.Sessions > 0 {
		c.sessions = s.Sessions
	}
	var err error
	if s.AnswerTimeout != "" {
		if c.patience, err = time.ParseDuration(s.AnswerTimeout); err != nil {
			return c, fmt.Errorf("answer_timeout is %q, not a duration; write 30s or 1m", s.AnswerTimeout)
		}
	}
	names := map[string]bool{}
	for i, k := range s.Keys {
		w, err := k.wanted()
		if err != nil {
			return c, fmt.Errorf("keys, number %d: %w", i+1, err)
		}
		if names[w.name] {
			return c, fmt.Errorf("keys has %s twice; write it once", w.name)
		}
		names[w.name], c.keys = true, append(c.keys, w)
	}
	for name, value := range s.Environment {
		if err := os.Setenv(name, value); err != nil {
			return c, fmt.Errorf("environment: %s: %w", name, err)
		}
	}
	return c, c.checkFiles()
}

func (k keySettings) wanted() (wanted, error) {
	w := wanted{label: k.Label}
	var names []string
	if k.Label != "" {
		names = append(names, fmt.Sprintf("label %q", k.Label))
	}
	if k.ID != "" {
		var err error
		if w.id, err = hex.DecodeString(k.ID); err != nil {
			return w, fmt.Errorf("id is %q, not hexadecimal digits; write id = \"01\" for the byte 1", k.ID)
		}
		names = append(names, "id "+strings.ToLower(k.ID))
	}
	if w.name = strings.Join(names, ", "); k.Certificate == "" {
		return w, nil
	}
	var err error
	if w.chain, err = signer.ReadCertificates(k.Certificate); err != nil {
		return w, fmt.Errorf("certificate: %w; write the path of a PEM file that the plug-in's user can read", err)
	}
	return w, nil
}

// checkFiles looks at what must be right before anything is tried.
func (c config) checkFiles() error {
	if err := checkModule(c.module); err != nil {
		return fmt.Errorf("module: %w", err)
	}
	if err := secret.Check(c.pinFile); err != nil {
		return fmt.Errorf("pin_file: %w; the file belongs to the plug-in's user alone: chown it, and chmod 0600", err)
	}
	folder := filepath.Dir(c.pinFile)
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("pin_file: %s: %w; the plug-in's user must be able to write there, to remember a PIN that is refused", folder, err)
	}
	return nil
}

// checkModule asks that nobody can put other code in the place of the module's.
func checkModule(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w; write the path of the maker's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o022 != 0, !ok, stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s can be written by others than root and the plug-in's user; chown root and chmod go-w it", path)
	}
	return nil
}
