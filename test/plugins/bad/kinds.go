package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"math/big"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
)

func carrier(fault string) func(context.Context, plugins.Setup) (plugins.Notifier, error) {
	return func(context.Context, plugins.Setup) (plugins.Notifier, error) {
		return &notifier{fault: fault, places: make(chan struct{}, places)}, nil
	}
}

// notifier is forgetful, and gives the same notification a new reference each time; or sulky, and keeps the place of a call
// that the host has cancelled.
type notifier struct {
	fault  string
	places chan struct{}
	count  atomic.Int64
}

// Notify implements plugins.Notifier.
func (n *notifier) Notify(ctx context.Context, e plugins.Event) (plugins.Effect, error) {
	if n.fault == "forgetful" {
		return plugins.Effect{Outcome: plugins.Done, Reference: strconv.FormatInt(n.count.Add(1), 10)}, nil
	}
	n.places <- struct{}{}
	select {
	case <-pause():
	case <-ctx.Done():
		if _, timed := ctx.Deadline(); !timed {
			select {}
		}
	}
	<-n.places
	return plugins.Effect{Outcome: plugins.Done, Reference: e.Key}, nil
}

func store(fault string) func(context.Context, plugins.Setup) (plugins.Depositor, error) {
	return func(context.Context, plugins.Setup) (plugins.Depositor, error) {
		return &keeper{fault: fault, kept: map[string][]byte{}}, nil
	}
}

// keeper is amnesiac, and knows nothing of what it took; or gullible, and takes what has another digest; or a doubler, and
// keeps the same twice.
type keeper struct {
	fault string
	mu    sync.Mutex
	kept  map[string][]byte
	again int64
}

// Deposit implements plugins.Depositor.
func (k *keeper) Deposit(_ context.Context, b plugins.Bundle, c *plugins.Content) (plugins.Effect, error) {
	sum := sha256.New()
	head, err := io.ReadAll(io.TeeReader(io.LimitReader(c, 1<<10), sum)) // small ones are all of it
	if err == nil {
		_, err = io.Copy(sum, c)
	}
	if err != nil {
		return plugins.Effect{}, err
	}
	if k.fault != "gullible" && !bytes.Equal(sum.Sum(nil), b.SHA256) {
		return plugins.Effect{Outcome: plugins.Refused, Reason: "another digest"}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.kept[b.Key]; found && k.fault == "doubler" {
		k.again++
	}
	k.kept[b.Key] = head
	return plugins.Effect{Outcome: plugins.Done, Reference: b.Key}, nil
}

// Status implements plugins.Depositor.
func (k *keeper) Status(_ context.Context, key string) (plugins.State, plugins.Effect, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.kept[key]; !found {
		return plugins.Unknown, plugins.Effect{}, nil
	}
	return plugins.Kept, plugins.Effect{Reference: key}, nil
}

// Usage implements plugins.Depositor.
func (k *keeper) Usage(context.Context, string) (plugins.Usage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return plugins.Usage{Items: int64(len(k.kept)) + k.again, Bytes: 1 << 30}, nil
}

// Exhibit implements plugins.Depositor.
func (k *keeper) Exhibit(_ context.Context, key string) (plugins.Bundle, io.ReadCloser, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	data, found := k.kept[key]
	if !found || k.fault == "amnesiac" {
		return plugins.Bundle{}, nil, false, nil
	}
	sum := sha256.Sum256(data)
	return plugins.Bundle{Size: int64(len(data)), SHA256: sum[:]}, io.NopCloser(bytes.NewReader(data)), true, nil
}

func smith(fault string) func(context.Context, plugins.Setup) (plugins.KeyHolder, error) {
	return func(context.Context, plugins.Setup) (plugins.KeyHolder, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		return holder{fault, key, der}, err
	}
}

// holder is a forger, whose signatures are those of another text; or generous, and signs for whom it does not know.
type holder struct {
	fault string
	key   *rsa.PrivateKey
	cert  []byte
}

// Certificates implements plugins.KeyHolder.
func (h holder) Certificates(context.Context) ([]plugins.KeyEntry, error) {
	return []plugins.KeyEntry{{ID: "1", Chain: [][]byte{h.cert}}}, nil
}

// Sign implements plugins.KeyHolder.
func (h holder) Sign(_ context.Context, _ string, digest []byte) ([]byte, error) {
	if h.fault == "forger" {
		digest = make([]byte, sha256.Size)
	}
	return rsa.SignPKCS1v15(rand.Reader, h.key, crypto.SHA256, digest)
}
