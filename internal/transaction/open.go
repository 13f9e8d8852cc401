package transaction

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// Why a header holds no record; test with [errors.Is].
var (
	// ErrNone says that there is no field of ours: the message did not pass a milter of ours.
	ErrNone = errors.New("no transaction header")
	// ErrForged says that there are fields of ours that our milter did not write, or not like this.
	ErrForged = errors.New("transaction header not genuine")
	// ErrUncovered says that before our fields stands one that Postfix does not put there, so that the record does not
	// vouch for it: our settings are wrong. The peer MUST be told to try later.
	ErrUncovered = errors.New("header field outside the transaction record")
	// ErrVersion says that the record is genuine but written by another version of this program. The peer MUST be told
	// to try later.
	ErrVersion = errors.New("transaction record of another version")
)

// trace are the fields, in lower case, that Postfix may put on top after the milter.
var trace = []string{"received", "return-path", "delivered-to", "x-original-to"}

// Open finds the record in h, the header of a message from Postfix's queue, and proves it; rest is h without our
// fields. It says nothing about the bytes that follow: their digest is the caller's to compare, over [Following] and
// the body.
func (k Key) Open(h pec.Header) (r *Record, rest pec.Header, err error) {
	first, last := span(h)
	if first < 0 {
		return nil, nil, ErrNone
	}
	sealed, err := join(h[first : last+1])
	if err != nil {
		return nil, nil, err
	}
	text, err := k.prove(sealed)
	if err != nil {
		return nil, nil, err
	}
	for _, field := range h[:first] {
		if !slices.Contains(trace, strings.ToLower(field.Name)) {
			return nil, nil, fmt.Errorf("%w: %.100q", ErrUncovered, field.Name)
		}
	}
	r, err = decode(text)
	if err != nil {
		return nil, nil, fmt.Errorf("transaction: %w", err)
	}
	return r, slices.Concat(h[:first], h[last+1:]), nil
}

// Following returns what stands after the last of our fields: the part of the header that a record's digest covers. It
// shares memory with h; without a field of ours it is h.
func Following(h pec.Header) pec.Header {
	_, last := span(h)
	return h[last+1:]
}

// span is where our fields begin and end, -1 and -1 when there is none.
func span(h pec.Header) (first, last int) {
	first, last = -1, -1
	for i, field := range h {
		if !strings.EqualFold(field.Name, FieldName) {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	return first, last
}

// join returns the base64 of fields, which must be all ours, numbered from 1 to their number.
func join(fields pec.Header) (string, error) {
	if len(fields) > maxFields {
		return "", fmt.Errorf("%w: %d fields", ErrForged, len(fields))
	}
	var sealed strings.Builder
	for i, field := range fields {
		if !strings.EqualFold(field.Name, FieldName) {
			return "", fmt.Errorf("%w: %.100q stands among its fields", ErrForged, field.Name)
		}
		number, text, _ := strings.Cut(field.Value, ";")
		if want := fmt.Sprintf("%d/%d", i+1, len(fields)); strings.TrimSpace(number) != want {
			return "", fmt.Errorf("%w: field %.20q stands where %s should", ErrForged, number, want)
		}
		sealed.WriteString(unfold.Replace(text))
	}
	return sealed.String(), nil
}

// unfold takes out what folding put in, whoever folded.
var unfold = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")

// prove returns the text of a record once its HMAC is good.
func (k Key) prove(sealed string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < sha256.Size {
		return nil, fmt.Errorf("%w: not base64, or too short", ErrForged)
	}
	text := raw[sha256.Size:]
	if !hmac.Equal(raw[:sha256.Size], k.mac(purposeRecord, text)) {
		return nil, fmt.Errorf("%w: the HMAC does not match", ErrForged)
	}
	return text, nil
}
