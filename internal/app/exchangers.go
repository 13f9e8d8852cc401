package app

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/internal/mxcheck"
)

const (
	exchangersEvery = 24 * time.Hour
	exchangersAgain = time.Hour // when DNS did not answer
)

// DNS is the resolver of the system.
func DNS() mxcheck.Resolver { return net.DefaultResolver }

// watchExchangers looks once a day whether the mail of our domains still comes to us alone, until ctx ends. Without network.mx
// it looks at nothing. [C231]
func (w *agentWorld) watchExchangers(ctx context.Context) {
	for {
		next := exchangersEvery
		if !w.checkExchangers(ctx) {
			next = exchangersAgain
		}
		if w.deps.Clock.Sleep(ctx, next) != nil {
			return
		}
	}
}

// checkExchangers says whether DNS answered.
func (w *agentWorld) checkExchangers(ctx context.Context) (answered bool) {
	c, resolver := w.configuration(), w.deps.Resolver
	if resolver == nil {
		resolver = DNS()
	}
	if len(c.Network.MX) == 0 {
		return true
	}
	answered = true
	for _, domain := range c.CertifiedDomains() {
		wrong, err := mxcheck.Check(ctx, resolver, domain, c.Network.MX)
		if err != nil {
			answered = false
			w.deps.Log.Warn("mail exchangers are not looked at", slog.Any("error", err))
		}
		for _, said := range wrong {
			w.metrics.Count(metrics.Alarms, "mx")
			w.deps.Log.Error("a mail exchanger is not ours", slog.Bool("alarm", true), slog.String("about", said))
		}
	}
	return answered
}
