package examine

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// maxFile is the largest file of certificates or directory that is read.
const maxFile = 64 << 20

// Options say against what to judge. Paths that are empty are not asked about.
type Options struct {
	CA, CRL, Directory string
	// At is the instant to judge certificates at; nil means the instant that each message states.
	At *time.Time
}

// Examiner examines files. It is immutable and safe for concurrent use.
type Examiner struct {
	authorities []*x509.Certificate
	trust       *signer.Trust // nil without a CRL
	providers   *directory.Snapshot
	at          *time.Time
}

// New reads what o names. A CRL needs a CA: a list is believed because its authority signed it.
func New(o Options) (*Examiner, error) {
	e := &Examiner{at: o.At}
	var err error
	if o.CA != "" {
		if e.authorities, err = readCertificates(o.CA); err != nil {
			return nil, err
		}
	}
	if o.CRL != "" {
		if o.CA == "" {
			return nil, errors.New("--crl needs --ca, the authority that signed the list")
		}
		files := signer.TrustFiles{CA: o.CA, CRLs: []string{o.CRL}}
		if e.trust, err = signer.NewTrust(files, slog.New(slog.DiscardHandler)); err != nil {
			return nil, err
		}
	}
	if o.Directory != "" {
		if e.providers, err = readDirectory(o.Directory); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM form is in it", path)
	}
	return out, nil
}

// readDirectory checks that the file is signed as it should be; whom to trust to sign it is not asked here.
func readDirectory(path string) (*directory.Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	der, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	ldif, _, _, err := signer.OpenAttached(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	snapshot, err := directory.Parse(ldif)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return snapshot, nil
}

// File examines one file. It never fails: what cannot be read is a report too.
func (e *Examiner) File(path string) *Report {
	r := newReport(path)
	src, closeFile, note, err := load(path)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer closeFile()
	r.Note = note
	header, _, err := pec.ReadHeader(src, maxHeader)
	if err != nil {
		r.Error = fmt.Sprintf("not a message: %v", err)
		return r
	}
	e.examine(r, src, header)
	r.conclude()
	return r
}

const maxHeader = 1 << 20

func (e *Examiner) examine(r *Report, src pec.Source, header pec.Header) {
	claimed := claimedKind(header)
	if claimed != pec.KindNone {
		r.Kind = string(claimed)
	}
	m, err := signer.Open(src)
	if errors.Is(err, signer.ErrNotSigned) && claimed == pec.KindNone {
		r.set(CheckSignature, err, "")
		return
	}
	if err != nil {
		r.set(CheckSignature, err, "")
		return
	}
	r.set(CheckSignature, nil, "signed by "+subject(m.Signer)+", SHA-256 of the signed part agrees")
	parts, data := e.content(r, m, claimed)
	e.judgeSigner(r, m, data)
	if data != nil {
		r.state(data)
		r.set(CheckHeaders, checkHeaders(header, data), "the outer header says what the certification data say")
		r.set(CheckText, checkText(parts, data), "the readable text names the same message")
	}
}

// content reads the parts and the certification data, and settles the kind.
func (e *Examiner) content(r *Report, m *pec.SignedMessage, claimed pec.Kind) (*pec.Parts, *pec.CertData) {
	if claimed == pec.KindNone {
		return nil, nil // signed by somebody, but it does not claim to be certified mail
	}
	parts, err := pec.ReadParts(m.Content)
	if err != nil {
		r.set(CheckCertData, err, "")
		return nil, nil
	}
	if claimed == pec.KindAnomaly {
		return parts, nil
	}
	if parts.CertData == nil {
		r.set(CheckCertData, errors.New("there is no "+pec.PartCertData), "")
		return parts, nil
	}
	data, err := pec.ParseCertData(parts.CertData)
	if err != nil {
		r.set(CheckCertData, err, "")
		return parts, nil
	}
	r.set(CheckCertData, nil, pec.PartCertData+" is complete and in order")
	return parts, data
}

// judgeSigner checks the certificate against what was given.
func (e *Examiner) judgeSigner(r *Report, m *pec.SignedMessage, data *pec.CertData) {
	at := m.SigningTime
	if data != nil {
		at = data.Time
	}
	if e.at != nil {
		at = *e.at
	}
	when := "as of " + pec.ItalianTime(at).Format(time.RFC3339)
	if e.authorities != nil {
		r.set(CheckChain, e.chain(m, at), "leads to a trusted authority, "+when)
	}
	if e.trust != nil {
		err := e.trust.Check(m.Signer, m.Certificates, at)
		if errors.Is(err, signer.ErrChain) || errors.Is(err, signer.ErrExpired) {
			err = nil // said above
		}
		r.set(CheckRevocation, err, "not revoked, "+when)
	}
	if e.providers == nil {
		return
	}
	record, ok := e.providers.ByCertificate(m.Signer)
	if !ok {
		r.set(CheckDirectory, errors.New("the signer's certificate is not in the directory"), "")
		return
	}
	r.Provider = &record.Name
	r.set(CheckDirectory, mayCertify(record, data), "the directory gives this certificate to "+record.Name)
}

func (e *Examiner) chain(m *pec.SignedMessage, at time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range e.authorities {
		if c.CheckSignatureFrom(c) == nil {
			roots.AddCert(c)
		} else {
			between.AddCert(c)
		}
	}
	for _, c := range m.Certificates {
		between.AddCert(c)
	}
	_, err := m.Signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

func subject(c *x509.Certificate) string {
	if len(c.EmailAddresses) > 0 {
		return c.EmailAddresses[0]
	}
	return c.Subject.String()
}

// load returns the message in path with CRLF line ends, and a note when it had others.
func load(path string) (src pec.Source, closeFile func(), note string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, "", err
	}
	size, bare, err := lineEnds(f)
	if err != nil {
		_ = f.Close()
		return nil, nil, "", err
	}
	if !bare {
		return pec.Section(fileSource{f, size}, 0, size), func() { _ = f.Close() }, "", nil
	}
	defer func() { _ = f.Close() }()
	w := rawmsg.NewWriter(os.TempDir())
	if err := addReturns(w, f); err != nil {
		w.Discard()
		return nil, nil, "", err
	}
	m, err := w.Finish()
	if err != nil {
		return nil, nil, "", err
	}
	return m, func() { _ = m.Close() }, "the file was saved with bare LF line ends; it was read with CRLF, as it was signed", nil
}
