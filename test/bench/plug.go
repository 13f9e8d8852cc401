package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/ceralacca/ceralacca/plugins"
)

// plugPrefix begins the names under which this program is a plug-in that does the least that its kind can do.
const plugPrefix = "plug-"

// plug is the plug-in that a call is made to.
func plug(name string) error {
	about := plugins.About{Name: name, Version: "1"}
	var p plugins.Plugin
	switch name {
	case callStream, callFile:
		p = plugins.Antivirus{About: about, Files: name == callFile,
			Open: func(context.Context, plugins.Setup) (plugins.Scanner, error) { return scanner{}, nil }}
	case callDeposit, callExhibit:
		p = plugins.Conservation{About: about,
			Open: func(_ context.Context, s plugins.Setup) (plugins.Depositor, error) { return &keeper{dir: s.Dir}, nil }}
	case callNotify:
		about.Needs = []plugins.Need{plugins.NeedHeaders}
		p = plugins.Notification{About: about,
			Open: func(context.Context, plugins.Setup) (plugins.Notifier, error) { return notifier{}, nil }}
	case callSign:
		p = plugins.Key{About: about, Open: openKey}
	default:
		return fmt.Errorf("%q is no plug-in", name)
	}
	plugins.Serve(p)
	return nil
}

// scanner finds everything clean that it has read.
type scanner struct{}

// Scan implements plugins.Scanner.
func (scanner) Scan(_ context.Context, c *plugins.Content) (plugins.Result, error) {
	return plugins.Result{Verdict: plugins.Clean, Engine: "bench 1"}, pour(io.Discard, c)
}

// pieceSize is how both sides cut content, in bytes.
const pieceSize = 64 << 10

// pour copies through a buffer of pieces, whatever shorter ways there are.
func pour(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, pieceSize))
	return err
}

// keeper keeps the last deposit of each key.
type keeper struct {
	dir  string
	kept sync.Map // Bundle by key
}

// Deposit implements plugins.Depositor.
func (k *keeper) Deposit(_ context.Context, b plugins.Bundle, c *plugins.Content) (plugins.Effect, error) {
	err := keep(filepath.Join(k.dir, b.Key), c, b.SHA256)
	k.kept.Store(b.Key, b)
	return plugins.Effect{Outcome: plugins.Done, Reference: b.Key}, err
}

// keep writes content that has a digest to a file that outlives a crash.
func keep(path string, content io.Reader, sum []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	digest := sha256.New()
	err = pour(io.MultiWriter(file, digest), content)
	if err == nil && string(digest.Sum(nil)) != string(sum) {
		err = errors.New("the content is not what was announced")
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Status implements plugins.Depositor.
func (k *keeper) Status(_ context.Context, key string) (plugins.State, plugins.Effect, error) {
	return plugins.Kept, plugins.Effect{Reference: key}, nil
}

// Usage implements plugins.Depositor.
func (k *keeper) Usage(context.Context, string) (plugins.Usage, error) { return plugins.Usage{}, nil }

// Exhibit implements plugins.Depositor.
func (k *keeper) Exhibit(_ context.Context, key string) (plugins.Bundle, io.ReadCloser, bool, error) {
	kept, found := k.kept.Load(key)
	if !found {
		return plugins.Bundle{}, nil, false, nil
	}
	file, err := os.Open(filepath.Join(k.dir, key))
	return kept.(plugins.Bundle), file, true, err
}

// notifier has told everybody.
type notifier struct{}

// Notify implements plugins.Notifier.
func (notifier) Notify(_ context.Context, e plugins.Event) (plugins.Effect, error) {
	return plugins.Effect{Outcome: plugins.Done, Reference: e.Key}, nil
}

// keyHolder has a key in memory, as the host has without a plug-in.
type keyHolder struct{ key *rsa.PrivateKey }

func openKey(context.Context, plugins.Setup) (plugins.KeyHolder, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return keyHolder{key}, err
}

// Certificates implements plugins.KeyHolder.
func (keyHolder) Certificates(context.Context) ([]plugins.KeyEntry, error) {
	return []plugins.KeyEntry{{ID: "1", Chain: [][]byte{{1}}}}, nil
}

// Sign implements plugins.KeyHolder.
func (k keyHolder) Sign(_ context.Context, _ string, digest []byte) ([]byte, error) {
	return rsa.SignPKCS1v15(rand.Reader, k.key, crypto.SHA256, digest)
}
