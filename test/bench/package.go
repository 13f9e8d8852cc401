package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// packageSize is how many documents a package has at most.
const packageSize = 10_000

// startConserve starts conserve with a directory, and an authority for time stamps that lasts as long as this process.
func (m *modules) startConserve() error {
	state, err1 := m.folder("keep-state")
	stored, err2 := m.folder("packages")
	stamps, err3 := m.folder("tsa")
	a, err4 := pki.NewAuthority("bench", time.Now())
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	pair, err := a.Signing("Alfa PEC", "conserve@alfa.example")
	if err != nil {
		return err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return err
	}
	m.clock = filepath.Join(m.dir, "clock")
	for name, text := range map[string]string{"cert.pem": string(pair.CertPEM()), "key.pem": string(key), "ca.pem": string(a.CertPEM()), "clock": "+0s"} {
		path := filepath.Join(m.dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chown(path, nobodyUID, nobodyUID)); err != nil {
			return err
		}
	}
	authority, err := tsa.New(stamps, time.Now(), tsa.Good())
	if err != nil {
		return err
	}
	server := httptest.NewServer(authority)
	m.keep, err = m.start("conserve", plugins.KindConservation, map[string]any{"folder": state, "owner": "Alfa PEC",
		"certificate": filepath.Join(m.dir, "cert.pem"), "key": filepath.Join(m.dir, "key.pem"), "signers": filepath.Join(m.dir, "ca.pem"),
		"stamp_url": server.URL, "stamp_authorities": authority.CA(), "store_directory": stored, "delay": "0s", "lab_clock": m.clock})
	return err
}

// deposit hands over a document of a day that is not over until the clock is moved.
func (m *modules) deposit(ctx context.Context, mailbox string, n int) error {
	text, sum := document(n)
	return done(host.Conservation{Supervisor: m.keep}.Deposit(ctx, plugins.Bundle{Key: fmt.Sprint(mailbox, " ", n), Mailbox: mailbox, Event: "delivered",
		Size: documentSize, SHA256: sum[:], MediaType: "message/rfc822", Time: time.Now().AddDate(0, 0, 1).Unix()},
		host.Content{ReaderAt: strings.NewReader(text), Size: documentSize}))
}

func (m *modules) deposits() ([]row, error) {
	return m.both("conserve: deposits of 10 KB", documentSize, func(ctx context.Context, n int) error {
		return m.deposit(ctx, fmt.Sprintf("m%d@alfa.example", n%modulesAtTime), n)
	})
}

// package10 has the documents of a day preserved, one time. The peer takes as many of the same size, which are files already as
// ours are: sha256sum makes the index, openssl signs it, and cp takes them into another folder, flushed.
func (m *modules) package10() ([]row, error) {
	const mailbox = "full@alfa.example"
	first := m.next
	if _, err := m.times(packageSize, modulesAtTime, func(ctx context.Context, n int) error { return m.deposit(ctx, mailbox, n) }); err != nil {
		return nil, err
	}
	if err := m.peerDocuments(first); err != nil {
		return nil, err
	}
	peer := time.Now()
	if out, err := exec.CommandContext(m.ctx, "/bin/sh", "-c", peerPackage, "sh", m.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the peer: %w: %s", err, out)
	}
	theirs := time.Since(peer).Seconds()
	began := time.Now()
	if err := os.WriteFile(m.clock, []byte("+72h"), 0o644); err != nil {
		return nil, err
	}
	if err := m.preserved(mailbox, first); err != nil {
		return nil, err
	}
	ours := time.Since(began).Seconds()
	const megabytes = packageSize * documentSize / 1e6
	say := func(seconds float64) string { return fmt.Sprintf("%.2f s, %.1f MB/s", seconds, megabytes/seconds) }
	return []row{{what: "conserve: 10,000 documents of 10 KB, from the end of their day to a package in a directory, each of them filed",
		ours: say(ours), peer: say(theirs), ratio: fmt.Sprintf("%.2f", ours/theirs), want: none}}, nil
}

// peerPackage is the peer; $1 is the folder.
const peerPackage = `set -e
cd "$1/documents"
sha256sum -- * >../index
openssl cms -sign -binary -nodetach -md sha256 -signer ../cert.pem -inkey ../key.pem -in ../index -outform DER -out ../index.p7m
cp -r . ../copied
sync -f ../copied`

// peerDocuments are those of the peer.
func (m *modules) peerDocuments(first int) error {
	folder := filepath.Join(m.dir, "documents")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for n := range packageSize {
		text, _ := document(first + n)
		if err := writeFile(filepath.Join(folder, fmt.Sprint(n, ".eml")), func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			return err
		}
	}
	return exec.CommandContext(m.ctx, "sync", "-f", folder).Run()
}

// preserved waits until each document of a mailbox is in a package.
func (m *modules) preserved(mailbox string, first int) error {
	keeper := host.Conservation{Supervisor: m.keep}
	end := time.Now().Add(modulePatience)
	for n := first; n < first+packageSize; {
		state, _, err := keeper.Status(m.ctx, fmt.Sprint(mailbox, " ", n))
		switch {
		case err != nil:
			return err
		case state == plugins.Kept:
			n++
		case time.Now().After(end):
			return errors.New("conserve does not come to an end")
		default:
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}
