package publish

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/ceralacca/ceralacca/internal/directory"
	"github.com/ceralacca/ceralacca/pec"
)

// Record is one record to publish: the main one has no Unit.
type Record struct {
	pec.ProviderRecord
	Description string // may be empty
}

// LDIF writes records as an LDIF file: UTF-8, line ends LF, the same bytes for the same records. There is no record of the
// directory itself, which is not ours. [C207] [C208] [C219] [C222]
func LDIF(records []Record) []byte {
	var b strings.Builder
	for i, r := range records {
		if i > 0 {
			b.WriteString("\n")
		}
		r.write(&b)
	}
	return []byte(b.String())
}

func (r Record) write(b *strings.Builder) {
	attribute(b, "dn", r.dn())
	attribute(b, "objectClass", "top")
	attribute(b, "objectClass", "provider")
	if r.LocationURL != "" {
		attribute(b, "objectClass", "LDIFLocationURLObject")
	}
	attribute(b, "providerName", r.Name)
	if r.Unit != "" { // [C221]
		attribute(b, "providerUnit", r.Unit)
	}
	for _, c := range r.Certificates { // [C209] [C210]
		attribute(b, "providerCertificateHash", directory.Fingerprint(c))
		encoded(b, "providerCertificate;binary", c.Raw) // [C215]
	}
	attribute(b, "mailReceipt", r.MailReceipt.String())
	if r.LocationURL != "" {
		attribute(b, "LDIFLocationURL", r.LocationURL)
	}
	for _, d := range r.Domains {
		attribute(b, "managedDomains", d)
	}
	if r.Description != "" {
		attribute(b, "description", r.Description)
	}
}

// dn is the name of the record: providerName below the base, providerUnit below that. [C207] [C221]
func (r Record) dn() string {
	name := "providerName=" + escaped(r.Name) + ",o=" + pec.DirectoryBase
	if r.Unit == "" {
		return name
	}
	return "providerUnit=" + escaped(r.Unit) + "," + name
}

// escaped writes a value of a DN as RFC 4514 has it.
func escaped(s string) string {
	var b strings.Builder
	for i, c := range s {
		first, last := i == 0, i+utf8.RuneLen(c) == len(s)
		if strings.ContainsRune(`"+,;<>\=`, c) || first && c == '#' || (first || last) && c == ' ' {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// attribute writes one line, in base64 when RFC 2849 does not take the value as it is.
func attribute(b *strings.Builder, name, value string) {
	if !safe(value) {
		encoded(b, name, []byte(value))
		return
	}
	fold(b, name+": "+value)
}

func encoded(b *strings.Builder, name string, value []byte) {
	fold(b, name+":: "+base64.StdEncoding.EncodeToString(value))
}

// safe says whether a value is a SAFE-STRING of RFC 2849 that does not end with a space.
func safe(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == 0 || c == '\n' || c == '\r' || c >= 0x80 {
			return false
		}
	}
	return s == "" || !strings.ContainsRune(" :<", rune(s[0])) && s[len(s)-1] != ' '
}

// width is how long a line may be.
const width = 76

// fold breaks a line the LDIF way: continuation lines begin with a space.
func fold(b *strings.Builder, line string) {
	for most := width; len(line) > most; most = width - 1 {
		b.WriteString(line[:most] + "\n ")
		line = line[most:]
	}
	b.WriteString(line + "\n")
}
