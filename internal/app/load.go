package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/internal/revocation"
	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/signer"
)

// trustEvery is how often the files of authorities and revocation lists are looked at. [C113]
const trustEvery = time.Minute

// parts are what both daemons load from a configuration.
type parts struct {
	config    *config.Config
	senders   config.SenderMap
	key       signer.Key
	hmac      transaction.Key
	trust     *signer.Trust
	lists     *revocation.Fetcher
	ocsp      *revocation.OCSP    // nil asks nobody
	watched   []*x509.Certificate // whose distribution points are followed beside those of the directory
	directory *directory.Loader
	mailboxes *mailbox.Mailboxes
	described map[string]plugins.Description // by [plugins.NAME]
	set       *pluginSet
}

// loader loads the parts of one daemon.
type loader struct {
	deps    Deps
	plugins *plugHost
	// keepDirectory: the accepted versions of the directory are kept. One of the daemons does, the agent; the other follows.
	keepDirectory bool
}

// load reads the configuration and all that it names; what is configured and missing is an error. With running, the parts
// of a daemon that runs, what it cannot change stays as it is there. The plug-ins of the parts run when it returns; on an
// error none was started.
func (l loader) load(ctx context.Context, path string, running *parts) (*parts, error) {
	p, err := l.read(ctx, path, running)
	if err != nil {
		return nil, err
	}
	if p.set, err = l.plugins.prepare(ctx, p); err != nil {
		return nil, err
	}
	if err := l.rest(ctx, p, running); err != nil {
		l.plugins.drop(p.set)
		return nil, err
	}
	return p, nil
}

// read reads the configuration, and asks its plug-ins what they are.
func (l loader) read(ctx context.Context, path string, running *parts) (*parts, error) {
	conf, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if running != nil {
		conf = keepFixed(conf, running, l.deps.Log)
	}
	if err := checkClock(conf, l.deps); err != nil {
		return nil, err
	}
	if faults := conf.CheckFiles(config.Look); len(faults) > 0 {
		return nil, faults
	}
	for _, w := range conf.Warnings() {
		l.deps.Log.Warn(w.String())
	}
	p := &parts{config: conf}
	var faults config.Faults
	if p.described, faults = DescribePlugins(ctx, conf); len(faults) > 0 {
		return nil, faults
	}
	return p, nil
}

// rest loads what the configuration names.
func (l loader) rest(ctx context.Context, p *parts, running *parts) (err error) {
	conf := p.config
	if p.key, err = l.key(ctx, p); err != nil {
		return err
	}
	if err := p.loadTrust(ctx, l, running); err != nil {
		return err
	}
	if conf.Submission.SenderMap != "" {
		if p.senders, err = config.LoadSenderMap(conf.Submission.SenderMap); err != nil {
			return err
		}
	}
	if p.directory, err = directory.Load(ctx, l.directoryOptions(p, running)); err != nil {
		return err
	}
	if p.mailboxes, err = newMailboxes(conf); err != nil {
		return err
	}
	if running != nil {
		p.keepProof(running, l.deps.Log)
	}
	err = p.checkSelf()
	if newer := p.directory.State().Err; err != nil && newer != nil {
		return fmt.Errorf("%w; and %w", err, newer)
	}
	return err
}

// directoryOptions: the agent keeps what it accepts, and the milter follows it.
func (l loader) directoryOptions(p, running *parts) directory.Options {
	o := directoryOptions(p.config, DirectoryFolder(p.config), l.deps)
	o.Follow, o.Metrics, o.Self = !l.keepDirectory, l.plugins.metrics, p.checkRecord
	if running != nil {
		o.Before = running.directory
	}
	return o
}

// DirectoryFolder is where the agent keeps the versions of the directory.
func DirectoryFolder(c *config.Config) string { return filepath.Join(c.Agent.State, "directory") }

func directoryOptions(c *config.Config, keep string, d Deps) directory.Options {
	return directory.Options{
		File: c.Directory.File, URL: c.Directory.URL, URLCA: c.Directory.URLCA,
		ClientCert: c.Directory.ClientCert, ClientKey: c.Directory.ClientKey, SignerCA: c.Directory.SignerCA,
		Every: c.Directory.CheckEvery, MaxLoss: c.Directory.MaxLoss, Keep: keep, Clock: d.Clock, Log: d.Log,
	}
}

// keepFixed puts back what a running daemon opened at its start, and says what it puts back.
func keepFixed(c *config.Config, running *parts, log *slog.Logger) *config.Config {
	kept, differ := c.KeepFixed(running.config)
	for _, setting := range differ {
		stays(log, setting)
	}
	return kept
}

// keepProof keeps the key by which the messages are known that wait in the queues: with another one, the agent would
// turn them away for good.
func (p *parts) keepProof(running *parts, log *slog.Logger) {
	if !p.hmac.Equal(running.hmac) {
		stays(log, "hmac.key")
	}
	p.hmac = running.hmac
}

func stays(log *slog.Logger, setting string) {
	log.Warn("this setting changes at the next start only; the old one stays", slog.String("setting", setting))
}

// maxPassword is the longest master password, in bytes.
const maxPassword = 1024

func newMailboxes(c *config.Config) (*mailbox.Mailboxes, error) {
	password, err := secret.Read(c.Dovecot.MasterPassword, maxPassword)
	if err != nil {
		return nil, err
	}
	roots, err := certificatePool(c.Dovecot.IMAPCA)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.Dovecot.IMAP)
	if err != nil {
		return nil, err
	}
	return mailbox.New(mailbox.Options{
		UserDB: c.Dovecot.UserdbSocket.Address, Maps: c.Incoming.AliasMaps, Domains: c.Provider.Domains,
		IMAP: mailbox.IMAP{
			Network: "tcp", Address: c.Dovecot.IMAP,
			TLS:    &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12},
			Master: c.Dovecot.MasterUser, Password: strings.TrimRight(string(password), "\r\n"),
		},
	}), nil
}

// certificatePool reads authorities; nil, the system's, when path is empty.
func certificatePool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in PEM form is in it", path)
	}
	return pool, nil
}

func (p *parts) provider() pec.Provider {
	return pec.Provider{Name: p.config.Provider.Name, Address: p.config.Provider.Address}
}

// checkSelf asks that the directory knows us as we know ourselves: others verify our messages by it. [C185]
func (p *parts) checkSelf() error { return p.checkRecord(p.directory.Current()) }

// checkRecord is checkSelf for any version.
func (p *parts) checkRecord(snapshot *directory.Snapshot) error {
	record, ok := snapshot.ByCertificate(p.key.Certificates()[0])
	if !ok {
		return errors.New("the directory does not have our certificate: no other provider would accept what we sign")
	}
	if record.Name != p.config.Provider.Name { // effects are known by the name of the directory
		return fmt.Errorf("the directory says that our name is %q, [provider] name says %q", record.Name, p.config.Provider.Name)
	}
	for _, domain := range p.config.Provider.Domains {
		if !record.Manages(domain) {
			return fmt.Errorf("the directory does not give us the domain %s: remove it from [provider] domains, or publish it", domain)
		}
	}
	if record.MailReceipt.Fold() != p.config.Provider.ServiceMailbox.Fold() {
		return fmt.Errorf("the directory says that our service mailbox is %s, [provider] service_mailbox says %s",
			record.MailReceipt, p.config.Provider.ServiceMailbox)
	}
	return nil
}

func (p *parts) verifier() *signer.Verifier {
	return &signer.Verifier{Trust: p.trust, Directory: func() signer.Directory { return p.directory.Current() }}
}

// watch keeps directory and trust fresh until ctx ends. What goes wrong is logged; what was good stays.
func (p *parts) watch(ctx context.Context, d Deps) {
	go func() { _ = p.directory.Run(ctx) }() // ends with ctx, and logs what goes wrong
	go func() { _ = p.lists.Run(ctx) }()     // likewise
	for d.Clock.Sleep(ctx, trustEvery) == nil {
		changed, err := p.trust.Refresh()
		if err != nil {
			d.Log.Error("authorities or revocation lists cannot be read; the old ones stay", slog.Any("error", err))
		}
		if changed && err == nil {
			d.Log.Info("authorities and revocation lists were read again")
		}
	}
}
