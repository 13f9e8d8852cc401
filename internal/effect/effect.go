package effect

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// Why a claim cannot be had or used; test with [errors.Is]. All of them are temporary for the peer.
var (
	// ErrHeld says that another claim holds one of the keys.
	ErrHeld = errors.New("effect: held by another claim")
	// ErrFenced says that the lease of the claim ran out and that another claim has taken a key since.
	ErrFenced = errors.New("effect: the claim was lost")
	// ErrKey says that a key cannot be used: it has a NUL, is no part of the claim, or is not in the state that the call
	// needs. It is a fault of the program.
	ErrKey = errors.New("effect: wrong key")
)

// Key names an effect. It is comparable; no field may hold a NUL byte.
type Key struct {
	// Signer is the name of the provider that signed the message, or the hash of its certificate; empty for what has no
	// signature but ours.
	Signer string
	// Identifier is the identifier of the message, or the id of the transaction for anomaly envelopes and refusals, or
	// the Message-ID of an incoming notification.
	Identifier string
	// Digest is the SHA-256 of the signed part, or zero.
	Digest [32]byte
	// Effect says what is done, as a stable English slug.
	Effect string
	// Recipient is the folded address it is done for, or empty.
	Recipient string
}

// Prepared is what is written down before a hand-over, so that a later run does the same again.
type Prepared struct {
	// Keys are all effects of the one hand-over. They are done together.
	Keys []Key
	// Instant is the instant of the artefact.
	Instant time.Time
	// MessageID is the Message-ID of the artefact, with brackets.
	MessageID string
	// Certificate is the SHA-256 of the certificate that signed.
	Certificate [32]byte
	// CMS is the signature, DER.
	CMS []byte
	// Digest is the SHA-256 of the signed part of the artefact.
	Digest [32]byte
	// To is the addressee.
	To pec.Address
	// Data is what else is needed to compose the artefact again; its form is the caller's.
	Data []byte
}

// The steps of an effect, as a [Probe] hears of them.
const (
	StepSync     = "syncfs"
	StepClaim    = "claim"
	StepPrepared = "prepared"
	StepHandOver = "handover"
	StepDone     = "done"
	StepWithdraw = "withdraw"
	StepReply    = "reply"
)

// Probe hears of each step of each effect just before ("before claim") and just after ("after claim"). It is nil in
// production: the tests that kill the agent between two steps use it, and nothing else does.
type Probe func(step, effect string)

// At tells of a point. The zero Probe hears nothing.
func (p Probe) At(point, effect string) {
	if p != nil {
		p(point, effect)
	}
}

// Around runs fn as a step of an effect. The zero Probe only runs fn.
func (p Probe) Around(step, effect string, fn func() error) error {
	if p == nil {
		return fn()
	}
	p("before "+step, effect)
	if err := fn(); err != nil {
		return err
	}
	p("after "+step, effect)
	return nil
}

// around is Around for the distinct effects of some keys.
func (p Probe) around(step string, keys []Key, fn func() error) error {
	if p == nil {
		return fn()
	}
	seen := map[string]bool{}
	for _, key := range keys {
		if next := fn; !seen[key.Effect] {
			seen[key.Effect] = true
			fn = func() error { return p.Around(step, key.Effect, next) }
		}
	}
	return fn()
}

// row is the key of the effect in its table: parts that end with NUL, so that the effects of a message stand together.
func (k Key) row() []byte {
	row := k.message()
	row = append(row, k.Digest[:]...)
	row = append(append(row, k.Effect...), 0)
	return append(row, k.Recipient...)
}

// message is how the rows of all messages with this signer and identifier begin.
func (k Key) message() []byte {
	return append(append(append([]byte(k.Signer), 0), k.Identifier...), 0)
}

// check refuses what would make two keys one row.
func (k Key) check() error {
	if strings.ContainsRune(k.Signer+k.Identifier+k.Effect+k.Recipient, 0) {
		return fmt.Errorf("%w: a NUL in %q", ErrKey, k)
	}
	if k.Identifier == "" || k.Effect == "" {
		return fmt.Errorf("%w: no identifier or no effect in %q", ErrKey, k)
	}
	return nil
}
