package signer

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer/internal/multipart"
)

// Draft is a composed message that may be sealed, once: a second signature over what was built for one event would
// be evidence of two. It is safe for concurrent use, in that one of several attempts wins.
type Draft struct {
	artefact *pec.Artefact
	used     atomic.Bool
}

// NewDraft checks all of a message but its content, which is checked while it is sealed, before anything is signed.
// It keeps a, which MUST NOT change any more. The error is [ErrLint] and says what we composed wrongly.
func NewDraft(a *pec.Artefact) (*Draft, error) {
	if err := lintHeader(a); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLint, err)
	}
	if len(a.Content) == 0 {
		return nil, fmt.Errorf("%w: there is no content", ErrLint)
	}
	return &Draft{artefact: a}, nil
}

// SealTo signs the message as of an instant and writes its body, the whole multipart/signed without the header, to w
// in one pass over the content; w may be nil, when the body is to be written later or not at all. The address in From
// MUST be one of the certificate of the key. [C001] [C004]
//
// It holds a few hundred KiB however long the content is. When it fails, what was written to w is worthless and the
// draft is used up. Errors are [ErrUsed], [ErrLint], [ErrKey], that of ctx, or those of content, w and key, which are
// temporary.
func (d *Draft) SealTo(ctx context.Context, w io.Writer, k Key, at time.Time) (*Sealed, error) {
	if !d.used.CompareAndSwap(false, true) {
		return nil, ErrUsed
	}
	chain := k.Certificates()
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: it has no certificate", ErrKey)
	}
	if err := d.checkFrom(chain[0]); err != nil {
		return nil, err
	}
	if w == nil {
		w = io.Discard
	}
	s := &Sealed{artefact: d.artefact}
	if _, err := io.WriteString(w, s.opening()); err != nil {
		return nil, err
	}
	if err := s.digestContent(ctx, w); err != nil {
		return nil, err
	}
	var err error
	if s.cms, err = signCMS(ctx, k, s.digest, at); err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, s.closing())
	return s, err
}

// Resume composes again what was sealed before, from the CMS that was stored; it reads the content once and needs no
// key. Errors are [ErrUsed], [ErrLint], [ErrDigest] when the signature is of other content, [ErrMalformed] and
// [ErrSignature] when it is none, and those of reading the content, which are temporary.
func (d *Draft) Resume(cms []byte) (*Sealed, error) {
	if !d.used.CompareAndSwap(false, true) {
		return nil, ErrUsed
	}
	s := &Sealed{artefact: d.artefact, cms: cms}
	if err := s.digestContent(context.Background(), io.Discard); err != nil {
		return nil, err
	}
	o, err := openCMS(cms, maxCMS, func(h crypto.Hash) ([]byte, error) {
		if h != crypto.SHA256 {
			return nil, fmt.Errorf("%w: it is over %v, which we do not write", ErrSignature, h)
		}
		return s.digest[:], nil
	})
	if mismatch, ok := errors.AsType[*pkcs7.MessageDigestMismatchError](err); ok {
		return nil, fmt.Errorf("%w: %w", ErrDigest, mismatch)
	}
	if err != nil {
		return nil, err
	}
	return s, d.checkFrom(o.signer)
}

// checkFrom: the author of what we generate is the address of the certificate that signs it. [C004]
func (d *Draft) checkFrom(cert *x509.Certificate) error {
	from, err := pec.ParseAddressList(d.artefact.Header.Values("From")[0].Value)
	if err != nil || len(from) != 1 {
		return fmt.Errorf("%w: From is not one address", ErrLint)
	}
	if !hasAddress(cert, from[0]) {
		return fmt.Errorf("%w: From is %s, which the certificate does not name", ErrLint, from[0])
	}
	return nil
}

// digestContent hashes the content while w takes it, and checks that a reader finds in it neither a delimiter of the
// multipart/signed nor a line end that somebody would rewrite.
func (s *Sealed) digestContent(ctx context.Context, w io.Writer) error {
	hash, scan := sha256.New(), multipart.NewScan(s.artefact.Boundary, 0)
	buf := make([]byte, bufferFor(s.artefact.Content...))
	for _, part := range s.artefact.Content {
		err := stream(ctx, part, buf, func(p []byte) error {
			_, _ = hash.Write(p) // a hash never fails
			if err := scan.Feed(p); err != nil {
				return fmt.Errorf("%w: %w", ErrLint, err)
			}
			_, err := w.Write(p)
			return err
		})
		if err != nil {
			return err
		}
	}
	err := scan.Finish()
	if err == nil && len(scan.Delimiters()) > 0 {
		err = errors.New("the boundary is in the content")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLint, err)
	}
	hash.Sum(s.digest[:0])
	return nil
}
