package signer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// crlGrace is how long a revocation list that was not renewed is still believed, unless [TrustFiles] say otherwise.
const crlGrace = 24 * time.Hour

// TrustFiles says what a [Trust] is made of.
type TrustFiles struct {
	// CA is a PEM file: the self-signed authorities in it are trusted, the others are for building chains.
	CA string
	// CRLs are files, PEM or DER, each with one revocation list or several, by authorities in CA. They may be left out only
	// when lists are Offered.
	CRLs []string
	// Offered says that somebody fetches lists and hands them over with [Trust.Offer].
	Offered bool
	// Grace is how long a list that was not renewed is still believed; zero is a day.
	Grace time.Duration
	// Online asks for the state of the certificates that sign, beside the lists; nil asks nobody.
	Online Online
	// Unknown is told of each certificate whose state nobody says, and returns the error of [Trust.Check], nil to let it
	// pass; without it the error stands. It MUST be safe for concurrent use.
	Unknown func(error) error
}

// Online asks whoever issued a certificate whether it holds, as of now (OCSP). It is safe for concurrent use.
type Online interface {
	// Ask returns what is known, and whether anything is. It MUST NOT take longer than mail may wait.
	Ask(cert, issuer *x509.Certificate) (OCSPAnswer, bool)
}

// Trust judges certificates: chain, dates and revocation. It is safe for concurrent use.
type Trust struct {
	files   TrustFiles
	writing sync.Mutex
	current atomic.Pointer[anchors]
}

// anchors is what is believed at one time: what was read from the files, and the lists that were offered. It is immutable.
type anchors struct {
	*Authorities
	lists   []*crl // of files, then of offers
	offered map[listID]*crl
	stamps  []fileStamp
}

// NewTrust reads the files, all of which MUST exist and be good: without revocation lists nobody is judged. [C110] [C111]
func NewTrust(files TrustFiles) (*Trust, error) {
	if files.Grace == 0 {
		files.Grace = crlGrace
	}
	t := &Trust{files: files}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the files again. When one is wrong it says so and keeps what it had. The caller decides when: on
// SIGHUP, for example. Lists that were offered stay. [C113]
func (t *Trust) Reload() error {
	a, err := t.files.read()
	if err != nil {
		return err
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	if old := t.current.Load(); old != nil {
		a.offered = old.offered
	}
	a.lists = append(a.lists, slices.Collect(maps.Values(a.offered))...)
	t.current.Store(a)
	return nil
}

// Refresh is Reload if one of the files changed since it was read, and tells whether it did. [C113]
func (t *Trust) Refresh() (bool, error) {
	stamps, err := t.files.stamp()
	if err != nil {
		return false, err
	}
	if slices.Equal(stamps, t.current.Load().stamps) {
		return false, nil
	}
	return true, t.Reload()
}

// fileStamp is what changes when a file is replaced or written.
type fileStamp struct {
	size     int64
	modified time.Time
}

func (f TrustFiles) stamp() ([]fileStamp, error) {
	var stamps []fileStamp
	for _, path := range append([]string{f.CA}, f.CRLs...) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, fileStamp{info.Size(), info.ModTime()})
	}
	return stamps, nil
}

func (f TrustFiles) read() (*anchors, error) {
	stamps, err := f.stamp() // before reading: a change in between is seen the next time
	if err != nil {
		return nil, err
	}
	authorities, err := ReadAuthorities(f.CA)
	if err != nil {
		return nil, err
	}
	a := &anchors{Authorities: authorities, stamps: stamps}
	if len(f.CRLs) == 0 && !f.Offered {
		return nil, fmt.Errorf("%w: none is configured", ErrNoCRL)
	}
	for _, path := range f.CRLs {
		lists, err := readCRLs(path, authorities.list)
		if err != nil {
			return nil, err
		}
		a.lists = append(a.lists, lists...)
	}
	return a, nil
}

// CRLState is what is known of one revocation list, for metrics and alarms.
type CRLState struct {
	File       string // or the URL
	Issuer     string
	NextUpdate time.Time
	Believed   time.Time // until when, if no newer one comes
}

// Ended says whether the successor of the list was due before an instant.
func (s CRLState) Ended(at time.Time) bool { return at.After(s.NextUpdate) }

// State lists the revocation lists by which [Trust.Check] judges certificates, as of an instant. A list that has a newer one in
// its place, or that speaks of none of them, is not there: that nobody renews it costs no mail.
func (t *Trust) State(at time.Time, certs []*x509.Certificate) []CRLState {
	a := t.current.Load()
	var states []CRLState
	seen := map[*crl]bool{nil: true}
	for _, list := range a.consulted(certs, at) {
		if !seen[list] {
			seen[list] = true
			states = append(states, CRLState{File: list.file, Issuer: list.list.Issuer.String(), NextUpdate: list.list.NextUpdate,
				Believed: list.list.NextUpdate.Add(t.files.Grace)})
		}
	}
	return states
}

// consulted are the lists that speak of certificates and of the authorities above them; nil stands for one that is missing, and
// some are there repeatedly.
func (a *anchors) consulted(certs []*x509.Certificate, at time.Time) (lists []*crl) {
	for _, cert := range certs {
		chains, _ := a.chains(cert, nil, at) // of one without a chain nothing counts, whatever lists say
		for _, chain := range chains {
			for i, cert := range chain[:len(chain)-1] {
				lists = append(lists, newest(a.lists, cert, chain[i+1]))
			}
		}
	}
	return lists
}

// Check judges a certificate as of an instant, with the certificates that came along. The chain leads to a trusted
// authority, allows e-mail protection and has no signature over SHA-1; the certificate is within its dates; a
// revocation list, or its issuer's answer, speaks of it, and neither it nor an authority below the root, where a list speaks
// of that, had been revoked by then. Errors are [ErrExpired], [ErrChain], [ErrRevoked] and [ErrNoCRL]. [C110] [C111] [C112]
func (t *Trust) Check(cert *x509.Certificate, extra []*x509.Certificate, at time.Time) error {
	a := t.current.Load()
	chains, err := a.chains(cert, extra, at)
	if err != nil {
		return err
	}
	for _, chain := range chains { // one that holds is enough; the error is that of the last
		if err = t.checkChain(a, chain, at); err == nil {
			return nil
		}
	}
	if errors.Is(err, ErrNoCRL) && t.files.Unknown != nil {
		return t.files.Unknown(err)
	}
	return err
}

// checkChain asks for the state of every certificate but the root.
func (t *Trust) checkChain(a *anchors, chain []*x509.Certificate, at time.Time) error {
	for i, cert := range chain[:len(chain)-1] {
		err := t.checkLists(a, cert, chain[i+1], at)
		if i > 0 && errors.Is(err, ErrNoCRL) && newest(a.lists, cert, chain[i+1]) == nil {
			continue // an authority nobody publishes a list of
		}
		if i == 0 {
			err = t.ask(cert, chain[1], at, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask completes what the lists say of a certificate that signs: revoked is what either of the two says is revoked; an
// answer stands in where there is no list.
func (t *Trust) ask(cert, issuer *x509.Certificate, at time.Time, listed error) error {
	if t.files.Online == nil || listed != nil && !errors.Is(listed, ErrNoCRL) {
		return listed
	}
	answer, known := t.files.Online.Ask(cert, issuer)
	switch {
	case !known:
		return listed
	case answer.Revoked && !answer.Since.After(at):
		return fmt.Errorf("%w: serial number %v of %s, by OCSP", ErrRevoked, cert.SerialNumber, issuer.Subject)
	}
	return nil
}

func (t *Trust) checkLists(a *anchors, cert, issuer *x509.Certificate, at time.Time) error {
	list := newest(a.lists, cert, issuer)
	if list == nil {
		return fmt.Errorf("%w of %s", ErrNoCRL, issuer.Subject)
	}
	// What is revoked stays so, however old the list is.
	if list.revokedAt(cert, at) {
		return fmt.Errorf("%w: serial number %v of %s", ErrRevoked, cert.SerialNumber, issuer.Subject)
	}
	due := list.list.NextUpdate
	if at.After(due.Add(t.files.Grace)) {
		return fmt.Errorf("%w of %s: %s ended %s", ErrNoCRL, issuer.Subject, list.file, due.UTC().Format(time.RFC3339))
	}
	return nil
}
