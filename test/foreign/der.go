package foreign

import (
	"bytes"
	"encoding/asn1"
)

// Tags of ASN.1 that a SignedData is made of.
const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagNull     = 0x05
	tagSequence = 0x30
	tagSet      = 0x31
	tagContext0 = 0xa0 // constructed [0]
)

// tlv is an element of DER.
func tlv(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	return append(append([]byte{tag}, length(len(content))...), content...)
}

func length(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	var b []byte
	for ; n > 0; n >>= 8 {
		b = append([]byte{byte(n)}, b...)
	}
	return append([]byte{0x80 | byte(len(b))}, b...)
}

// indefinite is an element of BER without a length, as Java writes them.
func indefinite(tag byte, parts ...[]byte) []byte {
	return append(append([]byte{tag, 0x80}, bytes.Join(parts, nil)...), 0, 0)
}

// encoded is the DER of a value of the standard library's kinds.
func encoded(value any) []byte {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err) // a value that this package wrote down
	}
	return der
}

// algorithm is an AlgorithmIdentifier, with NULL for its parameters or with none.
func algorithm(oid asn1.ObjectIdentifier, null bool) []byte {
	if null {
		return tlv(tagSequence, encoded(oid), []byte{tagNull, 0})
	}
	return tlv(tagSequence, encoded(oid))
}
