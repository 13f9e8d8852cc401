// Command obedient is a plug-in that writes down what it is called with, and does what a file tells it. Its kind is the name
// of its executable: notification, conservation or key. It does not keep anything as a plug-in should: it is for tests.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ceralacca/ceralacca/plugins"
)

// schema: the folder holds all of its files: "log", a line for each call before it is answered; "answer", what it does with
// the next ones; KEY.eml, what was deposited; cert.pem and key.pem, what it signs with as "one", and next.pem and next.key, if they are there,
// as "two".
const schema = `{"type":"object","required":["folder"],"additionalProperties":false,"properties":{"folder":{"type":"string"}}}`

func main() {
	kind := filepath.Base(os.Args[0])
	about := plugins.About{Name: "obedient", Version: "1", Schema: schema}
	switch plugins.Kind(kind) {
	case plugins.KindConservation:
		plugins.Serve(plugins.Conservation{About: about, Open: opened(func(o *obedient) plugins.Depositor { return o })})
	case plugins.KindKey:
		plugins.Serve(plugins.Key{About: about, Open: opened(func(o *obedient) plugins.KeyHolder { return o })})
	default:
		about.Needs = []plugins.Need{plugins.NeedHeaders, plugins.NeedMetadata}
		plugins.Serve(plugins.Notification{About: about, Open: opened(func(o *obedient) plugins.Notifier { return o })})
	}
}

type obedient struct{ folder string }

func opened[T any](as func(*obedient) T) func(context.Context, plugins.Setup) (T, error) {
	return func(_ context.Context, s plugins.Setup) (T, error) {
		var config struct{ Folder string }
		err := s.Decode(&config)
		return as(&obedient{config.Folder}), err
	}
}

// log writes a line that survives the process.
func (o *obedient) log(words ...string) error {
	file, err := os.OpenFile(filepath.Join(o.folder, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, strings.Join(words, " "))
	return errors.Join(err, file.Close())
}

// told does what the file says.
func (o *obedient) told(ctx context.Context, key string) (plugins.Effect, error) {
	word, _ := os.ReadFile(filepath.Join(o.folder, "answer")) // none: it obeys nobody
	switch strings.TrimSpace(string(word)) {
	case "later":
		return plugins.Effect{Outcome: plugins.Later, Reason: "told so"}, nil
	case "refused":
		return plugins.Effect{Outcome: plugins.Refused, Reason: "told so"}, nil
	case "slow":
		<-ctx.Done()
		return plugins.Effect{}, ctx.Err()
	case "hang":
		select {} // also when the call has ended: nothing is answered at the deadline
	case "die":
		os.Exit(3)
	}
	return plugins.Effect{Outcome: plugins.Done, Reference: "r-" + key}, nil
}

// Notify implements plugins.Notifier.
func (o *obedient) Notify(ctx context.Context, e plugins.Event) (plugins.Effect, error) {
	subject := "-"
	for line := range strings.Lines(string(e.Headers)) {
		if value, is := strings.CutPrefix(line, "Subject: "); is {
			subject = strings.ReplaceAll(strings.TrimSpace(value), " ", "_")
		}
	}
	if err := o.log(e.Key, e.Mailbox, e.Name, e.Metadata.Identifier, subject); err != nil {
		return plugins.Effect{}, err
	}
	return o.told(ctx, e.Key)
}

// Deposit implements plugins.Depositor.
func (o *obedient) Deposit(ctx context.Context, b plugins.Bundle, c *plugins.Content) (plugins.Effect, error) {
	if err := o.log(b.Key, b.Mailbox, b.Event); err != nil {
		return plugins.Effect{}, err
	}
	data, err := io.ReadAll(c)
	if sum := sha256.Sum256(data); err != nil || string(sum[:]) != string(b.SHA256) {
		return plugins.Effect{Outcome: plugins.Later, Reason: "it is not what it should be"}, err
	}
	if err := os.WriteFile(filepath.Join(o.folder, b.Key+".eml"), data, 0o644); err != nil {
		return plugins.Effect{}, err
	}
	return o.told(ctx, b.Key)
}

// Status implements plugins.Depositor.
func (*obedient) Status(context.Context, string) (plugins.State, plugins.Effect, error) {
	return plugins.Unknown, plugins.Effect{}, nil
}

// Usage implements plugins.Depositor.
func (*obedient) Usage(context.Context, string) (plugins.Usage, error) { return plugins.Usage{}, nil }

// Exhibit implements plugins.Depositor.
func (*obedient) Exhibit(context.Context, string) (plugins.Bundle, io.ReadCloser, bool, error) {
	return plugins.Bundle{}, nil, false, nil
}

// Certificates implements plugins.KeyHolder.
func (o *obedient) Certificates(context.Context) ([]plugins.KeyEntry, error) {
	var entries []plugins.KeyEntry
	for _, pair := range []struct{ id, file string }{{"one", "cert.pem"}, {"two", "next.pem"}} {
		data, err := os.ReadFile(filepath.Join(o.folder, pair.file))
		if errors.Is(err, fs.ErrNotExist) && pair.id == "two" {
			break
		}
		if err != nil {
			return nil, err
		}
		entry := plugins.KeyEntry{ID: pair.id}
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			entry.Chain = append(entry.Chain, block.Bytes)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// Sign implements plugins.KeyHolder. Told "wrong", it signs something else.
func (o *obedient) Sign(ctx context.Context, id string, digest []byte) ([]byte, error) {
	file, known := map[string]string{"one": "key.pem", "two": "next.key"}[id]
	if !known {
		return nil, errors.New("no such key")
	}
	data, err := os.ReadFile(filepath.Join(o.folder, file))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	effect, err := o.told(ctx, "")
	if err != nil || effect.Outcome != plugins.Done {
		return nil, errors.Join(err, errors.New(effect.Reason))
	}
	if word, _ := os.ReadFile(filepath.Join(o.folder, "answer")); strings.TrimSpace(string(word)) == "wrong" {
		other := sha256.Sum256(digest)
		digest = other[:]
	}
	private, isRSA := key.(*rsa.PrivateKey)
	if !isRSA {
		return nil, errors.New("not RSA")
	}
	return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest)
}
