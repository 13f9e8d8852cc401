package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/sincro"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/stamp"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
	"github.com/ceralacca/ceralacca/signer"
)

// ErrPackage says that a package does not hold.
var ErrPackage = errors.New("the package does not hold")

// Verifier knows who is trusted.
type Verifier struct {
	Signers *signer.Authorities
	Stamps  stamp.Authority
}

// maxPart is the longest part but a document that is read, in bytes.
const maxPart = 17 << 20

// Verified is what was found.
type Verified struct {
	Index   sincro.Index
	Stamped time.Time
	Signer  string
}

// Verify checks all of a package: each document, the index, its signature as of the stamp, and the stamp. An error that is
// ErrPackage says what does not hold; any other that it could not be read.
func (v Verifier) Verify(ctx context.Context, p store.Package) (Verified, error) {
	found, err := v.verifyIndex(ctx, p)
	if err != nil {
		return found, err
	}
	names, err := p.Files(ctx)
	if err != nil {
		return found, err
	}
	var listed []string
	for _, f := range found.Index.Files {
		listed = append(listed, f.Path)
		if !slices.Contains(names, f.Path) {
			return found, fmt.Errorf("%w: %s is missing", ErrPackage, f.Path)
		}
		if err := verifyFile(ctx, p, f); err != nil {
			return found, err
		}
	}
	known := append(listed, Index, Signed, Stamp, Sums, Readme, SignerCA, StampCA, "PIndex.estratto.xml")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return found, fmt.Errorf("%w: %s is not in the index", ErrPackage, name)
		}
	}
	return found, nil
}

func (v Verifier) verifyIndex(ctx context.Context, p store.Package) (found Verified, err error) {
	var index, signed, stamped []byte
	for name, into := range map[string]*[]byte{Index: &index, Signed: &signed, Stamp: &stamped} {
		if *into, err = read(ctx, p, name); err != nil {
			return found, err
		}
	}
	if found.Stamped, err = v.Stamps.Check(stamped, signed); err != nil {
		return found, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	content, cert, extra, err := signer.OpenAttached(signed)
	if err != nil {
		return found, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	if err := v.Signers.Check(cert, extra, found.Stamped); err != nil {
		return found, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	if !bytes.Equal(content, index) {
		return found, fmt.Errorf("%w: %s is not what was signed", ErrPackage, Index)
	}
	found.Signer = cert.Subject.String()
	if found.Index, err = sincro.Parse(index); err != nil {
		return found, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	return found, nil
}

func read(ctx context.Context, p store.Package, name string) ([]byte, error) {
	r, err := p.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(r, maxPart))
}

func verifyFile(ctx context.Context, p store.Package, f sincro.File) error {
	r, err := p.Open(ctx, f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%w: %s was changed", ErrPackage, f.Path)
	}
	return nil
}
