//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ThalesGroup/crypto11"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/signer"
)

// connection is a token that is logged in to, and its keys. It is safe for concurrent use.
type connection struct {
	token *crypto11.Context
	calls sync.WaitGroup // those that use it

	mu      sync.Mutex
	keys    map[string]heldKey // by the name of the wanted
	missing map[string]error   // those that cannot be used, and why
}

// heldKey is a key that fits its certificate.
type heldKey struct {
	sign  func(digest []byte) ([]byte, error)
	chain []*x509.Certificate
	bare  bool // no certificate was found for it; chain is what it signed itself
}

// connect logs in, once, and loads the keys. None at all is an error.
func connect(c config) (*connection, error) {
	seen, err := look(c)
	if err != nil {
		return nil, err
	}
	conn := &connection{keys: map[string]heldKey{}, missing: map[string]error{}}
	err = pin{c.pinFile}.try(seen, func(pin string) (err error) {
		o := crypto11.Config{Path: c.module, Pin: pin, MaxSessions: c.sessions + 1} // one stays open
		if o.TokenLabel = c.token; c.serial != "" {
			o.TokenLabel, o.TokenSerial = "", c.serial
		}
		conn.token, err = crypto11.Configure(&o)
		return err
	})
	if err != nil && conn.token != nil { // the PIN was right, and that could not be noted
		err = errors.Join(err, conn.token.Close())
	}
	if err != nil {
		return nil, err
	}
	conn.load(c.keys)
	wrong := conn.wrong(c.keys)
	if len(conn.keys) > 0 && !noSession(wrong) {
		return conn, nil
	}
	return nil, errors.Join(wrong, conn.close())
}

// close ends all sessions and lets go of the module, once the calls in hand have ended.
func (c *connection) close() error {
	c.calls.Wait()
	return c.token.Close()
}

// load looks for the keys that are not there yet, or have no certificate yet. What is there stays.
func (c *connection) load(list []wanted) {
	for _, w := range list {
		if has, err := c.key(w.name); err == nil && !has.bare {
			continue
		}
		held, err := c.find(w)
		c.mu.Lock()
		if err == nil {
			c.keys[w.name] = held
			delete(c.missing, w.name)
		} else {
			c.missing[w.name] = fmt.Errorf("the key with %s: %w", w.name, err)
		}
		c.mu.Unlock()
	}
}

// key is one of those that can be used.
func (c *connection) key(name string) (heldKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held, found := c.keys[name]; found {
		return held, nil
	}
	if err := c.missing[name]; err != nil {
		return heldKey{}, err
	}
	return heldKey{}, fmt.Errorf("there is no key %.60q", name)
}

// lacking says whether a key is missing or without a certificate.
func (c *connection) lacking(list []wanted) bool {
	return slices.ContainsFunc(list, func(w wanted) bool {
		held, err := c.key(w.name)
		return err != nil || held.bare
	})
}

// wrong says what is wrong with the keys that cannot be used; nil when all can.
func (c *connection) wrong(list []wanted) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []error
	for _, w := range list {
		all = append(all, c.missing[w.name])
	}
	return errors.Join(all...)
}

// entries are the keys that can be used, in the order of list.
func (c *connection) entries(list []wanted) (entries []plugins.KeyEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range list {
		held, found := c.keys[w.name]
		if !found {
			continue
		}
		entry := plugins.KeyEntry{ID: w.name}
		for _, cert := range held.chain {
			entry.Chain = append(entry.Chain, cert.Raw)
		}
		entries = append(entries, entry)
	}
	return entries
}

// find finds one key, and has it sign: only what the certificate verifies proves that the private key is its own. What the
// token says of its public key proves nothing.
func (c *connection) find(w wanted) (heldKey, error) {
	found, err := c.token.FindRSAPrivateKeys(w.id, []byte(w.label))
	switch {
	case err != nil:
		return heldKey{}, fmt.Errorf("it cannot be looked for: %w", err)
	case len(found) == 0:
		return heldKey{}, errors.New("the token has no such RSA private key")
	case len(found) > 1:
		return heldKey{}, fmt.Errorf("the token has %d such private keys; write id and label", len(found))
	}
	held := heldKey{chain: w.chain, sign: func(digest []byte) ([]byte, error) {
		return found[0].Sign(rand.Reader, digest, crypto.SHA256)
	}}
	if held.chain == nil {
		if held.chain, err = c.certificate(w, found[0]); err == nil && held.chain == nil {
			held.bare = true
			held.chain, err = c.itself(found[0], held.sign)
		}
		if err != nil {
			return heldKey{}, err
		}
	}
	proved, err := signer.NewRemoteKey(func(_ context.Context, digest []byte) ([]byte, error) { return held.sign(digest) }, held.chain, nil)
	if err != nil {
		return heldKey{}, err
	}
	digest := sha256.Sum256([]byte("ceralacca: does this key belong to its certificate?"))
	if _, err := proved.Sign(context.Background(), digest[:]); err != nil {
		return heldKey{}, fmt.Errorf("it is not that of its certificate, or does not sign: %w", err)
	}
	return held, nil
}

// certificate is the one in the token with the CKA_ID of the key, or else its CKA_LABEL; nil when there is none.
func (c *connection) certificate(w wanted, key crypto11.RSAPrivateKey) ([]*x509.Certificate, error) {
	id := w.id
	if len(id) == 0 {
		if attribute, err := c.token.GetAttribute(key, crypto11.CkaId); err == nil && attribute != nil {
			id = attribute.Value
		}
	}
	var cert *x509.Certificate
	var err error
	if len(id) > 0 {
		cert, err = c.token.FindCertificate(id, nil, nil)
	}
	if cert == nil && err == nil && w.label != "" {
		cert, err = c.token.FindCertificate(nil, []byte(w.label), nil)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("its certificate in the token cannot be read: %w", err)
	case cert == nil:
		return nil, nil
	}
	return []*x509.Certificate{cert}, nil
}

// present says whether the token still has its keys, without a signature.
func (c *connection) present(list []wanted) error {
	for _, w := range list {
		if _, err := c.key(w.name); err != nil {
			continue
		}
		if found, err := c.token.FindRSAPrivateKeys(w.id, []byte(w.label)); err != nil || len(found) != 1 {
			return errors.Join(fmt.Errorf("the key with %s is not in the token any more", w.name), err)
		}
	}
	return nil
}
