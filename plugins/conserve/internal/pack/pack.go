// Package pack says what a preserved package consists of, makes its parts, and verifies one. It keeps nothing.
package pack

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/intake"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/sincro"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/store"
)

// The files of a package beside the documents.
const (
	Index  = "PIndex.xml"
	Signed = "PIndex.xml.p7m"
	Stamp  = "PIndex.xml.p7m.tsr"
	Sums   = "SHA256SUMS"
	Readme = "LEGGIMI.txt"
	// SignerCA and StampCA are the authorities as they were configured. Whoever doubts the package takes his own.
	SignerCA = "firma-ca.pem"
	StampCA  = "marca-ca.pem"
)

// MaxMembers is how many documents a package has at most; what is more goes into the next one of the day.
const MaxMembers = 10_000

// Plan is a package whose content is decided.
type Plan struct {
	Mailbox string           `json:"mailbox"`
	Day     string           `json:"day"`
	Number  int              `json:"number"` // from 1; above 1 it is an additional one
	Created time.Time        `json:"created"`
	Version string           `json:"version"` // of the program
	Owner   string           `json:"owner"`   // who preserves
	OwnerID string           `json:"owner_id,omitempty"`
	Manual  string           `json:"manual"` // what entitles him
	Members []deposit.Record `json:"members"`
}

// Name is the name of a package in the store.
func Name(mailbox, day string, number int) string {
	return fmt.Sprintf("%s/%s-%03d", deposit.Escape(mailbox), day, number)
}

// Name is the name in the store.
func (p Plan) Name() string { return Name(p.Mailbox, p.Day, p.Number) }

// Object is the name of a member, counted from 0.
func Object(i int) string { return fmt.Sprintf("documenti/%05d.eml", i+1) }

// Bytes is how much the members have.
func (p Plan) Bytes() (n int64) {
	for _, m := range p.Members {
		n += m.Size
	}
	return n
}

// Index makes the PIndex.
func (p Plan) Index() ([]byte, error) {
	x := sincro.Index{ID: p.Name() + "/" + Index, Volume: p.Name(), Label: "Pacchetto di archiviazione " + p.Mailbox + " " + p.Day,
		Version: p.Version, Holder: p.Mailbox, Preserver: p.Owner, PreserverID: p.OwnerID, Document: p.Manual, Created: p.Created}
	for i, m := range p.Members {
		x.Files = append(x.Files, sincro.File{ID: m.Key, Path: Object(i), MediaType: m.MediaType, SHA256: m.SHA256, Event: described(m)})
	}
	return x.Marshal()
}

// described is the event, and for what was imported on another day than its own when it came into the mailbox.
func described(m deposit.Record) string {
	if !strings.HasPrefix(m.Event, intake.Imported) {
		return m.Event
	}
	return m.Event + ", in the mailbox since " + time.Unix(m.Time, 0).UTC().Format(time.RFC3339)
}

// Parts are what makes a package of a plan.
type Parts struct {
	Index, Signed, Stamp []byte `json:"-"`

	SignerCA, StampCA, Readme []byte
}

// Files lists the files to store, the sums last.
func (p Plan) Files(parts Parts, content func(deposit.Record) (io.ReadCloser, error)) []store.File {
	var sums strings.Builder
	var files []store.File
	for i, m := range p.Members {
		files = append(files, store.File{Name: Object(i), Size: m.Size, SHA256: m.SHA256, Open: func() (io.ReadCloser, error) { return content(m) }})
		fmt.Fprintf(&sums, "%s  %s\n", m.SHA256, Object(i))
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{Index, parts.Index}, {Signed, parts.Signed}, {Stamp, parts.Stamp}, {Readme, parts.Readme}, {SignerCA, parts.SignerCA}, {StampCA, parts.StampCA}} {
		files = append(files, inMemory(f.name, f.text))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(f.text), f.name)
	}
	return append(files, inMemory(Sums, []byte(sums.String())))
}

func inMemory(name string, text []byte) store.File {
	return store.File{Name: name, Size: int64(len(text)), SHA256: fmt.Sprintf("%x", sha256.Sum256(text)), Open: func() (io.ReadCloser, error) {
		return memory{bytes.NewReader(text)}, nil
	}}
}

// memory is read from, and sought in by who sends it twice.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }

// Commands are what checks a package with standard tools alone, in its folder; each exits with 0 when all is well.
func Commands() []string {
	return []string{
		"sha256sum --check --strict --quiet SHA256SUMS",
		"openssl cms -verify -binary -inform DER -in PIndex.xml.p7m -CAfile firma-ca.pem -purpose any -out PIndex.estratto.xml",
		"cmp PIndex.xml PIndex.estratto.xml",
		"openssl ts -verify -in PIndex.xml.p7m.tsr -data PIndex.xml.p7m -CAfile marca-ca.pem",
	}
}
