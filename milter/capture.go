package milter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
)

// Limits of a header, which is held in memory, and of which Postfix looks for each field that we delete from the top:
// 5,000 fields took it 8 seconds.
const (
	maxHeader = 1 << 20 // bytes
	maxFields = 1000    // of which more can be read, but not put back
)

var (
	errTooLarge  = errors.New("over the hard size")
	errBigHeader = errors.New("the header is too large")
)

// capture holds a message as Postfix showed it, byte for byte with CRLF, but for private fields of others.
type capture struct {
	limit   int64 // bytes; zero is none
	header  pec.Header
	private uint32 // fields of the name of ours, which came from outside
	raw     *rawmsg.Writer
	body    int64 // where the body begins
	longest int   // line, in octets without CRLF
	line    int   // octets of the line in hand
	nul     bool
	err     error // why the message cannot be used; nothing is captured any more
}

func newCapture(spool string, limit int64) *capture {
	return &capture{raw: rawmsg.NewWriter(spool), limit: limit}
}

// field takes one field of the header; lines of value end with LF.
func (c *capture) field(name string, value []byte) {
	if strings.EqualFold(name, transaction.FieldName) {
		c.private++
		return
	}
	f := pec.Field{Name: name, Value: strings.ReplaceAll(string(value), "\n", "\r\n")}
	if c.raw.Size()+int64(len(f.Name)+len(f.Value)) > maxHeader {
		c.fail(errHeader())
		return
	}
	c.header = append(c.header, f)
	c.write([]byte(f.Name + ":" + f.Value + "\r\n"))
}

func errHeader() error {
	return &pec.Error{Op: "milter: header", Kind: pec.ErrorTooLarge, Err: errBigHeader}
}

// endHeader takes the empty line.
func (c *capture) endHeader() {
	c.write([]byte("\r\n"))
	c.body = c.raw.Size()
}

// write takes the next bytes of the message.
func (c *capture) write(p []byte) {
	if c.err != nil {
		return
	}
	c.measure(p)
	if _, err := c.raw.Write(p); err != nil {
		c.fail(fmt.Errorf("milter: capture: %w", err))
	} else if c.limit > 0 && c.raw.Size() > c.limit { // [C049]
		c.fail(&pec.Error{Op: "milter: capture", Kind: pec.ErrorTooLarge, Err: errTooLarge})
	}
}

func (c *capture) fail(err error) {
	if c.err == nil {
		c.err = err
		c.raw.Discard()
	}
}

func (c *capture) measure(p []byte) {
	c.nul = c.nul || bytes.IndexByte(p, 0) >= 0
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.line += len(p)
			c.longest = max(c.longest, c.line)
			return
		}
		c.longest = max(c.longest, c.line+i-1) // a CR stands before every LF
		c.line, p = 0, p[i+1:]
	}
}

// digest is the SHA-256 of the message: what was made on the way, or by reading it again.
func (m *message) digest() ([32]byte, error) {
	if sum, known := m.Digest(); known {
		return sum, nil
	}
	return transaction.Digest(m.header, m.content())
}

// message is a finished capture.
type message struct {
	*rawmsg.Message
	*capture
}

// finish ends the capture. The caller closes the message.
func (c *capture) finish() (*message, error) {
	if c.err != nil {
		return nil, c.err
	}
	raw, err := c.raw.Finish()
	if err != nil {
		return nil, fmt.Errorf("milter: capture: %w", err)
	}
	return &message{raw, c}, nil
}

// content is what follows the header.
func (m *message) content() pec.Source { return pec.Section(m, m.body, m.Size()-m.body) }

// original is the message for our envelope around it.
func (m *message) original(r *transaction.Record) compose.Original {
	return compose.Original{Header: m.header, Body: m.content(), Encrypted: encrypted(r)}
}

// subject is the decoded subject, and whether there is one.
func (m *message) subject() (string, bool) {
	fields := m.header.Values("Subject")
	if len(fields) == 0 {
		return "", false
	}
	return pec.DecodeText(fields[0].Value), true
}
