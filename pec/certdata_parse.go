package pec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding/htmlindex"
)

// Guards against documents made to exhaust us; 1,500 recipients take a fifth of the size.
const (
	maxCertData = 1 << 20
	maxDepth    = 8
)

// ParseCertData reads certification data of any provider. It accepts DOCTYPE, stylesheets, comments, a byte order mark
// and any line ends, fetches nothing and resolves no entity but the five of XML [C258]; order, cardinality, attributes
// and values of the DTD are enforced, since what they say has legal effects. The error is ErrCertData.
func ParseCertData(b []byte) (*CertData, error) {
	if len(b) > maxCertData {
		return nil, fmt.Errorf("%w: %d bytes", ErrCertData, len(b))
	}
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\uFEFF")), " \t\r\n")
	if err := validate(decoder(b)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertData, err)
	}
	var d certDataXML
	if err := decoder(b).Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertData, err)
	}
	c, err := d.certData()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertData, err)
	}
	return c, nil
}

func decoder(b []byte) *xml.Decoder {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		encoding, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return encoding.NewDecoder().Reader(input), nil
	}
	return d
}

// element is one that is open during validation.
type element struct {
	name     string
	children strings.Builder // their names, each followed by a space
}

// validate walks over the document once and compares it with the content models.
func validate(d *xml.Decoder) error {
	open := []*element{{}}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return open[0].close()
		}
		if err != nil {
			return err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return errors.New("too deep")
			}
			top.children.WriteString(t.Name.Local + " ")
			if err := checkAttributes(t); err != nil {
				return err
			}
			open = append(open, &element{name: t.Name.Local})
		case xml.EndElement:
			if err := top.close(); err != nil {
				return err
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if certDataContent[top.name] != nil && len(bytes.TrimSpace(t)) > 0 {
				return fmt.Errorf("text within %q", top.name)
			}
		}
	}
}

func (e *element) close() error {
	children := e.children.String()
	if model := certDataContent[e.name]; model == nil && children != "" || model != nil && !model.MatchString(children) {
		return fmt.Errorf("%q contains %.200q", e.name, children)
	}
	return nil
}

func checkAttributes(t xml.StartElement) error {
	legal := certDataAttributes[t.Name.Local]
	seen := map[string]bool{}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" || strings.Contains(a.Name.Space, "XMLSchema-instance") {
			continue // says nothing
		}
		if _, known := legal[a.Name.Local]; !known || seen[a.Name.Local] {
			return fmt.Errorf("attribute %q of %q", a.Name.Local, t.Name.Local)
		}
		if a.Value == "" { // a default is for what is not there; no value of the DTD is empty
			return fmt.Errorf("attribute %q of %q is empty", a.Name.Local, t.Name.Local)
		}
		seen[a.Name.Local] = true
	}
	for name, required := range legal {
		if required && !seen[name] {
			return fmt.Errorf("%q lacks %q", t.Name.Local, name)
		}
	}
	return nil
}

// certData turns the strings of the document into values.
func (d *certDataXML) certData() (*CertData, error) {
	c := &CertData{
		Kind: d.Kind, Error: d.Error, ReplyTo: trim(d.Header.ReplyTo), Subject: d.Header.Subject,
		Provider: trim(d.Data.Provider), MessageID: trim(d.Data.MessageID), Detail: trim(d.Data.Detail),
	}
	if c.Error == "" {
		c.Error = ErrorNone // the default of the DTD
	}
	if _, known := legalErrors[c.Kind]; !known || !slices.Contains(errorCodes, c.Error) {
		return nil, fmt.Errorf("kind %q with error %q", c.Kind, c.Error)
	}
	var err error
	if c.Sender, err = looseAddress(d.Header.Sender); err != nil {
		return nil, err
	}
	if c.Identifier, err = ParseIdentifier(string(d.Data.Identifier)); err != nil {
		return nil, err
	}
	if c.Time, err = d.time(); err != nil {
		return nil, err
	}
	if err := d.recipients(c); err != nil {
		return nil, err
	}
	return c, d.optional(c)
}

func (d *certDataXML) time() (time.Time, error) {
	t := d.Data.Time
	zone := strings.Replace(trim(t.Zone), ":", "", 1) // QUIRK: the grammar of RFC 6109, 4.2 has the colon
	when, err := withLeap(trim(t.Day)+" "+trim(t.Hour)+" "+zone, func(s string) (time.Time, error) {
		return time.Parse(DayFormat+" "+HourFormat+" "+ZoneFormat, s)
	})
	if err == nil && when.Year() < 2000 {
		return time.Time{}, fmt.Errorf("%d was before certified e-mail", when.Year())
	}
	return when, err
}

func (d *certDataXML) recipients(c *CertData) error {
	for _, r := range d.Header.Recipients {
		if r.Type == "" {
			r.Type = Certified // the default of the DTD
		}
		if r.Type != Certified && r.Type != Ordinary {
			return fmt.Errorf("recipient of type %q", r.Type)
		}
		a, err := looseAddress(r.Address)
		if err != nil {
			return err
		}
		c.Recipients = append(c.Recipients, Recipient{Address: a, Type: r.Type})
	}
	return nil
}

// optional reads what only some kinds carry; which, is not enforced: providers differ.
func (d *certDataXML) optional(c *CertData) error {
	if r := d.Data.Receipt; r != nil {
		if c.Receipt = r.Kind; !slices.Contains(receiptKinds, c.Receipt) {
			return fmt.Errorf("receipt of kind %q", c.Receipt)
		}
	}
	if d.Data.Delivery != nil {
		a, err := looseAddress(*d.Data.Delivery)
		if err != nil {
			return err
		}
		c.Delivery = &a
	}
	for _, s := range d.Data.Taken {
		a, err := looseAddress(s)
		if err != nil {
			return err
		}
		c.Taken = append(c.Taken, a)
	}
	// QUIRK: virus notices of 2006 and 2007 name their recipient as if it were taken in charge. [C149]
	if c.Kind == KindVirusDetection && c.Delivery == nil && len(c.Taken) == 1 {
		c.Delivery, c.Taken = &c.Taken[0], nil
	}
	return nil
}

// looseAddress reads an address that may have space, angle brackets or a name round it.
func looseAddress(s string) (Address, error) {
	if a, err := ParseAddress(trim(s)); err == nil {
		return a, nil
	}
	if list, err := ParseAddressList(s); err == nil && len(list) == 1 {
		return list[0], nil
	}
	return Address{}, fmt.Errorf("%w: %.200q", ErrAddress, s)
}

func trim(s string) string { return strings.TrimSpace(s) }
