package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/signer"
)

// key is what signs: two files, or a plug-in. Its certificate is ours and good today. [C003]
func (l loader) key(ctx context.Context, p *parts) (signer.Key, error) {
	c, now := p.config.Key, l.deps.Clock.Now()
	if c.Plugin == "" {
		key, err := signer.LoadKey(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		if err := signer.CheckProfile(key.Certificates()[0], p.provider(), now); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Cert, err)
		}
		return key, nil
	}
	key, err := l.remoteKey(ctx, p)
	if err != nil {
		return nil, config.Faults{p.config.Fault("key", "plugin", "plugins."+c.Plugin+": "+oneLine(err),
			"the name of a plug-in that holds a key with a certificate for [provider] name and address")}
	}
	return key, nil
}

// remoteKey is the first key of the plug-in whose certificate is good for us.
func (l loader) remoteKey(ctx context.Context, p *parts) (signer.Key, error) {
	running := p.set.of(plugins.KindKey)
	if len(running) == 0 {
		return nil, errors.New("it is of another kind than key")
	}
	by := host.Key{Supervisor: running[0].supervisor}
	entries, err := by.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	var unfit []error
	for _, entry := range entries {
		key, err := l.held(by, entry)
		if err == nil {
			err = signer.CheckProfile(key.Certificates()[0], p.provider(), l.deps.Clock.Now())
		}
		if err == nil {
			return key, nil
		}
		unfit = append(unfit, fmt.Errorf("its key %.60q: %w", entry.ID, err))
	}
	return nil, errors.Join(unfit...)
}

// held is one key of a plug-in.
func (l loader) held(by host.Key, entry plugins.KeyEntry) (signer.Key, error) {
	chain := make([]*x509.Certificate, len(entry.Chain))
	for i, der := range entry.Chain {
		var err error
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	key, err := signer.NewRemoteKey(func(ctx context.Context, digest []byte) ([]byte, error) {
		_, done := l.plugins.use() // a reload waits for it
		defer done()
		return by.Sign(ctx, entry.ID, digest)
	}, chain)
	if err != nil {
		return nil, err
	}
	return alarming{key, l.deps.Log, l.plugins.metrics}, nil
}

// alarming is a key behind a plug-in: that it does not sign is for a person to know, while all that needs it is answered 451.
type alarming struct {
	signer.Key
	log     *slog.Logger
	metrics *metrics.Metrics
}

// Sign implements signer.Key.
func (a alarming) Sign(ctx context.Context, digest []byte) ([]byte, error) {
	signature, err := a.Key.Sign(ctx, digest)
	if err != nil && ctx.Err() == nil {
		a.metrics.Count(metrics.Alarms, "key")
		a.log.ErrorContext(ctx, "the key does not sign; nothing is certified", slog.Bool("alarm", true), slog.Any("error", err))
	}
	return signature, err
}
