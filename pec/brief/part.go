package brief

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/internal/rfc822"
)

// part is an entity that is replaced. Its offsets are within the message.
type part struct {
	start, body, end int64
	header           pec.Header
	media            mediatype.Value
	disposition      string // its type, "" when the field is not there
	encoding         string // of transfer, in lower case
	name             name
}

// name is what a part is called, in each of the two fields that may say so.
type name struct {
	media, disposition string
	given              bool // one of the fields says it, be it empty
}

// shown is the name that people see.
func (n name) shown() string { return n.disposition }

// describe reads what the header of a part says of it.
func (p *part) describe(fallback string) error {
	for _, f := range p.header {
		if strings.ContainsAny(f.Name, " \t") {
			return uncertain("a space before the colon of %.100q", f.Name) // some take it for the end of the header
		}
	}
	for _, field := range []string{"Content-Type", "Content-Disposition", "Content-Transfer-Encoding"} {
		if n := len(p.header.Values(field)); n > 1 {
			return uncertain("a part has %d fields %s", n, field)
		}
	}
	var doubt error
	p.media, doubt = mediatype.Parse(p.header.Get("Content-Type"))
	if !p.header.Has("Content-Type") {
		p.media.Name = fallback
	}
	if !isType(p.media.Name) {
		return uncertain("a part is of the type %.100q", p.media.Name)
	}
	if p.isMultipart() && doubt != nil {
		return uncertain("a %s: %w", p.media.Name, doubt)
	}
	disposition, _ := mediatype.Parse(p.header.Get("Content-Disposition")) // all that is asked of it is a name
	if p.disposition = disposition.Name; p.header.Has("Content-Disposition") && !mediatype.IsToken(p.disposition) {
		return uncertain("a part has the disposition %.100q", p.disposition)
	}
	p.encoding = strings.ToLower(p.header.Get("Content-Transfer-Encoding"))
	return p.findName(disposition)
}

func isType(s string) bool {
	kind, subtype, _ := strings.Cut(s, "/")
	return mediatype.IsToken(kind) && mediatype.IsToken(subtype)
}

func (p *part) isMultipart() bool { return strings.HasPrefix(p.media.Name, "multipart/") }

// isMessage says whether a part is a message that was attached. [C174]
func (p *part) isMessage() bool { return p.media.Name == "message/rfc822" }

// isOpaque says whether a message is opaque S/MIME: nobody can see what is in it. [C176]
func (p *part) isOpaque() bool {
	return p.media.Name == "application/pkcs7-mime" || p.media.Name == "application/x-pkcs7-mime"
}

// signatureTypes are those of the second part of a multipart/signed. The third is a misprint of RFC 6109. [C175]
var signatureTypes = []string{
	"application/pkcs7-signature", "application/x-pkcs7-signature", "application/x-pkcs-signature", "application/pgp-signature",
}

func (p *part) isSignature() bool { return slices.Contains(signatureTypes, p.media.Name) }

// maxName is the longest name that is written, in bytes.
const maxName = 4 << 10

// findName reads the names. A part has one when a parameter gives one, in whatever form; what has none that could be
// written gets one of ours. [C171]
func (p *part) findName(disposition mediatype.Value) error {
	var inMedia, inDisposition bool
	var err error
	if p.name.media, inMedia, err = rfc822.Parameter(p.media.Params, "name"); err == nil {
		p.name.disposition, inDisposition, err = rfc822.Parameter(disposition.Params, "filename")
	}
	if err != nil {
		return uncertain("the name of a part: %w", err)
	}
	p.name.given = inMedia || inDisposition
	ours := pec.NameOfFile
	if p.isMessage() {
		ours = pec.NameOfMessage
	}
	p.name.media, p.name.disposition = firstOf(p.name.media, p.name.disposition, ours), firstOf(p.name.disposition, p.name.media, ours)
	if max(len(p.name.media), len(p.name.disposition)) > maxName {
		return uncertain("the name of a part has more than %d bytes", maxName)
	}
	return nil
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			return n
		}
	}
	return ""
}

// aboutContent are the fields that describe what is replaced, and would lie about what replaces it.
var aboutContent = []string{"Content-MD5", "Content-Length", "Content-Encoding"}

// hashHeader is the header of the hash file, with the empty line: that of the part, but for what describes its content.
// What is replaced stays in its place. [C172]
func (p *part) hashHeader() []byte {
	disposition := p.disposition
	if disposition == "" {
		disposition = "attachment"
	}
	fields := []pec.Field{
		{Name: "Content-Type", Value: " text/plain" + rfc822.EncodeParameter("name", p.name.media+pec.HashSuffix)},
		{Name: "Content-Transfer-Encoding", Value: " 7bit"},
		{Name: "Content-Disposition", Value: " " + disposition + rfc822.EncodeParameter("filename", p.name.disposition+pec.HashSuffix)},
	}
	header := p.header.Without(aboutContent...)
	for _, f := range fields {
		i := slices.IndexFunc(header, func(old pec.Field) bool { return old.Is(f.Name) })
		if i < 0 {
			header = append(header, f)
			continue
		}
		header[i].Value = f.Value
	}
	var b bytes.Buffer
	_, _ = header.WriteTo(&b) // a buffer does not fail
	b.WriteString("\r\n")
	return b.Bytes()
}
