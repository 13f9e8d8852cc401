//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ThalesGroup/crypto11"
	"golang.org/x/sync/errgroup"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/softhsm"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/signer"
)

// The variants of P12, each with eight goroutines on the same token.
const (
	sealingName = "sealing by the plug-in, "
	bareName    = "bare crypto11, "
)

// keySizes are those of the keys in the token, in bits; each is also a label.
var keySizes = []string{"2048", "4096"}

// nobodyUID is whom plug-ins run as here.
const nobodyUID = 65534

// hardwareRound is how long a variant signs in a round.
const hardwareRound = 4 * time.Second

// hardware is a process of its own with a token of SoftHSM: it seals by the plug-in, as a daemon does, or signs by crypto11 alone.
// The peer must be a process beside, since a module is loaded once for each.
func hardware(b *bench) ([]row, error) {
	dir, err := os.MkdirTemp("/var/tmp", "p12")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	token, err := newToken(dir)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(token)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	aside, err := startAside(b.ctx, token)
	if err != nil {
		return nil, err
	}
	defer aside.end()
	signing := func(name, bits string, d device) variant {
		return variant{name + d.name + bits, func() (sample, error) {
			return d.run(b.ctx, self, "hardware", name, bits, d.module, string(raw))
		}}
	}
	var variants []variant
	devices := []device{token.within(), aside.device}
	for _, d := range devices {
		for _, bits := range keySizes {
			variants = append(variants, signing(bareName, bits, d), signing(sealingName, bits, d))
		}
	}
	o, err := b.interleave(variants...)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, d := range devices {
		for _, bits := range keySizes {
			ours, peer := sealingName+d.name+bits, bareName+d.name+bits
			rows = append(rows, o.compare("seals a second, eight at a time, "+d.name+bits, rate, ours, peer, atLeast(0.95)),
				o.compare(d.cpu, cpu, ours, peer, bound{}))
		}
	}
	return rows, nil
}

// benchToken is what both variants need.
type benchToken struct{ *softhsm.Token }

func newToken(dir string) (*benchToken, error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "pkcs11"), "./plugins/pkcs11")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	token, err := softhsm.New(dir, "bench", nobodyUID)
	if err != nil {
		return nil, err
	}
	ca, err := pki.NewAuthority("bench", time.Now())
	if err != nil {
		return nil, err
	}
	for _, bits := range keySizes {
		if err := fill(token, ca, dir, bits); err != nil {
			return nil, err
		}
	}
	return &benchToken{token}, nil
}

// fill puts a key into the token, and its certificate into a file.
func fill(token *softhsm.Token, ca *pki.Authority, dir, bits string) error {
	n, err := strconv.Atoi(bits)
	if err != nil {
		return err
	}
	made, err := rsa.GenerateKey(rand.Reader, n)
	if err != nil {
		return err
	}
	now := time.Now()
	pair, err := ca.SigningKey("Alfa PEC", "posta-certificata@alfa.example", made, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		return err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	return errors.Join(token.Import(bits, bits, key), os.WriteFile(filepath.Join(dir, bits+".pem"), pair.CertPEM(), 0o644))
}

// hardwareOnce is the process: hardware VARIANT BITS MODULE TOKEN.
func hardwareOnce(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: hardware VARIANT BITS MODULE TOKEN")
	}
	var t benchToken
	if err := json.Unmarshal([]byte(args[3]), &t); err != nil {
		return err
	}
	sign, closing, err := t.bare(args[1], args[2])
	if args[0] == sealingName {
		sign, closing, err = t.sealing(context.Background(), args[1], args[2])
	}
	if err != nil {
		return err
	}
	defer closing()
	result, err := eight(sign)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// eight signs for a round, by eight goroutines.
func eight(sign func(text string) error) (spent, error) {
	var group errgroup.Group
	counts := make([]int, atATime)
	used, began := ownSeconds()+treeSeconds(), time.Now()
	for n := range counts {
		group.Go(func() error {
			for time.Since(began) < hardwareRound {
				if err := sign(strconv.Itoa(n) + " " + strconv.Itoa(counts[n])); err != nil {
					return err
				}
				counts[n]++
			}
			return nil
		})
	}
	err := group.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return spent{Count: float64(total), Seconds: time.Since(began).Seconds(), CPU: ownSeconds() + treeSeconds() - used}, err
}

// bare signs digests, and does nothing else.
func (t benchToken) bare(label, module string) (sign func(text string) error, closing func(), err error) {
	token, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: t.Label, Pin: t.PIN, MaxSessions: 17})
	if err != nil {
		return nil, nil, err
	}
	key, err := token.FindRSAPrivateKey(nil, []byte(label))
	return func(text string) error {
		digest := sha256.Sum256([]byte(text))
		_, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	}, func() { _ = token.Close() }, err
}

// sealing seals messages by the plug-in, as a daemon does: every signature is verified.
func (t benchToken) sealing(ctx context.Context, label, module string) (sign func(text string) error, closing func(), err error) {
	dir := filepath.Dir(t.Conf)
	s, err := host.New(ctx, host.Options{
		Name: "hsm", Kind: plugins.KindKey, Deadline: time.Minute, Concurrency: host.DefaultConcurrency, RunDir: dir,
		Program: host.Program{Path: filepath.Join(dir, "pkcs11"), Isolation: host.Isolation{User: "nobody"}},
		Config: map[string]any{"module": module, "token": t.Label, "pin_file": t.PINFile,
			"environment": map[string]any{softhsm.ConfVariable: t.Conf, asideVariable: os.Getenv(asideVariable)},
			"keys":        []any{map[string]any{"label": label, "certificate": filepath.Join(dir, label+".pem")}}},
		Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, nil, err
	}
	by := host.Key{Supervisor: s}
	entries, err := by.Certificates(ctx)
	if err != nil {
		return nil, s.Stop, err
	}
	cert, err := x509.ParseCertificate(entries[0].Chain[0])
	if err != nil {
		return nil, s.Stop, err
	}
	key, err := signer.NewRemoteKey(func(ctx context.Context, digest []byte) ([]byte, error) {
		return by.Sign(ctx, entries[0].ID, digest)
	}, []*x509.Certificate{cert}, nil)
	return func(text string) error {
		draft, err := signer.NewDraft(hardwareMessage(text))
		if err != nil {
			return err
		}
		_, err = draft.SealTo(ctx, nil, key, time.Now())
		return err
	}, s.Stop, err
}

// hardwareMessage is as small as a receipt may be: what its parts cost is not this goal's.
func hardwareMessage(text string) *pec.Artefact {
	const boundary = "p12"
	return &pec.Artefact{
		Kind: pec.KindAcceptance,
		Header: pec.Header{
			{Name: "Date", Value: " Mon, 30 Nov 2026 10:00:00 +0100"},
			{Name: "From", Value: " posta-certificata@alfa.example"},
			{Name: "To", Value: " mario@alfa.example"},
			{Name: "Subject", Value: " bench"},
			{Name: "Message-ID", Value: " <bench@alfa.example>"},
			{Name: pec.FieldReceipt, Value: " " + string(pec.KindAcceptance)},
			{Name: "MIME-Version", Value: " 1.0"},
			{Name: "Content-Type", Value: ` multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="` + boundary + `"`},
		},
		Boundary: boundary,
		Content:  []pec.Source{pec.Bytes([]byte("Content-Type: text/plain; charset=\"utf-8\"\r\n\r\n" + text + "\r\n"))},
	}
}
