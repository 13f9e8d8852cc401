package signer

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"
)

// What can be wrong with a list that is offered, apart from its signature.
var (
	// ErrReplayed says that a list is older than the one in use: it may hide a revocation.
	ErrReplayed = errors.New("revocation list is older than the one in use")
	// ErrSameList says that a list is the one in use.
	ErrSameList = errors.New("revocation list is the one in use")
)

// maxAhead is how far the beginning of a list may lie in the future: clocks differ.
const maxAhead = 10 * time.Minute

// listID says which list one is a version of: its authority, the key of that, and of which certificates it speaks.
type listID [sha256.Size]byte

func (c *crl) id() listID {
	hash := sha256.New()
	for _, part := range [][]byte{c.issuer.RawSubject, c.issuer.RawSubjectPublicKeyInfo, c.scope.Name.FullBytes} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	fmt.Fprintf(hash, "%t %t", c.scope.UserOnly, c.scope.CAOnly)
	return listID(hash.Sum(nil))
}

// OfferedList is a list that was taken.
type OfferedList struct {
	// Name is the same for all versions of a list, and fit for a file.
	Name                   string
	Issuer                 string
	ThisUpdate, NextUpdate time.Time
	Revoked                int // how many certificates are on it
	// Number is below that of the version before it, although it is newer: the authority errs.
	NumberFell bool
}

// Offer takes a revocation list that came from somewhere, DER or PEM, and puts it in use beside those of files. It may
// have 64 MiB. It is taken only when an authority signed it and it is newer than the version in use, as thisUpdate and then
// CRLNumber say: otherwise the error is [ErrReplayed] or [ErrSameList], and what was in use stays. With ErrSameList the list
// is described too. now is the present. [C113]
func (t *Trust) Offer(content []byte, from string, now time.Time) (OfferedList, error) {
	fresh, err := t.readOffer(content)
	if err != nil {
		return OfferedList{}, err
	}
	fresh.file = from
	if begins := fresh.list.ThisUpdate; begins.After(now.Add(maxAhead)) {
		return OfferedList{}, fmt.Errorf("the revocation list begins in the future, %s: which clock is wrong?", begins.UTC().Format(time.RFC3339))
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	a, id := t.current.Load(), fresh.id()
	described := fresh.describe(id)
	if old := a.offered[id]; old != nil {
		if err := old.before(fresh); err != nil {
			return described, err
		}
		described.NumberFell = lower(fresh.list.Number, old.list.Number)
	}
	t.current.Store(a.with(id, fresh))
	return described, nil
}

func (t *Trust) readOffer(content []byte) (*crl, error) {
	if len(content) > maxCRL {
		return nil, fmt.Errorf("the revocation list has more than %d bytes", maxCRL)
	}
	blocks, err := crlBlocks(content)
	if err != nil {
		return nil, err
	}
	if len(blocks) > 1 {
		return nil, errors.New("there are several revocation lists, not one")
	}
	return parseCRL(blocks[0], t.current.Load().list)
}

// before says what is wrong with a list that shall follow c.
func (c *crl) before(fresh *crl) error {
	was, is := c.list.ThisUpdate, fresh.list.ThisUpdate
	switch {
	case is.After(was):
		return nil
	case is.Before(was) || lower(fresh.list.Number, c.list.Number):
		return fmt.Errorf("%w: it is of %s, not of %s", ErrReplayed, is.UTC().Format(time.RFC3339), was.UTC().Format(time.RFC3339))
	case lower(c.list.Number, fresh.list.Number):
		return nil
	}
	return ErrSameList
}

// lower compares CRLNumbers, which a list may lack.
func lower(a, b *big.Int) bool { return a != nil && b != nil && a.Cmp(b) < 0 }

func (c *crl) describe(id listID) OfferedList {
	return OfferedList{Name: fmt.Sprintf("%x", id[:16]), Issuer: c.list.Issuer.String(), ThisUpdate: c.list.ThisUpdate,
		NextUpdate: c.list.NextUpdate, Revoked: len(c.revoked)}
}

// with is a with one list in the place of its version before.
func (a *anchors) with(id listID, fresh *crl) *anchors {
	next := *a
	next.offered = maps.Clone(a.offered)
	if next.offered == nil {
		next.offered = map[listID]*crl{}
	}
	old := next.offered[id]
	next.offered[id] = fresh
	next.lists = append(slices.DeleteFunc(slices.Clone(a.lists), func(c *crl) bool { return c == old }), fresh)
	return &next
}

// Inherit takes over what was offered to the Trust of an earlier configuration, as far as the authorities are still there.
func (t *Trust) Inherit(old *Trust) {
	t.writing.Lock()
	defer t.writing.Unlock()
	a := t.current.Load()
	for id, list := range old.current.Load().offered {
		known := slices.ContainsFunc(a.list, func(c *x509.Certificate) bool { return c.Equal(list.issuer) })
		if _, has := a.offered[id]; known && !has {
			a = a.with(id, list)
		}
	}
	t.current.Store(a)
}

// Issued reports whether an authority of t may have issued a certificate: whether its lists could be of use.
func (t *Trust) Issued(cert *x509.Certificate) bool {
	return slices.ContainsFunc(t.current.Load().list, func(a *x509.Certificate) bool {
		return string(a.RawSubject) == string(cert.RawIssuer)
	})
}

// Authorities are the certificates of the authorities. The slice is the caller's.
func (t *Trust) Authorities() []*x509.Certificate { return slices.Clone(t.current.Load().list) }

// Listed is [Trust.Check] by the lists alone: nobody is asked, and nobody told of what is not known.
func (t *Trust) Listed(cert *x509.Certificate, at time.Time) error {
	a := t.current.Load()
	chains, err := a.chains(cert, nil, at)
	if err != nil {
		return err
	}
	return t.checkLists(a, cert, chains[0][1], at)
}
