package milter

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/milter/internal/wire"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
)

// unchanged leaves the message as it came and puts the record above it.
func (s *session) unchanged(e *wire.Edits, m *message, r *transaction.Record) (err error) {
	if r.Digest, err = m.digest(); err != nil {
		return err
	}
	deleteHeader(e, nil, m.private)
	return s.vouch(e, r)
}

// replace puts a sealed envelope in the place of the message: the fields of the header, then the body, hashed on its
// way to Postfix, and then the record, which holds that hash. Postfix allows no edit between two pieces of a body, but
// does after the last.
func (s *session) replace(ctx context.Context, e *wire.Edits, m *message, draft *pec.Artefact, r *transaction.Record) error {
	d, err := signer.NewDraft(draft)
	if err != nil {
		return fmt.Errorf("milter: draft: %w", err)
	}
	deleteHeader(e, m.header, m.private)
	for _, f := range draft.Header {
		e.AddHeader(f.Name, f.Value)
	}
	digest := transaction.NewDigest(draft.Header)
	body := e.Body()
	if _, err := d.SealTo(ctx, io.MultiWriter(body, digest), s.o.Key, r.Instant); err != nil {
		return fmt.Errorf("milter: seal: %w", err)
	}
	if err := body.Close(); err != nil {
		return fmt.Errorf("milter: new body: %w", err)
	}
	digest.Sum(r.Digest[:0])
	return s.vouch(e, r)
}

// maxField is how long the value of a field may be: Postfix cuts a field at 60,000 bytes without a word.
const maxField = 59000

// overlong returns the name of a field that Postfix would cut, "" when there is none.
func overlong(h pec.Header) string {
	for _, f := range h {
		if len(f.Value) >= maxField {
			return f.Name
		}
	}
	return ""
}

// cutSubject is an envelope whose own Subject fits: encoding made it longer than that of the original, which is inside,
// whole. It is cut between two lines.
func cutSubject(a *pec.Artefact) *pec.Artefact {
	cut := *a
	cut.Header = slices.Clone(a.Header)
	for i, f := range cut.Header {
		if strings.EqualFold(f.Name, "Subject") && len(f.Value) >= maxField {
			f.Value = f.Value[:strings.LastIndex(f.Value[:maxField], "\r\n")]
			cut.Header[i] = f
		}
	}
	return &cut
}

// belowReceived is where the record goes: Postfix's own Received, which it writes on top of a message, is number 0.
const belowReceived = 1

// vouch puts the record above all that its digest covers.
func (s *session) vouch(e *wire.Edits, r *transaction.Record) error {
	fields, err := s.o.HMAC.Seal(r)
	if err != nil {
		return fmt.Errorf("milter: record: %w", err)
	}
	for i, f := range fields {
		e.InsertHeader(belowReceived+uint32(i), f.Name, f.Value)
	}
	return nil
}

// deleteHeader deletes every field of h and all private fields, those of a name from the last to the first, since those
// behind a deleted one move up.
func deleteHeader(e *wire.Edits, h pec.Header, private uint32) {
	left := map[string]uint32{strings.ToLower(transaction.FieldName): private}
	for _, f := range h {
		left[strings.ToLower(f.Name)]++
	}
	for name, n := range left {
		for ; n > 0; n-- {
			e.DeleteHeader(n, name)
		}
	}
}
