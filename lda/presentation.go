package lda

import (
	"bytes"
	"errors"
	"io"
	"regexp"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/pec"
)

// presentation is one LMTP transaction: a message that Postfix holds, and some of its recipients.
type presentation struct {
	sender     string // as in MAIL FROM, "" is the null sender
	envelopeID string // the ENVID of MAIL, "" when there was none
	recipients []recipient
	message    *rawmsg.Message
	header     pec.Header
	body       int64       // offset
	dsnOnly    bool        // it came in where nothing but bounces comes in
	gone       func() bool // says whether Postfix has given up waiting; nil means that it never does
	queueID    string      // Postfix's, for the log; "" when unknown
}

// recipient is one RCPT. Recipients are answered by their place: the same may come twice, told apart by ORCPT only.
type recipient struct {
	raw      string      // as in RCPT TO
	address  pec.Address // zero when raw is not in the plain form
	original pec.Address // of ORCPT, zero when there was none in the plain form
}

// maxHeader bounds the header of a message. Ours has up to some megabytes of recipients.
const maxHeader = 16 << 20

// readHeader takes the header off the captured message.
func (p *presentation) readHeader() error {
	var err error
	if p.header, p.body, err = pec.ReadHeader(p.message, maxHeader); err != nil {
		return err
	}
	p.queueID = queueID(p.header)
	return nil
}

// after returns what stands behind the first n fields of the header, byte for byte.
func (p *presentation) after(n int) (pec.Source, error) {
	var off int64
	for _, f := range p.header[:n] {
		off += int64(len(f.Name)) + 1 + int64(len(f.Value)) + 2
	}
	if off > p.message.Size() {
		return nil, errors.New("the header does not end its lines with CRLF")
	}
	return pec.Section(p.message, off, p.message.Size()-off), nil
}

var queueIDForm = regexp.MustCompile(`\sid\s+([0-9A-Za-z]{6,32})\b`)

// queueID reads Postfix's queue id in the Received field that it put on top.
func queueID(h pec.Header) string {
	if len(h) == 0 || len(h.Values("Received")) == 0 {
		return ""
	}
	if m := queueIDForm.FindStringSubmatch(h.Get("Received")); m != nil {
		return m[1]
	}
	return ""
}

// head returns a header as bytes, without the empty line.
func head(h pec.Header) []byte {
	var b bytes.Buffer
	_, _ = h.WriteTo(&b) // a buffer does not fail
	return b.Bytes()
}

// whole reads a source from its beginning.
func whole(src pec.Source) io.Reader { return io.NewSectionReader(src, 0, src.Size()) }
