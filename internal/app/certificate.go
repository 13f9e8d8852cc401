package app

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/signer"
)

// The days before the end of the certificate that signs at which somebody is told.
const (
	renewDays  = 60
	urgentDays = 30
	lastDays   = 7
)

// day is a day.
const day = 24 * time.Hour

// CertificateState is what is known of a certificate of ours.
type CertificateState struct {
	File      string    `json:"file"`
	Subject   string    `json:"subject"`
	Serial    string    `json:"serial"`
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	DaysLeft  int       `json:"days_left"`
	// Published is since when at the latest the directory has it, by the versions that the agent kept; zero when they do not say.
	Published time.Time `json:"published,omitzero"`
	// Unread is why the versions before that could not be asked, or empty.
	Unread string `json:"unread,omitempty"`
	// Device is what the plug-in that has its key calls that; empty when the key is in a file, or the plug-in does not have it.
	Device string `json:"device,omitempty"`
	// Unasked is why this user could not ask the plug-in, or empty.
	Unasked string `json:"unasked,omitempty"`
	// Problems are what keeps it from signing, a sentence each.
	Problems []string `json:"problems"`

	cert        *x509.Certificate
	key         signer.Key
	unpublished bool
	kept        bool // there are versions that the agent kept
}

// CertificateReport is what is known of the certificate that signs and of the next.
type CertificateReport struct {
	Current *CertificateState `json:"current,omitempty"` // nil when a plug-in has it, and its file is not named
	Next    *CertificateState `json:"next,omitempty"`    // nil when none is configured
	Step    string            `json:"step"`              // what to do now

	device bool // a plug-in has the keys
}

// own judges certificates of ours.
type own struct {
	parts     *parts
	now       time.Time
	directory *directory.Snapshot
	kept      []directory.Version
	device    *device // nil: keys are in files
}

// newOwn loads what they are judged by: the directory in use, by which the daemons start and reload, and the lists of
// revocations, of which one is fetched when none is there.
func newOwn(ctx context.Context, c *config.Config, d Deps) (*own, error) {
	if err := checkClock(c, d); err != nil {
		return nil, err
	}
	o := &own{parts: &parts{config: c}, now: d.Clock.Now()}
	err := o.parts.newTrust(d, nil)
	if err != nil {
		return nil, err
	}
	if o.parts.lists, err = o.parts.newFetcher(d, nil); err != nil {
		return nil, err
	}
	o.parts.lists.Load(ctx)
	if o.kept, err = directory.Versions(DirectoryFolder(c)); err != nil {
		return nil, err
	}
	o.directory, err = inUseOrPublished(ctx, c, d)
	return o, err
}

// state judges the certificate of two files; without keyFile a plug-in has the key.
func (o *own) state(ctx context.Context, certFile, keyFile string) *CertificateState {
	s := &CertificateState{File: certFile, Problems: []string{}}
	list, err := signer.ReadCertificates(certFile)
	if err != nil {
		s.wrong(err)
		return s
	}
	s.cert = list[0]
	if keyFile != "" {
		if s.key, err = signer.LoadKey(certFile, keyFile); err != nil {
			s.wrong(err)
		} else {
			s.cert = s.key.Certificates()[0]
		}
	}
	s.describe(o.now)
	if o.device != nil {
		o.device.look(s)
	}
	s.wrong(signer.CheckProfile(s.cert, o.parts.provider(), o.now))
	s.wrong(o.vouched(ctx, s.cert))
	o.listed(s)
	return s
}

// listed notes whether, and since when, the directory in use has it.
func (o *own) listed(s *CertificateState) {
	s.kept = len(o.kept) > 0
	if _, listed := o.directory.ByCertificate(s.cert); !listed {
		s.unpublished = true
		problem := "the directory does not have it: no other provider would accept what it signs"
		if s.kept {
			problem = "the directory in use does not have it: no other provider would accept what it signs; if it is published, " + updateFirst
		}
		s.Problems = append(s.Problems, problem)
		return
	}
	var err error
	if s.Published, err = o.published(s.cert); err != nil {
		s.Unread = err.Error()
	}
}

// updateFirst is what to do when the agent has not yet taken what is published.
const updateFirst = "the agent does not have it yet: ceralacca directory update"

func (s *CertificateState) describe(now time.Time) {
	s.Subject, s.Serial = s.cert.Subject.String(), fmt.Sprintf("%X", s.cert.SerialNumber)
	s.SHA256 = fmt.Sprintf("%x", sha256.Sum256(s.cert.Raw))
	s.NotBefore, s.NotAfter = s.cert.NotBefore, s.cert.NotAfter
	s.DaysLeft = int(s.cert.NotAfter.Sub(now).Hours() / 24)
}

// wrong notes the lines of an error.
func (s *CertificateState) wrong(err error) {
	if err != nil {
		s.Problems = append(s.Problems, strings.Split(err.Error(), "\n")...)
	}
}

// vouched: chain and revocation. Dates are of the profile.
func (o *own) vouched(ctx context.Context, cert *x509.Certificate) error {
	err := o.parts.trust.Listed(cert, o.now)
	if errors.Is(err, signer.ErrNoCRL) && o.parts.config.Revocation.Fetches() {
		o.parts.watched = append(o.parts.watched, cert)
		ctx, cancel := context.WithTimeout(ctx, fetchAtStart)
		defer cancel()
		o.parts.lists.Fetch(ctx)
		err = o.parts.trust.Listed(cert, o.now)
	}
	if errors.Is(err, signer.ErrExpired) {
		return nil
	}
	return err
}

// published is the instant of the oldest version of the directory from which on all that the agent kept have a certificate;
// zero when the last has it not, or none is kept. With an error it is only known that it is no later.
func (o *own) published(cert *x509.Certificate) (since time.Time, err error) {
	for _, v := range slices.Backward(o.kept) {
		version, err := v.Open()
		if err != nil {
			return since, err
		}
		if _, has := version.ByCertificate(cert); !has {
			break
		}
		since = v.Instant
	}
	return since, nil
}

// CheckCertificate judges the certificate that signs, and the next, and says what to do. An error is that nothing can be said.
// When root asks it looks as the user of the daemons. A plug-in that has the keys is asked for them, as [CertificateState] says.
func CheckCertificate(ctx context.Context, c *config.Config, d Deps) (r *CertificateReport, err error) {
	dev := askDevice(ctx, c, d) // by root, who alone can start it as its own user
	err = asDaemon(c, func() error {
		r, err = checkCertificate(ctx, c, d, dev)
		return err
	})
	return r, err
}

func checkCertificate(ctx context.Context, c *config.Config, d Deps, dev *device) (*CertificateReport, error) {
	o, err := newOwn(ctx, c, d)
	if err != nil {
		return nil, err
	}
	o.device = dev
	r := &CertificateReport{device: dev != nil}
	if c.Key.Cert != "" {
		r.Current = o.state(ctx, c.Key.Cert, c.Key.Key)
	}
	if c.Key.NextCert != "" {
		r.Next = o.state(ctx, c.Key.NextCert, c.Key.NextKey)
	}
	r.Step = r.step(o.now)
	return r, nil
}

// Wrong says whether somebody must act: the certificate that signs cannot, or ends within so many days.
func (r *CertificateReport) Wrong(days int) bool {
	return r.Current != nil && (len(r.Current.Problems) > 0 || r.Current.DaysLeft < days)
}

// step is what to do now. [C210]
func (r *CertificateReport) step(now time.Time) string {
	request := "make a key and a request with ceralacca cert csr, have the authority certify it, and name both files in [key] next_cert and next_key"
	remove := "then remove next_cert and next_key"
	if r.device {
		request = "make the next key in the device, add it to what the plug-in holds, make its request with ceralacca cert csr, have the authority certify it, " +
			"and name the certificate in [key] next_cert"
		remove = "then remove next_cert, and its key from the plug-in and the device"
	}
	cur, next := r.Current, r.Next
	switch {
	case cur == nil && next == nil:
		return "a plug-in has the key: name its certificate in [key] cert, and the next one in next_cert, to have both looked at and published"
	case next == nil && cur.cert == nil:
		return "put the certificate and its key where [key] says"
	case next == nil && cur.DaysLeft > renewDays:
		return "nothing until " + cur.NotAfter.Add(-renewDays*day).Format(time.DateOnly) + "; then " + request
	case next == nil:
		return "now: " + request
	case cur != nil && cur.cert != nil && next.cert != nil && !next.NotAfter.After(cur.NotAfter) && len(cur.Problems) == 0:
		return "next_cert is the certificate before this one: leave it published for two days after the rotation, for mail on its way; " + remove
	case next.unpublished:
		return "publish it: ceralacca directory export, and send the file as the operator of the directory asks; ceralacca directory update takes what is published; " +
			"rotate a day after it is in the directory"
	case next.cert != nil && now.Before(next.NotBefore):
		return "wait until it is valid, " + next.NotBefore.UTC().Format(time.RFC3339)
	case len(next.Problems) > 0:
		return "the next certificate cannot sign: put right what is said of it"
	case cur == nil:
		return "name the certificate that signs in [key] cert; then ceralacca cert rotate"
	case next.early(now):
		return next.wait() + ", and when all providers have the new directory ceralacca cert rotate"
	}
	return "ceralacca cert rotate"
}

// early: other providers fetch the directory once a day, from when on is seen in what the agent kept; when it kept nothing
// nobody knows. [C213]
func (s *CertificateState) early(now time.Time) bool {
	return s.kept && (s.Published.IsZero() || now.Before(s.Published.Add(day)))
}

// wait is what to do while it is early.
func (s *CertificateState) wait() string {
	if s.Published.IsZero() { // it came between two looks
		return updateFirst
	}
	return "wait until " + s.Published.Add(day).UTC().Format(time.RFC3339)
}

// unread is what keeps it from being known since when the directory has it, to be put in a sentence.
func (s *CertificateState) unread() string {
	if s.Unread == "" {
		return ""
	}
	return " (of which not all can be read: " + s.Unread + ")"
}
