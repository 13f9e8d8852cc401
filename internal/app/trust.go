package app

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/revocation"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/signer"
)

// fetchAtStart is how long a daemon without any revocation list waits for the first ones.
const fetchAtStart = 30 * time.Second

// loadTrust loads what is trusted, and checks that it vouches for our certificate today. Lists that were fetched before are in
// use at once; only a daemon that has none of our own certificate waits for servers. [C003] [C113]
func (p *parts) loadTrust(ctx context.Context, l loader, running *parts) (err error) {
	if p.hmac, err = transaction.LoadKey(p.config.HMAC.Key); err != nil {
		return err
	}
	m := l.plugins.metrics
	if err := p.newTrust(l.deps, m); err != nil {
		return err
	}
	if p.lists, err = p.newFetcher(l.deps, m); err != nil {
		return err
	}
	if running != nil {
		p.trust.Inherit(running.trust)
		if p.ocsp != nil {
			p.ocsp.Inherit(running.ocsp)
		}
	}
	p.lists.Load(ctx)
	own, now := p.key.Certificates()[0], l.deps.Clock.Now()
	p.watched = []*x509.Certificate{own}
	if p.config.Revocation.Fetches() && errors.Is(p.trust.Listed(own, now), signer.ErrNoCRL) {
		waiting, cancel := context.WithTimeout(ctx, fetchAtStart)
		p.lists.Fetch(waiting)
		cancel()
	}
	return p.trust.Check(own, nil, now)
}

// newTrust reads authorities and the lists that are in files. m may be nil.
func (p *parts) newTrust(d Deps, m *metrics.Metrics) (err error) {
	c := p.config
	roots, err := certificatePool(c.Revocation.HTTPSCA)
	if err != nil {
		return err
	}
	files := signer.TrustFiles{CA: c.Key.CA, CRLs: c.Key.CRL, Offered: c.Revocation.Fetches(), Grace: c.Revocation.Grace,
		Unknown: unknown(c.Revocation.Unavailable, d.Log, m)}
	if c.Revocation.OCSP == config.OCSPOn {
		p.ocsp = revocation.NewOCSP(revocation.OCSPOptions{
			Deadline: c.Revocation.OCSPDeadline, Every: c.Revocation.Every, Roots: roots, Clock: d.Clock, Log: d.Log, Metrics: m,
		})
		files.Online = p.ocsp
	}
	p.trust, err = signer.NewTrust(files)
	return err
}

// unknown is what becomes of a certificate of which nobody says whether it is revoked. [C111]
func unknown(unavailable string, log *slog.Logger, m *metrics.Metrics) func(error) error {
	return func(err error) error {
		m.Count(metrics.Alarms, "revocation")
		if unavailable == config.UnavailableAccept {
			m.Count(metrics.RevocationUnknown, "accepted")
			log.Error("nobody says whether a certificate is revoked; it is accepted, as [revocation] unavailable has it",
				slog.Bool("alarm", true), slog.Any("error", err))
			return nil
		}
		m.Count(metrics.RevocationUnknown, "deferred")
		log.Error("nobody says whether a certificate is revoked; what it signed waits (451)", slog.Bool("alarm", true), slog.Any("error", err))
		return err
	}
}

// newFetcher makes what fetches the lists of trust. m may be nil.
func (p *parts) newFetcher(d Deps, m *metrics.Metrics) (*revocation.Fetcher, error) {
	c := p.config.Revocation
	roots, err := certificatePool(c.HTTPSCA)
	if err != nil {
		return nil, err
	}
	o := revocation.Options{
		URLs: c.URLs, Cache: c.Cache, Every: c.Every, Roots: roots, Trust: p.trust, Clock: d.Clock, Log: d.Log, Metrics: m,
	}
	if c.DistributionPoints == config.PointsFollow {
		o.Certificates = p.certificates
	}
	return revocation.New(o), nil
}

// certificates are all whose revocation matters to us: the authorities', and those of signers.
func (p *parts) certificates() []*x509.Certificate {
	return append(p.trust.Authorities(), p.signers()...)
}

// signers are the certificates by which mail is signed: our own, and those of the directory.
func (p *parts) signers() []*x509.Certificate {
	all := slices.Clone(p.watched)
	if p.directory == nil { // it is being loaded
		return all
	}
	for _, record := range p.directory.Current().Providers() {
		all = append(all, record.Certificates...)
	}
	return all
}
