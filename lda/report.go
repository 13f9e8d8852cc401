package lda

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/policy"
)

// report is a delivery status notification (RFC 3464).
type report struct {
	envelopeID string
	statuses   []status
	returned   pec.Header // of the message that it is about; empty when it did not come back
}

// status is what a report says of one recipient.
type status struct {
	final, original string // addresses as written
	action          string // in lower case
	attempt         policy.Attempt
}

// errNotReport says that a message is no delivery status notification.
var errNotReport = errors.New("not a delivery status notification")

// Limits on a report; Postfix writes some hundred bytes per recipient.
const (
	maxStatus   = 1 << 20
	maxReturned = 1 << 20
	maxParts    = 10
)

// parseReport reads a multipart/report. What is beyond the limits is an error, never left out.
func parseReport(h pec.Header, body io.Reader) (*report, error) {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || !strings.EqualFold(params["report-type"], "delivery-status") {
		return nil, errNotReport
	}
	parts := multipart.NewReader(body, params["boundary"])
	r := &report{}
	stated := false
	for range maxParts {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotReport, err)
		}
		isStatus, err := r.readPart(part)
		if err == nil && isStatus && stated {
			err = errors.New("a second status")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotReport, err)
		}
		stated = stated || isStatus
	}
	if !stated || len(r.statuses) == 0 {
		return nil, fmt.Errorf("%w: no status", errNotReport)
	}
	return r, nil
}

func (r *report) readPart(part *multipart.Part) (isStatus bool, err error) {
	kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
	if err != nil {
		return false, nil // a part without a type is text
	}
	switch kind {
	case "message/delivery-status":
		text, err := io.ReadAll(io.LimitReader(part, maxStatus+1))
		if err != nil || len(text) > maxStatus {
			return true, errors.Join(err, fmt.Errorf("a status of %d bytes or more", len(text)))
		}
		return true, r.readStatus(text)
	case "message/rfc822", "text/rfc822-headers":
		text, err := io.ReadAll(io.LimitReader(part, maxReturned))
		if err != nil {
			return false, err
		}
		// The rest of a long message is of no interest; a header that cannot be read says nothing.
		r.returned, _, _ = pec.ReadHeader(pec.Bytes(text), maxReturned)
	}
	return false, nil
}

// readStatus reads the groups of fields: the first is about the message, the others are about a recipient each.
func (r *report) readStatus(text []byte) error {
	for rest := text; len(strings.TrimSpace(string(rest))) > 0; {
		group, body, err := pec.ReadHeader(pec.Bytes(rest), len(rest))
		if err != nil {
			return err
		}
		rest = rest[body:]
		switch {
		case group.Has("Final-Recipient"):
			r.statuses = append(r.statuses, statusOf(group))
		case group.Has("Original-Envelope-Id"):
			r.envelopeID = group.Get("Original-Envelope-Id")
		}
	}
	return nil
}

func statusOf(group pec.Header) status {
	s := status{
		final: addressOf(group.Get("Final-Recipient")), original: addressOf(group.Get("Original-Recipient")),
		action: strings.ToLower(firstWord(group.Get("Action"))),
	}
	s.attempt.Enhanced = firstWord(group.Get("Status"))
	_, diagnostic, _ := strings.Cut(group.Get("Diagnostic-Code"), ";")
	s.attempt.Text = strings.TrimSpace(diagnostic)
	if code, err := strconv.Atoi(firstWord(diagnostic)); err == nil && code >= 400 && code < 600 {
		s.attempt.Code = code
	}
	return s
}

// addressOf takes the type off "rfc822; a@b".
func addressOf(value string) string {
	if kind, address, found := strings.Cut(value, ";"); found && strings.EqualFold(strings.TrimSpace(kind), "rfc822") {
		return strings.TrimSpace(address)
	}
	return ""
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}
