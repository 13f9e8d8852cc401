package directory

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the schema asks for it; it finds, it does not prove [C214]
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/ceralacca/ceralacca/pec"
)

// Names of the schema, in lower case. [C208]
const (
	classProvider   = "provider"
	attrClass       = "objectclass"
	attrHash        = "providercertificatehash"
	attrCertificate = "providercertificate;binary" // [C215]
	attrName        = "providername"
	attrUnit        = "providerunit"
	attrMailReceipt = "mailreceipt"
	attrDomains     = "manageddomains"
	attrLocation    = "ldiflocationurl"
)

// Parse reads the LDIF of the directory, already opened and proven. A file in which a record lacks or contradicts
// something is refused whole, with the record named, so that the version before stays in use; what no mail depends on is
// left out alone and is one of the problems of the Snapshot: a certificate that does not match its hash, a URL.
func Parse(data []byte) (*Snapshot, error) {
	objects, err := readLDIF(data)
	if err != nil {
		return nil, err
	}
	var entries []entry
	problems := notUTF8(data)
	names, location := map[string]bool{}, ""
	for _, o := range objects {
		if !o.isProvider() {
			if o.looksLikeProvider() {
				return nil, o.wrong("it is not of the class provider")
			}
			if o.isBase() {
				var wrong []string
				location, wrong = o.location()
				problems = append(problems, wrong...)
			}
			continue
		}
		e, wrong, err := o.entry()
		if err != nil {
			return nil, err
		}
		if names[e.key()] {
			return nil, o.wrong("it is there twice")
		}
		names[e.key()] = true
		entries, problems = append(entries, e), append(problems, wrong...)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: no provider in it", ErrLDIF)
	}
	for _, e := range entries {
		if e.record.Unit != "" && !names[e.mainKey()] { // [C221]
			return nil, fmt.Errorf("directory: record %s: its provider has no main record, one without providerUnit", title(e.record))
		}
	}
	s, err := assemble(entries, problems)
	if err != nil {
		return nil, err
	}
	s.location = location
	return s, nil
}

func (e entry) key() string { return e.mainKey() + strings.ToLower(e.record.Unit) }

// mainKey is the key of the main record of the provider of e.
func (e entry) mainKey() string { return e.provider + "\x00" }

// notUTF8 says where data are not UTF-8. The names and addresses that we use are looked at once more by themselves. [C219]
func notUTF8(data []byte) []string {
	if utf8.Valid(data) {
		return nil
	}
	number := 0
	for line := range bytes.Lines(data) {
		if number++; !utf8.Valid(line) {
			break
		}
	}
	return []string{fmt.Sprintf("directory: line %d is not UTF-8", number)}
}

// isBase: the record of the directory itself.
func (o object) isBase() bool {
	return len(o.dn.RDNs) == 1 && len(o.dn.RDNs[0].Attributes) == 1 && strings.EqualFold(o.dn.RDNs[0].Attributes[0].Type, "o") &&
		strings.EqualFold(o.dn.RDNs[0].Attributes[0].Value, pec.DirectoryBase)
}

// location is the LDIFLocationURL, in the record of the directory that of the whole. No mail depends on it, so that a wrong
// one is left out as a problem: for the fault of one, nobody's new certificate may be missed. [C219]
func (o object) location() (location string, problems []string) {
	values := o.attributes[attrLocation]
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", []string{o.wrong("it has %d values of LDIFLocationURL, not one", len(values)).Error()}
	}
	v := strings.TrimSpace(values[0])
	if err := CheckLocation(v); err != nil {
		return "", []string{o.wrong("its LDIFLocationURL %v", err).Error()}
	}
	return v, nil
}

// maxLocation is the longest LDIFLocationURL, in bytes.
const maxLocation = 2000

// CheckLocation says what is wrong with an LDIFLocationURL: it is an HTTPS URL of a host. The error is the end of a sentence
// that begins with what has the value. [C219]
func CheckLocation(v string) error {
	u, err := url.Parse(v)
	switch {
	case len(v) > maxLocation || strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		return fmt.Errorf("is %.100q, which is no URL", v)
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("is %.100q, not an https:// URL of a file", v)
	}
	return nil
}

func (o object) isProvider() bool {
	return slices.ContainsFunc(o.attributes[attrClass], func(class string) bool {
		return strings.EqualFold(class, classProvider)
	})
}

func (o object) looksLikeProvider() bool {
	return len(o.attributes[attrDomains]) > 0 || len(o.attributes[attrCertificate]) > 0
}

func (o object) wrong(format string, values ...any) error {
	return fmt.Errorf("directory: record %.200q: %s", o.text, fmt.Sprintf(format, values...))
}

// entry reads a record of the class provider; problems are certificates that it leaves out.
func (o object) entry() (e entry, problems []string, err error) {
	name, unit, err := o.names()
	if err != nil {
		return e, nil, err
	}
	e.provider = strings.ToLower(name)
	e.record = &pec.ProviderRecord{Unit: unit}
	if e.record.Name, err = o.single(attrName); err != nil { // [C216]
		return e, nil, err
	}
	// The name of a main record is in its DN; that of a secondary one is not, and may differ from the main record's.
	if unit == "" && !strings.EqualFold(e.record.Name, name) {
		return e, nil, o.wrong("its providerName is %q", e.record.Name)
	}
	if err := o.checkUnit(unit); err != nil {
		return e, nil, err
	}
	if e.record.MailReceipt, err = o.mailReceipt(); err != nil {
		return e, nil, err
	}
	if e.record.Domains, err = o.domains(); err != nil {
		return e, nil, err
	}
	if e.record.Certificates, problems, err = o.certificates(); err != nil {
		return e, nil, err
	}
	location, wrong := o.location()
	if unit != "" && len(o.attributes[attrLocation]) > 0 { // [C220]
		location, wrong = "", []string{o.wrong("it is of a secondary environment and has an LDIFLocationURL, which the main record alone has").Error()}
	}
	e.record.LocationURL = location
	return e, append(problems, wrong...), nil
}

// names takes the DN apart: providerName=…, then the base, with providerUnit=… before both for a secondary environment. [C207]
func (o object) names() (name, unit string, err error) {
	parts := make([]ldap.AttributeTypeAndValue, 0, 3)
	for _, rdn := range o.dn.RDNs {
		if len(rdn.Attributes) != 1 {
			return "", "", o.wrong("its DN has a part of several values")
		}
		parts = append(parts, *rdn.Attributes[0])
	}
	if len(parts) == 3 && strings.EqualFold(parts[0].Type, attrUnit) && parts[0].Value != "" {
		unit, parts = parts[0].Value, parts[1:]
	}
	if len(parts) != 2 || !strings.EqualFold(parts[0].Type, attrName) || parts[0].Value == "" ||
		!strings.EqualFold(parts[1].Type, "o") || !strings.EqualFold(parts[1].Value, pec.DirectoryBase) {
		return "", "", o.wrong("its DN is not that of a provider")
	}
	return parts[0].Value, unit, nil
}

func (o object) checkUnit(unit string) error {
	values := o.attributes[attrUnit]
	if unit == "" && len(values) == 0 {
		return nil
	}
	if len(values) != 1 || !strings.EqualFold(values[0], unit) {
		return o.wrong("its providerUnit is %q", values)
	}
	return nil
}

// single is the one value of an attribute: printable text.
func (o object) single(name string) (string, error) {
	values := o.attributes[name]
	if len(values) != 1 {
		return "", o.wrong("it has %d values of %s, not one", len(values), name)
	}
	v := strings.TrimSpace(values[0])
	if v == "" || len(v) > 200 || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
		return "", o.wrong("its %s is %.100q", name, v)
	}
	return v, nil
}

// [C217]
func (o object) mailReceipt() (pec.Address, error) {
	v, err := o.single(attrMailReceipt)
	if err != nil {
		return pec.Address{}, err
	}
	a, err := pec.ParseAddress(v)
	if err != nil {
		return pec.Address{}, o.wrong("its mailReceipt %q is not a plain address", v)
	}
	return a, nil
}

// [C218]
func (o object) domains() ([]string, error) {
	values := o.attributes[attrDomains]
	domains, seen := make([]string, 0, len(values)), make(map[string]bool, len(values))
	for _, v := range values {
		// What can stand after the @ of a plain address is a domain in dot-atom form.
		a, err := pec.ParseAddress("x@" + strings.TrimSpace(v))
		if err != nil {
			return nil, o.wrong("%.100q in its managedDomains is not a domain", v)
		}
		if !seen[a.Domain()] {
			seen[a.Domain()] = true
			domains = append(domains, a.Domain())
		}
	}
	if len(domains) == 0 {
		return nil, o.wrong("it has no managedDomains")
	}
	return domains, nil
}

// certificates are those whose SHA-1 is among the hashes of the record; what has no counterpart is a problem. [C209]
// [C214]
func (o object) certificates() (good []*x509.Certificate, problems []string, err error) {
	hashes, err := o.hashes()
	if err != nil {
		return nil, nil, err
	}
	values := o.attributes[attrCertificate]
	if len(values) == 0 {
		return nil, nil, o.wrong("it has no providerCertificate;binary")
	}
	for i, der := range values {
		sum := sha1.Sum([]byte(der)) //nolint:gosec // [C214]
		if _, listed := hashes[sum]; !listed {
			problems = append(problems, o.wrong("no hash matches its certificate %d, which is left out", i+1).Error())
			continue
		}
		hashes[sum] = true
		cert, err := x509.ParseCertificate([]byte(der))
		if err != nil {
			problems = append(problems, o.wrong("its certificate %d is left out: %v", i+1, err).Error())
			continue
		}
		good = append(good, cert)
	}
	for sum, used := range hashes {
		if !used {
			problems = append(problems, o.wrong("no certificate matches its hash %x", sum).Error())
		}
	}
	slices.Sort(problems)
	return good, problems, nil
}

// hashes are those of the record, none of them used yet.
func (o object) hashes() (map[[sha1.Size]byte]bool, error) {
	values := o.attributes[attrHash]
	if len(values) == 0 {
		return nil, o.wrong("it has no providerCertificateHash")
	}
	hashes := map[[sha1.Size]byte]bool{}
	for _, v := range values {
		sum, err := hex.DecodeString(strings.TrimSpace(v))
		if err != nil || len(sum) != sha1.Size {
			return nil, o.wrong("%.100q is not a SHA-1 in hexadecimal", v)
		}
		hashes[[sha1.Size]byte(sum)] = false
	}
	return hashes, nil
}
