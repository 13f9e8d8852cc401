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
	if c.Plugin != "" {
		return l.remoteKey(ctx, p)
	}
	key, err := signer.LoadKey(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	if err := signer.CheckProfile(key.Certificates()[0], p.provider(), now); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Cert, err)
	}
	return key, nil
}

// remoteKey is a key of the plug-in: that of the certificate that the configuration names, or else the first whose
// certificate is good for us.
func (l loader) remoteKey(ctx context.Context, p *parts) (key signer.Key, err error) {
	c := p.config.Key
	fault := func(name string, err error, write string) error {
		return config.Faults{p.config.Fault("key", name, "plugins."+c.Plugin+": "+oneLine(err), write)}
	}
	const holder = "the name of a plug-in that holds a key with a certificate for [provider] name and address"
	running := p.set.of(plugins.KindKey)
	if len(running) == 0 {
		return nil, fault("plugin", errors.New("it is of another kind than key"), holder)
	}
	by := host.Key{Supervisor: running[0].supervisor}
	keys, err := pluginKeys(ctx, by)
	if err != nil {
		return nil, fault("plugin", err, holder)
	}
	if c.Cert == "" {
		if key, err = l.firstFit(by, keys, p); err != nil {
			return nil, fault("plugin", err, holder)
		}
		return key, nil
	}
	if key, err = l.named(by, keys, p); err != nil {
		return nil, fault("cert", err, "the path of a certificate, for [provider] name and address, of a key that the plug-in holds")
	}
	return key, nil
}

// named is the key of the certificate in key.cert, with the chain in that file.
func (l loader) named(by host.Key, keys []pluginKey, p *parts) (signer.Key, error) {
	file := p.config.Key.Cert
	chain, err := signer.ReadCertificates(file)
	if err != nil {
		return nil, err
	}
	k, found := ofCertificate(keys, chain[0])
	if !found {
		return nil, fmt.Errorf("it has no key for %s, serial number %X; it has %s", file, chain[0].SerialNumber, listed(keys))
	}
	if err := signer.CheckProfile(chain[0], p.provider(), l.deps.Clock.Now()); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l.held(by, k.id, chain)
}

// firstFit is the first key whose certificate is good for us.
func (l loader) firstFit(by host.Key, keys []pluginKey, p *parts) (signer.Key, error) {
	var unfit []error
	for _, k := range keys {
		err := k.err
		switch {
		case err != nil:
		case selfSigned(k.chain[0]):
			err = errors.New("it has no certificate but one that it signed itself; write key.cert")
		default:
			err = signer.CheckProfile(k.chain[0], p.provider(), l.deps.Clock.Now())
		}
		if err == nil {
			return l.held(by, k.id, k.chain)
		}
		unfit = append(unfit, fmt.Errorf("its key %.60q: %w", k.id, err))
	}
	return nil, errors.Join(unfit...)
}

// held signs with one key of a plug-in.
func (l loader) held(by host.Key, id string, chain []*x509.Certificate) (signer.Key, error) {
	return signer.NewRemoteKey(func(ctx context.Context, digest []byte) ([]byte, error) {
		_, done := l.plugins.use() // a reload waits for it
		defer done()
		return by.Sign(ctx, id, digest)
	}, chain, l.keyFailed)
}

// keyFailed: that a key behind a plug-in does not sign is for a person to know, while all that needs it is answered 451.
func (l loader) keyFailed(ctx context.Context, err error) {
	l.plugins.metrics.Count(metrics.Alarms, "key")
	l.deps.Log.ErrorContext(ctx, "the key does not sign; nothing is certified", slog.Bool("alarm", true), slog.Any("error", err))
}
