package transaction

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/ceralacca/ceralacca/pec"
)

// FieldName is the name of the private header fields that carry a record.
const FieldName = "X-Ceralacca-Transaction"

const (
	// chunk is how many characters of base64 one field carries: Postfix cuts a field silently at 60,000 bytes.
	chunk = 30_000
	// lineWidth is that of a folded line, its leading space included.
	lineWidth = 76
	// maxFields bounds what Open takes on: 3 MB, beyond 30,000 recipients.
	maxFields = 100
)

// Seal writes r, with its proof, as header fields that MUST stand together and in this order, right before what
// r.Digest covers. Their values begin with a space and are folded with CRLF. The error is a fault of the caller: a
// record that makes no sense or is too long.
func (k Key) Seal(r *Record) ([]pec.Field, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	text, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	sealed := base64.StdEncoding.EncodeToString(append(k.mac(purposeRecord, text), text...))
	total := (len(sealed) + chunk - 1) / chunk
	if total > maxFields {
		return nil, fmt.Errorf("transaction: a record of %d bytes is too long", len(text))
	}
	fields := make([]pec.Field, 0, total)
	for i := range total {
		part := sealed[i*chunk : min((i+1)*chunk, len(sealed))]
		fields = append(fields, pec.Field{Name: FieldName, Value: fmt.Sprintf(" %d/%d;", i+1, total) + fold(part)})
	}
	return fields, nil
}

// fold puts each line's worth of text on a line of its own.
func fold(text string) string {
	var folded strings.Builder
	for len(text) > 0 {
		n := min(lineWidth-1, len(text))
		folded.WriteString("\r\n " + text[:n])
		text = text[n:]
	}
	return folded.String()
}
