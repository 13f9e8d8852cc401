package lab

import (
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
)

// Delta is a provider of the directory without a host: the lab gives its key away,
// so that anyone can send what it could send, right or wrong.
type Delta struct {
	Domain      string
	PECAddress  string
	Provider    string
	MailReceipt string // where take-charge receipts for delta go
	Host        string // alfa and beta send mail for Domain to Host:SinkPort
	SinkPort    int    // free: who wants that mail listens there
	Cert, Key   string

	NextCert, NextKey string // beside Cert in delta's record, as while a certificate is renewed

	// A secondary environment of delta, with a record, a certificate and a domain of its own.
	Unit, UnitDomain, UnitPECAddress, UnitMailReceipt string
	UnitCert, UnitKey                                 string
}

// keyring is the authority of a lab and what it issued.
type keyring struct {
	ca, directory    *pki.Authority
	directorySigner  *pki.Pair
	alfa, beta       *pki.Pair
	delta            *pki.Pair
	next, unit       *pki.Pair
	revoked, expired *pki.Pair
	leaving          *pki.Pair
	stranger         *pki.Pair
}

// newKeyring makes the keys that need the most time, two processors at a time.
func newKeyring(alfa, beta *Host, delta *Delta, lists string, now time.Time) (*keyring, error) {
	k := &keyring{}
	err := all(
		func() (err error) { k.ca, err = pki.NewAuthority("ceralacca lab CA", now); return },
		func() (err error) { k.directory, err = pki.NewAuthority("ceralacca lab directory CA", now); return },
	)
	if err != nil {
		return nil, err
	}
	k.ca.Lists = lists
	err = all(
		func() (err error) { k.leaving, err = k.ca.Signing(delta.Provider, delta.PECAddress); return },
		func() (err error) { k.directorySigner, err = k.directory.DirectorySigner("IGPEC"); return },
		func() (err error) { k.alfa, err = k.ca.Signing(alfa.Provider, alfa.PECAddress); return },
		func() (err error) { k.beta, err = k.ca.Signing(beta.Provider, beta.PECAddress); return },
		func() (err error) { k.delta, err = k.ca.Signing(delta.Provider, delta.PECAddress); return },
		func() (err error) { k.next, err = k.ca.Signing(delta.Provider, delta.PECAddress); return },
		func() (err error) { k.unit, err = k.ca.Signing(delta.Provider, delta.UnitPECAddress); return },
		func() (err error) { k.revoked, err = k.ca.Signing(delta.Provider, delta.PECAddress); return },
		func() (err error) { k.stranger, err = k.ca.Signing(delta.Provider, delta.PECAddress); return },
		func() (err error) {
			k.expired, err = k.ca.SigningBetween(delta.Provider, delta.PECAddress, now.AddDate(-2, 0, 0), now.AddDate(0, 0, -7))
			return
		},
	)
	return k, err
}

// all runs functions at the same time and returns the first error of any.
func all(functions ...func() error) error {
	results := make(chan error, len(functions))
	for _, f := range functions {
		go func() { results <- f() }()
	}
	var first error
	for range functions {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// writeKeys writes what testers use into the lab's pki folder.
func (l *Lab) writeKeys(k *keyring) error {
	client, err := k.ca.Client("ceralacca lab client")
	if err != nil {
		return err
	}
	for name, pair := range map[string]*pki.Pair{
		"ca": &k.ca.Pair, "directory-ca": &k.directory.Pair, "directory-signer": k.directorySigner,
		"alfa": k.alfa, "beta": k.beta, "delta": k.delta, "client": client,
		"delta-next": k.next, "delta-unit": k.unit,
		"revoked": k.revoked, "expired": k.expired, "leaving": k.leaving, "stranger": k.stranger,
	} {
		if err := writePair(l.pkiPath(name), pair, 0); err != nil {
			return err
		}
	}
	crl, err := k.ca.CRL(k.revoked.Cert)
	if err != nil {
		return err
	}
	return os.WriteFile(l.CRL, crl, 0o644)
}

// pkiPath is the common start of the names of a certificate and its key.
func (l *Lab) pkiPath(name string) string {
	return filepath.Join(l.runtime, "pki", name)
}

// writePair writes STEM.crt for everybody and STEM.key for its owner.
func writePair(stem string, p *pki.Pair, owner int) error {
	if err := os.WriteFile(stem+".crt", p.CertPEM(), 0o644); err != nil {
		return err
	}
	key, err := p.KeyPEM()
	if err != nil {
		return err
	}
	return writeSecret(stem+".key", key, owner)
}

// issueTLS makes the certificates of a host's servers and, on a certified one, those
// between the agent, the first instance and out.
func (l *Lab) issueTLS(h *Host, v values) error {
	server, err := l.keys.ca.Server(h.hostname(), h.Address)
	if err != nil {
		return err
	}
	if err := writePair(h.path("tls"), server, 0); err != nil {
		return err
	}
	v.set("TLS_CERT", h.path("tls.crt"))
	v.set("TLS_KEY", h.path("tls.key"))
	if !h.certified() {
		return nil
	}
	first, err := l.keys.ca.Client("first." + h.Domain)
	if err != nil {
		return err
	}
	agent, err := l.keys.ca.Client("agent." + h.Domain)
	if err != nil {
		return err
	}
	v.set("OUT_CERT", h.path("tls.crt"))
	v.set("OUT_KEY", h.path("tls.key"))
	v.set("OUT_SERVER_FINGERPRINT", server.Fingerprint())
	v.set("FIRST_FINGERPRINT", first.Fingerprint())
	v.set("AGENT_FINGERPRINT", agent.Fingerprint())
	v.set("OUT_CLIENT_CERT", h.path("first.crt"))
	v.set("OUT_CLIENT_KEY", h.path("first.key"))
	if err := writePair(h.path("first"), first, l.accounts.postfix); err != nil {
		return err
	}
	h.OutCert, h.OutKey = h.path("etc", "out.crt"), h.path("etc", "out.key")
	return writePair(h.path("etc", "out"), agent, l.accounts.daemon)
}

// newDelta finds delta's address and a port that stays free.
func newDelta(address string) (*Delta, error) {
	d := &Delta{
		Domain: "delta.example", Provider: "Delta PEC", PECAddress: "posta-certificata@delta.example",
		MailReceipt: "receipts@delta.example", Host: net.ParseIP(address).String(),
		Unit: "Uffici, interni", UnitDomain: "uffici.delta.example", UnitPECAddress: "posta-certificata@uffici.delta.example",
		UnitMailReceipt: "receipts@uffici.delta.example",
	}
	return d, ports(address, &d.SinkPort)
}
