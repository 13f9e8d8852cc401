package app

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
	"github.com/ceralacca/ceralacca/signer"
)

// device is what the plug-in of [key] said to a command, which started a process of it for that: the daemons need not run, and
// may still know an older configuration.
type device struct {
	plugin string
	keys   []pluginKey // each was asked to sign
	err    error       // why it said nothing
}

// withDevice runs fn with a process of the plug-in of [key] that ends with it. It is started as the configuration says, so by
// root, or by who may do what the daemons may.
func withDevice(ctx context.Context, c *config.Config, d Deps, fn func(context.Context, plugins.KeyHolder) error) error {
	at := slices.IndexFunc(c.Plugins, func(p config.Plugin) bool { return p.Name == c.Key.Plugin })
	if at < 0 {
		return fmt.Errorf("there is no [plugins.%s]", c.Key.Plugin)
	}
	section := c.Plugins[at]
	description, err := Program(section).Describe(ctx)
	if err != nil {
		return err
	}
	if description.Kind != plugins.KindKey {
		return fmt.Errorf("it is of the kind %s, not key", description.Kind)
	}
	if misfits := host.CheckConfig(description, section.Values); len(misfits) > 0 {
		return fmt.Errorf("%s (ceralacca check-config)", misfits[0])
	}
	dir, err := os.MkdirTemp("", "cc")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the process has ended
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	process, err := host.Start(ctx, host.Options{Name: section.Name, Program: Program(section), Kind: plugins.KindKey, Config: section.Values,
		RunDir: dir, HostVersion: version(), Clock: d.Clock, Log: d.Log}, description)
	if err != nil {
		return err
	}
	defer process.Stop()
	ctx, cancel := context.WithTimeout(ctx, section.Deadline)
	defer cancel()
	return fn(ctx, process)
}

// askDevice asks for the keys, and has each of them sign. It is nil when the key is in a file.
func askDevice(ctx context.Context, c *config.Config, d Deps) *device {
	if c.Key.Plugin == "" {
		return nil
	}
	dev := &device{plugin: c.Key.Plugin}
	dev.err = withDevice(ctx, c, d, func(ctx context.Context, by plugins.KeyHolder) (err error) {
		if dev.keys, err = pluginKeys(ctx, by); err != nil {
			return err
		}
		for i, k := range dev.keys {
			if k.err == nil {
				dev.keys[i].err = k.proves(ctx, by)
			}
		}
		return nil
	})
	return dev
}

// remote is the key as a signer of what its certificate verifies.
func (k pluginKey) remote(by plugins.KeyHolder) (signer.Key, error) {
	return signer.NewRemoteKey(func(ctx context.Context, digest []byte) ([]byte, error) { return by.Sign(ctx, k.id, digest) }, k.chain, nil)
}

// proves has the key sign.
func (k pluginKey) proves(ctx context.Context, by plugins.KeyHolder) error {
	key, err := k.remote(by)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("ceralacca: does this key sign?"))
	_, err = key.Sign(ctx, digest[:])
	return err
}

// find is the key of a certificate, which has signed.
func (dev *device) find(cert *x509.Certificate) (pluginKey, error) {
	if dev.err != nil {
		return pluginKey{}, fmt.Errorf("the plug-in %q does not say whether it has its key: %s", dev.plugin, oneLine(dev.err))
	}
	k, found := ofCertificate(dev.keys, cert)
	if !found {
		return k, fmt.Errorf("the plug-in %q does not have its key; it has %s", dev.plugin, listed(dev.keys))
	}
	return k, nil
}

// unasked says whether it is for who asks that nothing was said: the user may not start the plug-in.
func (dev *device) unasked() bool { return errors.Is(dev.err, host.ErrIsolation) && os.Geteuid() != 0 }

// look notes whether the plug-in has the key of a certificate.
func (dev *device) look(s *CertificateState) {
	k, err := dev.find(s.cert)
	switch {
	case err == nil:
		s.Device = k.id
	case dev.unasked():
		s.Unasked = oneLine(dev.err)
	default:
		s.wrong(err)
	}
}

// DeviceRequest makes the request (PKCS#10, PEM) for the certificate of a key in the plug-in of [key], which signs it; the key
// may have no certificate yet. name is what the plug-in calls the key, or a part of it that is in no other name. It returns
// what the plug-in calls it. [C003] [C225]
func DeviceRequest(ctx context.Context, c *config.Config, d Deps, name string) (id string, request []byte, err error) {
	err = withDevice(ctx, c, d, func(ctx context.Context, by plugins.KeyHolder) error {
		keys, err := pluginKeys(ctx, by)
		if err != nil {
			return err
		}
		k, err := called(keys, name)
		if err != nil {
			return err
		}
		key, err := k.remote(by)
		if err != nil {
			return err
		}
		id = k.id
		request, err = signer.KeyRequest(ctx, pec.Provider{Name: c.Provider.Name, Address: c.Provider.Address}, key)
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("plugins.%s: %s", c.Key.Plugin, oneLine(err))
	}
	return id, request, nil
}

// called finds the key of a name, or of a part of one.
func called(keys []pluginKey, name string) (pluginKey, error) {
	usable := slices.DeleteFunc(slices.Clone(keys), func(k pluginKey) bool { return k.err != nil })
	for _, like := range []func(id string) bool{
		func(id string) bool { return id == name },
		func(id string) bool { return strings.Contains(id, name) },
	} {
		fit := slices.DeleteFunc(slices.Clone(usable), func(k pluginKey) bool { return !like(k.id) })
		switch {
		case len(fit) == 1:
			return fit[0], nil
		case len(fit) > 1:
			return pluginKey{}, fmt.Errorf("%q may be %s: write more of its name", name, listed(fit))
		}
	}
	return pluginKey{}, fmt.Errorf("it has no key %q that can sign; it has %s", name, listed(keys))
}
