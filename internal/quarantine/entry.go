package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// Entry describes an infected message. Its JSON is the file beside the message, and what the commands print.
type Entry struct {
	// ID is the id of the SMTP transaction that the message came in, 32 hexadecimal digits, and its name here.
	ID string `json:"id"`
	// Identifier is that of the certified message, empty when it has none.
	Identifier pec.Identifier `json:"identifier,omitempty"`
	// Time is the instant of the transaction, from which the 30 months count.
	Time time.Time `json:"time"`
	// Point is the door it came in at: "submission" or "incoming".
	Point string `json:"point"`
	// Kind is what the message was when it came in, empty for what a user submitted.
	Kind pec.Kind `json:"kind,omitempty"`
	// Sender is the SMTP reverse path, empty for the null sender; Recipients are those of the SMTP transaction.
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
	// Virus is what was found; Engine and Signatures say by what.
	Virus      string `json:"virus"`
	Engine     string `json:"engine"`
	Signatures string `json:"signatures"`
	// Signer is the provider whose signature held, empty when none did.
	Signer    string `json:"signer,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Subject   string `json:"subject,omitempty"`
	// Why is the reason for which nobody was told of the virus, empty when somebody was.
	Why string `json:"why,omitempty"`
	// Size, in bytes, and SHA256, in hexadecimal digits, are of the message; [Store.Put] sets them.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// retention is how long an infected message is kept, in months. [C067]
const retention = 30

// Until is the instant before which the message is not removed.
func (e *Entry) Until() time.Time { return e.Time.AddDate(0, retention, 0) }

// ErrEntry says that a description cannot be what this package wrote.
var ErrEntry = errors.New("quarantine: not a description of ours")

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// check says whether an entry may be written, or was.
func (e *Entry) check() error {
	if !idForm.MatchString(e.ID) || e.Time.IsZero() {
		return fmt.Errorf("%w: id %q, time %v", ErrEntry, e.ID, e.Time)
	}
	return nil
}

func decode(id string, data []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrEntry, id, err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	if e.ID != id {
		return nil, fmt.Errorf("%w: %s says that it is %s", ErrEntry, id, e.ID)
	}
	return &e, nil
}
