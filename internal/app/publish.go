package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory/publish"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// ErrNothingToPublish says that the configuration has no section [publish].
var ErrNothingToPublish = errors.New("the configuration has no section [publish], which says where our records are published")

// Publication is what we publish of ourselves.
type Publication struct {
	Records []publish.Record // the main one first
	LDIF    []byte
	P7M     []byte // LDIF, signature and certificate; nil when it was only composed
}

// Publish composes and signs our records of the directory; as root it looks at the key as the user to whom it belongs. What is
// wrong with the records is in faults, a sentence each, and there is no Publication then; err is a failure to read what the
// configuration names. [C211] [C212] [C222]
func Publish(ctx context.Context, c *config.Config, d Deps) (p *Publication, faults []error, err error) {
	key, err := publishingKey(c)
	if err != nil {
		return nil, nil, err
	}
	p, faults, err = ComposePublication(c, d)
	if err != nil {
		return nil, nil, err
	}
	if faults = append(signsAt(key, d.Clock.Now()), faults...); len(faults) > 0 {
		return nil, faults, nil
	}
	p.P7M, err = signer.SealAttached(ctx, key, p.LDIF)
	return p, nil, err
}

// signsAt: the certificate that signs the file must be good.
func signsAt(key signer.Key, now time.Time) []error {
	by := key.Certificates()[0]
	if now.Before(by.NotBefore) || now.After(by.NotAfter) {
		return []error{fmt.Errorf("the certificate that signs the file, %q, is good from %s to %s, not today",
			by.Subject.CommonName, by.NotBefore.Format(time.RFC3339), by.NotAfter.Format(time.RFC3339))}
	}
	return nil
}

// ComposePublication is Publish without a signature, for which no key is needed.
func ComposePublication(c *config.Config, d Deps) (p *Publication, faults []error, err error) {
	if c.Publish.LDIFURL == "" {
		return nil, nil, ErrNothingToPublish
	}
	if err := checkClock(c, d); err != nil {
		return nil, nil, err
	}
	chains := chains{}
	records, err := chains.records(c)
	if err != nil {
		return nil, nil, err
	}
	vouch, err := chains.vouch(c)
	if err != nil {
		return nil, nil, err
	}
	if faults = publish.Check(records, d.Clock.Now(), vouch); len(faults) > 0 {
		return nil, faults, nil
	}
	return &Publication{Records: records, LDIF: publish.LDIF(records)}, nil, nil
}

// publishingKey is the pair that signs the file: that of [key], or another that is configured.
func publishingKey(c *config.Config) (k signer.Key, err error) {
	if c.Publish.LDIFURL == "" {
		return nil, ErrNothingToPublish
	}
	cert, key := c.Key.Cert, c.Key.Key
	if c.Publish.SignerCert != "" {
		cert, key = c.Publish.SignerCert, c.Publish.SignerKey
	}
	err = asOwner(key, func() error {
		k, err = signer.LoadKey(cert, key)
		return err
	})
	return k, err
}

// chains are what came along with certificates, by the certificate in DER.
type chains map[string][]*x509.Certificate

// records are the main one, with the certificate that signs messages, the next one and further ones, and the secondary ones. [C210] [C221] [C222]
func (ch chains) records(c *config.Config) ([]publish.Record, error) {
	var files []string
	for _, file := range append([]string{c.Key.Cert, c.Key.NextCert}, c.Publish.Certs...) {
		if file != "" {
			files = append(files, file)
		}
	}
	certs, err := ch.read(files)
	if err != nil {
		return nil, err
	}
	records := []publish.Record{{Description: c.Publish.Description, ProviderRecord: pec.ProviderRecord{
		Name: c.Provider.Name, MailReceipt: c.Provider.ServiceMailbox, Domains: c.Provider.Domains, Certificates: certs, LocationURL: c.Publish.LDIFURL}}}
	for _, e := range c.Environments {
		if certs, err = ch.read(e.Certs); err != nil {
			return nil, err
		}
		records = append(records, publish.Record{Description: e.Description, ProviderRecord: pec.ProviderRecord{
			Name: c.Provider.Name, Unit: e.Unit, MailReceipt: e.ServiceMailbox, Domains: e.Domains, Certificates: certs}})
	}
	return records, nil
}

// read takes the first certificate of each file, and remembers the others.
func (ch chains) read(files []string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, file := range files {
		all, err := signer.ReadCertificates(file)
		if err != nil {
			return nil, err
		}
		certs, ch[string(all[0].Raw)] = append(certs, all[0]), all[1:]
	}
	return certs, nil
}

// vouch asks that a certificate lead to an authority of [key] ca, and one of the main record have the profile of ours: the
// address of another environment is not known here. [C003]
func (ch chains) vouch(c *config.Config) (publish.Vouch, error) {
	authorities, err := signer.ReadAuthorities(c.Key.CA)
	if err != nil {
		return nil, err
	}
	provider := pec.Provider{Name: c.Provider.Name, Address: c.Provider.Address}
	return func(r publish.Record, cert *x509.Certificate, at time.Time) error {
		err := authorities.Check(cert, ch[string(cert.Raw)], at)
		if err == nil && r.Unit == "" {
			err = signer.CheckProfile(cert, provider, at)
		}
		if err != nil {
			return errors.New(oneLine(err))
		}
		return nil
	}, nil
}
