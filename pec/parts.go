package pec

import "errors"

// Parts are the parts of a signed message of the system. [C190]
type Parts struct {
	Text     Source // the readable part, with its MIME header
	CertData []byte // decoded; nil when there is none
	Original Source // the content of postacert.eml, byte for byte; nil when there is none
}

// ReadParts takes the signed multipart/mixed apart.
func ReadParts(content Source) (*Parts, error) { return nil, errors.New("not yet") }
