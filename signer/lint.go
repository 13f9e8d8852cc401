package signer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ceralacca/ceralacca/internal/mediatype"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer/internal/multipart"
)

// lintHeader holds the header of what we composed to what readers rely on. Fields that envelopes inherit from an
// original are left as they are, but for line ends that would make other fields of them.
func lintHeader(a *pec.Artefact) error {
	for _, f := range a.Header {
		if err := lintField(f); err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	for _, name := range []string{"From", "Date", "MIME-Version", "Content-Type"} {
		if n := len(a.Header.Values(name)); n != 1 {
			return fmt.Errorf("field %s is there %d times, not once", name, n)
		}
	}
	if err := lintKind(a); err != nil {
		return err
	}
	return lintContentType(a)
}

func lintField(f pec.Field) error {
	if !mediatype.IsToken(f.Name) {
		return errors.New("the name is none")
	}
	rest := f.Value
	for {
		line, after, found := strings.Cut(rest, "\r\n")
		if strings.ContainsAny(line, "\r\n\x00") {
			return errors.New("bare line end or NUL")
		}
		if !found {
			return nil
		}
		if after == "" || after[0] != ' ' && after[0] != '\t' {
			return errors.New("a line that is no continuation")
		}
		rest = after
	}
}

// lintKind: exactly one header field says what a message is. [C011]
func lintKind(a *pec.Artefact) error {
	mine, other := pec.FieldReceipt, pec.FieldTransport
	if a.Kind == pec.KindTransport || a.Kind == pec.KindAnomaly {
		mine, other = other, mine
	}
	fields := a.Header.Values(mine)
	if a.Kind == pec.KindNone || len(fields) != 1 || mediatype.Unfold(fields[0].Value) != string(a.Kind) {
		return fmt.Errorf("field %s does not say %q once", mine, a.Kind)
	}
	if a.Header.Has(other) {
		return fmt.Errorf("field %s beside %s", other, mine)
	}
	return nil
}

// lintContentType: the signature is detached, and readers can find it. [C001] [C256]
func lintContentType(a *pec.Artefact) error {
	m, err := mediatype.Parse(a.Header.Values("Content-Type")[0].Value)
	if err != nil {
		return fmt.Errorf("field Content-Type: %w", err)
	}
	if !multipart.ValidBoundary(a.Boundary) || m.Params["boundary"] != a.Boundary {
		return fmt.Errorf("boundary %q in Content-Type, %q in the message", m.Params["boundary"], a.Boundary)
	}
	if m.Name != "multipart/signed" || m.Params["protocol"] != signatureType || m.Params["micalg"] != "sha-256" {
		return fmt.Errorf("field Content-Type says %s with %s and %s", m.Name, m.Params["protocol"], m.Params["micalg"])
	}
	return nil
}
