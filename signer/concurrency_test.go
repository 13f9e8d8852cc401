package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

func TestOneOfManyWhoSealADraftWins(t *testing.T) {
	p := newParty(t)
	d := draft(t, testArtefact(testContent))
	var won, late atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := d.SealTo(context.Background(), nil, p.key, now)
			if err == nil {
				won.Add(1)
			} else if errors.Is(err, ErrUsed) {
				late.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || late.Load() != 7 {
		t.Errorf("%d sealed the draft and %d came late, want 1 and 7", won.Load(), late.Load())
	}
}

func TestJudgingGoesOnWhileListsAreReloaded(t *testing.T) {
	p := newParty(t)
	message, sealedOne := sealed(t, p, composedAs(t, pec.KindTransport))
	v := judge(t, p)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				if got, err := v.Verify(pec.Bytes(message), now); err != nil || got.Problem != "" {
					t.Errorf("Verify = %+v, %v", got, err)
				}
				if err := sealedOne.WriteBody(io.Discard); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 10 {
				if err := v.Trust.Reload(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// device is a key that cannot be looked into, as one in hardware.
type device struct{ inside crypto.Signer }

func (d device) Public() crypto.PublicKey { return d.inside.Public() }

func (d device) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.inside.Sign(r, digest, o)
}

func TestAKeyThatHidesCanSeal(t *testing.T) {
	conformance.Covers(t, "C001")
	p := newParty(t)
	hidden, err := NewKey(device{rsaKey(t, "alfa")}, []*x509.Certificate{p.cert, p.root.cert})
	if err != nil {
		t.Fatal(err)
	}
	p.key = hidden
	message, _ := sealed(t, p, testArtefact(testContent))
	got := opens(t, p, string(message), testContent)
	if len(got.Certificates) != 2 || !got.Certificates[1].Equal(p.root.cert) {
		t.Errorf("the signature carries %d certificates, want that of the key and that of its authority", len(got.Certificates))
	}
	if _, err := NewKey(device{rsaKey(t, "alfa")}, nil); !errors.Is(err, ErrKey) {
		t.Errorf("NewKey without a certificate = %v, want %v", err, ErrKey)
	}
}
