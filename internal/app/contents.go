package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/signer"
)

// CheckContents looks into the files that a configuration names, once [config.Config.CheckFiles] has found them, and
// returns what would keep the daemons from starting, in the order of the configuration. The sender map is read by itself.
// Warnings are of what keeps no daemon from starting. Nobody else is asked: not the directory behind a URL, not Dovecot.
func CheckContents(ctx context.Context, c *config.Config, d Deps) (faults, warnings config.Faults) {
	l := &contents{config: c, parts: &parts{config: c}}
	l.signing(ctx, d)
	l.next(d.Clock.Now())
	l.published()
	l.transport()
	l.rest(ctx, d)
	l.faults.Sort()
	return l.faults, l.warnings
}

// contents collects the faults of files.
type contents struct {
	config   *config.Config
	parts    *parts
	own      *x509.Certificate // that signs; nil when it cannot be read, or only a plug-in knows it
	faults   config.Faults
	warnings config.Faults
}

// good notes an error of what the key of a section names, and says whether there was none.
func (l *contents) good(section, key string, err error, write string) bool {
	if err != nil {
		l.faults = append(l.faults, l.config.Fault(section, key, section+"."+key+": "+strings.ReplaceAll(err.Error(), "\n", "; "), write))
	}
	return err == nil
}

// signing: what signs, and what says that it may. [C003]
func (l *contents) signing(ctx context.Context, d Deps) {
	c, p := l.config.Key, l.parts
	certificate := "the paths of our certificate and of its key, both in PEM"
	var own *x509.Certificate
	var err error
	switch { // a plug-in is not asked: it may stand before a device
	case c.Plugin == "":
		own, p.key, err = pair(c.Cert, c.Key)
	case c.Cert != "":
		certificate = "the path of the certificate of a key in the plug-in"
		own, p.key, err = away(c.Cert)
	}
	l.own = own
	usable := c.Cert != "" && l.good("key", "cert", err, certificate) &&
		l.good("key", "cert", signer.CheckProfile(own, p.provider(), d.Clock.Now()), "the path of a certificate for [provider] name and address")
	_, err = signer.ReadAuthorities(c.CA)
	if !l.good("key", "ca", err, "the path of the certificates of the authorities, in PEM") {
		return
	}
	_, err = certificatePool(l.config.Revocation.HTTPSCA)
	if !l.good("revocation", "https_ca", err, "the path of certificates of authorities, in PEM") {
		return
	}
	err = p.newTrust(d, nil)
	if !l.good("key", "crl", err, "the paths of revocation lists of the authorities in key.ca") || !usable {
		return
	}
	if p.lists, err = p.newFetcher(d, nil); err == nil { // what could be wrong with it was looked at
		p.lists.Load(ctx)
	}
	err = p.trust.Check(own, nil, d.Clock.Now())
	if errors.Is(err, signer.ErrNoCRL) && l.config.Revocation.Fetches() {
		err = nil // the daemon fetches one, and nobody is asked here
	}
	l.good("key", "cert", err, "the path of a certificate that the authorities in key.ca vouch for")
}

// pair reads a certificate and its key, which is nil when it may not be read.
func pair(cert, key string) (*x509.Certificate, signer.Key, error) {
	if key != "" {
		loaded, err := signer.LoadKey(cert, key)
		if err == nil {
			return loaded.Certificates()[0], loaded, nil
		}
		if !ofTheDaemon(err) {
			return nil, nil, err
		}
	}
	list, err := signer.ReadCertificates(cert)
	if err != nil {
		return nil, nil, err
	}
	return list[0], nil, nil
}

// away reads a certificate whose key is in a plug-in; the key that it returns does not sign.
func away(cert string) (*x509.Certificate, signer.Key, error) {
	chain, err := signer.ReadCertificates(cert)
	if err != nil {
		return nil, nil, err
	}
	key, err := signer.NewRemoteKey(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("the key is in a plug-in") }, chain, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", cert, err)
	}
	return chain[0], key, nil
}

// next looks at the pair that cert rotate changes to: that it fits, and will do when it is valid. After a rotation it is the one
// before, which may have ended. [C003]
func (l *contents) next(now time.Time) {
	k := l.config.Key
	if k.NextCert == "" {
		return
	}
	next, _, err := pair(k.NextCert, k.NextKey)
	if !l.good("key", "next_cert", err, "the paths of the next certificate and of its key, both in PEM") {
		return
	}
	if now.After(next.NotAfter) && l.own != nil && l.own.NotAfter.After(next.NotAfter) {
		return
	}
	if now.Before(next.NotBefore) {
		now = next.NotBefore
	}
	l.good("key", "next_cert", signer.CheckProfile(next, l.parts.provider(), now), "the path of a certificate for [provider] name and address")
}

// published looks at what only directory export reads.
func (l *contents) published() {
	p := l.config.Publish
	certificates := func(section string, files []string) {
		for _, file := range files {
			_, err := signer.ReadCertificates(file)
			l.good(section, "certs", err, "the paths of certificates in PEM")
		}
	}
	certificates("publish", p.Certs)
	if p.SignerCert != "" {
		_, _, err := pair(p.SignerCert, p.SignerKey)
		l.good("publish", "signer_cert", err, "the paths of the certificate that signs the file and of its key, both in PEM")
	}
	for _, e := range l.config.Environments {
		certificates("environments."+e.Name, e.Certs)
	}
}

// ofTheDaemon: root, who cannot know the user of the daemon, is told nothing of the owner of a secret, as [config.Look] has it.
func ofTheDaemon(err error) bool { return os.Geteuid() == 0 && errors.Is(err, secret.ErrOwner) }

// transport: what TLS needs.
func (l *contents) transport() {
	a, r := l.config.Agent, l.config.Directory
	for _, pool := range []struct{ section, key, path string }{
		{"agent", "out_ca", a.OutCA}, {"directory", "url_ca", r.URLCA}, {"dovecot", "imap_ca", l.config.Dovecot.IMAPCA},
	} {
		_, err := certificatePool(pool.path)
		l.good(pool.section, pool.key, err, "the path of certificates of authorities, in PEM")
	}
	for _, pair := range []struct{ section, key, cert, secret string }{
		{"agent", "out_cert", a.OutCert, a.OutKey}, {"directory", "client_cert", r.ClientCert, r.ClientKey},
	} {
		if pair.cert == "" {
			continue
		}
		_, err := tls.LoadX509KeyPair(pair.cert, pair.secret)
		l.good(pair.section, pair.key, err, "the paths of a client certificate and of its key, both in PEM")
	}
}

// rest: what the daemons share, and the directory when it is a file.
func (l *contents) rest(ctx context.Context, d Deps) {
	_, err := transaction.LoadKey(l.config.HMAC.Key)
	if !ofTheDaemon(err) {
		l.good("hmac", "key", err, "the path of a file of at least 32 random bytes: openssl rand -out FILE 32")
	}
	_, err = signer.ReadAuthorities(l.config.Directory.SignerCA)
	if !l.good("directory", "signer_ca", err, "the path of the authority that signs the directory, in PEM") || l.config.Directory.File == "" {
		return
	}
	l.parts.directory, err = directory.Load(ctx, directoryOptions(l.config, "", d))
	if l.good("directory", "file", err, "the path of the signed directory") && l.parts.key != nil {
		l.self()
	}
}

// self: a file without us waits for a person, and keeps no daemon from starting, while the version in use knows us. [C185] [C224]
func (l *contents) self() {
	err := l.parts.checkSelf()
	const write = "the path of a directory that lists us"
	if used, unread := inUse(l.config); err == nil || unread != nil || used == nil || l.parts.checkRecord(used) != nil {
		l.good("directory", "file", err, write)
		return
	}
	l.warnings = append(l.warnings, l.config.Fault("directory", "file", "directory.file: "+err.Error()+"; the version in use knows us, and stays in use", write))
}
