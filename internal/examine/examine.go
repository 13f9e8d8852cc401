package examine

import (
	"errors"
	"fmt"
	"time"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// Options say against what to judge. Paths that are empty are not asked about.
type Options struct {
	CA, CRL, Directory string
	// Original is a file with the message that brief receipts are about, as it was sent: it has what their hashes are of.
	Original string
	// History is a folder of kept directories, instead of Directory: the one in force at the instant is asked.
	History string
	// At is the instant to judge certificates at; nil means the instant that each message states.
	At *time.Time
}

// Examiner examines files. It is not safe for concurrent use.
type Examiner struct {
	authorities *signer.Authorities // nil without a CA
	trust       *signer.Trust       // nil without a CRL
	directories directories         // who says which directory to ask
	at          *time.Time
	original    string // "" without an original
}

// New reads what o names. A CRL needs a CA: a list is believed because its authority signed it.
func New(o Options) (*Examiner, error) {
	e := &Examiner{at: o.At, original: o.Original}
	var err error
	if o.CA != "" {
		if e.authorities, err = signer.ReadAuthorities(o.CA); err != nil {
			return nil, err
		}
	}
	if o.CRL != "" {
		if o.CA == "" {
			return nil, errors.New("--crl needs --ca, the authority that signed the list")
		}
		files := signer.TrustFiles{CA: o.CA, CRLs: []string{o.CRL}}
		if e.trust, err = signer.NewTrust(files); err != nil {
			return nil, err
		}
	}
	if o.Original != "" {
		f, err := open(o.Original)
		if err != nil {
			return nil, fmt.Errorf("the original %s: %w", o.Original, err)
		}
		_ = f.Close() // only read
	}
	e.directories, err = newDirectories(o)
	return e, err
}

const maxHeader = 1 << 20

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
	e.sayNotAsked(r)
	header, _, err := pec.ReadHeader(src, maxHeader)
	if err == nil && len(header) == 0 {
		err = errors.New("it has no header")
	}
	if err != nil {
		r.Error = fmt.Sprintf("not a message: %v", err)
		return r
	}
	if err := e.examine(r, src, header); err != nil {
		r.Error = err.Error()
		return r
	}
	r.conclude()
	return r
}

func (e *Examiner) sayNotAsked(r *Report) {
	for _, c := range []struct {
		check, flag string
		asked       bool
	}{
		{CheckChain, "--ca", e.authorities != nil},
		{CheckRevocation, "--crl", e.trust != nil},
		{CheckDirectory, "--directory", e.directories.asked()},
	} {
		if !c.asked {
			r.detail(c.check, "not asked: "+c.flag+" was not given")
		}
	}
	if e.original != "" {
		r.Checks = append(r.Checks, Check{Name: CheckOriginal, Detail: "this is no brief delivery receipt with an original in it"})
	}
}

// examine fills in r. An error is a failure to read src, not a finding.
func (e *Examiner) examine(r *Report, src pec.Source, header pec.Header) error {
	claimed := claimedKind(header)
	if claimed != pec.KindNone {
		r.Kind = string(claimed)
	}
	m, err := signer.Open(src)
	found := errors.Is(err, signer.ErrNotSigned) || errors.Is(err, signer.ErrMalformed) || errors.Is(err, signer.ErrSignature)
	switch {
	case err != nil && !found:
		return err
	case m == nil:
		r.set(CheckSignature, err, "")
		r.explain("there is no signature to build on")
		return nil
	}
	late := err // outside of the dates of the certificate, whatever there is to judge it by
	r.set(CheckSignature, nil, "signed by "+subject(m.Signer)+"; not a byte of what is signed has changed")
	parts, data, err := e.content(r, m, claimed)
	if err != nil {
		return err
	}
	providers, err := e.directories.at(e.instant(m, data))
	if err != nil {
		return err
	}
	if providers == nil && e.directories.asked() {
		r.detail(CheckDirectory, "not judged: the message states no time, of whose directory to ask")
	}
	j := &judge{Examiner: e, providers: providers}
	j.judgeSigner(r, m, data)
	if late != nil {
		r.set(CheckChain, outOfDate(m), "")
	}
	return j.compare(r, m, parts, data)
}

// compare sets the checks that need certification data. An error is a failure to read, not a finding.
func (e *judge) compare(r *Report, m *pec.SignedMessage, parts *pec.Parts, data *pec.CertData) error {
	switch {
	case data != nil && r.Kind == KindOrdinary:
		r.set(CheckHeaders, fmt.Errorf("neither %s nor %s is there, and under the signature are certification data of kind %q",
			pec.FieldReceipt, pec.FieldTransport, data.Kind), "")
	case data != nil:
		r.state(data)
		r.set(CheckHeaders, e.checkHeaders(m, parts, data), "the outer header says what the certification data say")
		r.set(CheckText, checkText(parts, data), "the readable text names the same message")
		return e.checkOriginal(r, parts, data)
	case r.Kind == string(pec.KindAnomaly) && parts != nil:
		r.set(CheckHeaders, e.checkAnomaly(m, parts), "the outer header says what the message inside says")
		r.explain("an anomaly envelope has no certification data")
	case r.Kind == KindOrdinary:
		r.explain("no message of certified mail")
	default:
		r.explain("there are no certification data to compare with")
	}
	return nil
}
