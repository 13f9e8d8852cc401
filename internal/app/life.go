package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/signer"
)

// lifeAgain is when the alarm of a certificate that ended, or is revoked, comes again.
const lifeAgain = time.Hour

// life watches the certificate that signs. The zero value has said nothing.
type life struct {
	said  int // how many of the marks before its end
	again time.Time
}

// look says when a mark before the end is passed, once, and what is revoked or has ended, again and again. [C210]
func (l *life) look(p *parts, now time.Time, log *slog.Logger, m *metrics.Metrics) {
	cert := p.key.Certificates()[0]
	left := cert.NotAfter.Sub(now)
	alarm := func(what string) {
		m.Count(metrics.Alarms, "certificate")
		log.Error(what, slog.Bool("alarm", true), slog.Time("ends", cert.NotAfter), slog.String("serial", cert.SerialNumber.Text(16)))
	}
	passed := 0
	for _, days := range []int{renewDays, urgentDays, lastDays} {
		if left < time.Duration(days)*day {
			passed++
		}
	}
	if passed > l.said {
		l.said = passed
		alarm("the certificate that signs ends soon: ceralacca cert check says what to do")
	}
	if now.Before(l.again) {
		return
	}
	switch err := p.trust.Listed(cert, now); {
	case errors.Is(err, signer.ErrRevoked):
		alarm("the certificate that signs is revoked: nobody accepts what we send")
	case left < 0:
		alarm("the certificate that signs has ended: nobody accepts what we send")
	default:
		return
	}
	l.again = now.Add(lifeAgain)
}

// watchCertificate looks until ctx ends.
func (p *parts) watchCertificate(ctx context.Context, d Deps, m *metrics.Metrics) {
	var l life
	for {
		l.look(p, d.Clock.Now(), d.Log, m)
		if d.Clock.Sleep(ctx, trustEvery) != nil {
			return
		}
	}
}
