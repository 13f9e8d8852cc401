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

// overdue watches the lists of revoked certificates that have ended: when the alarm of each comes again, by file and issuer.
type overdue map[[2]string]time.Time

// look says which of the lists that matter have ended and have no successor, whether or not mail comes, again and again: once
// they are believed no more, what those certificates sign waits. [C113]
func (o overdue) look(lists []signer.CRLState, now time.Time, log *slog.Logger, m *metrics.Metrics) {
	for _, list := range lists {
		id := [2]string{list.File, list.Issuer}
		if !list.Ended(now) || now.Before(o[id]) {
			continue
		}
		o[id] = now.Add(lifeAgain)
		m.Count(metrics.Alarms, "revocation")
		log.Error("a revocation list has ended, and no newer one came", slog.Bool("alarm", true), slog.String("file", list.File),
			slog.String("issuer", list.Issuer), slog.Time("ended", list.NextUpdate), slog.Time("believed_until", list.Believed))
	}
}

// watchCertificate looks at the certificate that signs, and at the lists of all, until ctx ends.
func (p *parts) watchCertificate(ctx context.Context, d Deps, m *metrics.Metrics) {
	var l life
	lists := overdue{}
	for {
		now := d.Clock.Now()
		l.look(p, now, d.Log, m)
		lists.look(p.trust.State(now, p.signers()), now, d.Log, m)
		if d.Clock.Sleep(ctx, trustEvery) != nil {
			return
		}
	}
}
