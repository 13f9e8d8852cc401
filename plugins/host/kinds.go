package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/ceralacca/ceralacca/plugins"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Conservation is a supervised plug-in of that kind. It is safe for concurrent use.
type Conservation struct{ *Supervisor }

// Deposit hands over one bundle; its size and digest are those of the content. The effect is Done, Refused or Later.
func (c Conservation) Deposit(ctx context.Context, b plugins.Bundle, content Content) (effect plugins.Effect, err error) {
	err = c.call(ctx, "deposit", func(ctx context.Context, i *Instance) (err error) {
		effect, err = i.Deposit(ctx, b, content)
		return err
	})
	return effect, err
}

// Status says what became of a deposit.
func (c Conservation) Status(ctx context.Context, key string) (state plugins.State, effect plugins.Effect, err error) {
	err = c.call(ctx, "status", func(ctx context.Context, i *Instance) (err error) {
		state, effect, err = i.Status(ctx, key)
		return err
	})
	return state, effect, err
}

// Usage says what a mailbox has in store.
func (c Conservation) Usage(ctx context.Context, mailbox string) (usage plugins.Usage, err error) {
	err = c.call(ctx, "usage", func(ctx context.Context, i *Instance) (err error) {
		usage, err = i.Usage(ctx, mailbox)
		return err
	})
	return usage, err
}

// Exhibit writes what is kept under a key to w, and returns what it is. Unless the error is nil, what was written is
// worthless; found is false when nothing is kept.
func (c Conservation) Exhibit(ctx context.Context, key string, w io.Writer) (b plugins.Bundle, found bool, err error) {
	err = c.call(ctx, "exhibit", func(ctx context.Context, i *Instance) (err error) {
		b, found, err = i.Exhibit(ctx, key, w)
		return err
	})
	return b, found, err
}

// Deposit is [Conservation.Deposit] on this process.
func (i *Instance) Deposit(ctx context.Context, b plugins.Bundle, c Content) (plugins.Effect, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream whatever happens
	stream, err := contractv2.NewConservationClient(i.conn).Deposit(ctx)
	if err != nil {
		return plugins.Effect{}, err
	}
	header := &contractv2.DepositHeader{IdempotencyKey: b.Key, Mailbox: b.Mailbox, Size: b.Size, Sha256: b.SHA256,
		MediaType: b.MediaType, Time: b.Time, Event: b.Event}
	if i.meta {
		header.Metadata = metadata(c.Metadata)
	}
	if err = stream.Send(&contractv2.DepositRequest{Part: &contractv2.DepositRequest_Header{Header: header}}); err == nil {
		if err = c.pieces(ctx, func(p []byte) error {
			return stream.Send(&contractv2.DepositRequest{Part: &contractv2.DepositRequest_Chunk{Chunk: p}})
		}); err != nil {
			return plugins.Effect{}, err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return plugins.Effect{}, err
	}
	return effectOf(answer)
}

// effectAnswer is what the answers with an outcome have.
type effectAnswer interface {
	GetOutcome() contractv2.Outcome
	GetReference() string
	GetReason() string
}

// effectOf takes an answer only when it keeps the rules.
func effectOf(a effectAnswer) (plugins.Effect, error) {
	e := plugins.Effect{Reference: a.GetReference(), Reason: clip(a.GetReason())}
	switch a.GetOutcome() {
	case contractv2.Outcome_OUTCOME_DONE:
		if !speakable(e.Reference, 1024) {
			return plugins.Effect{}, fmt.Errorf("%w: done, with the reference %q", ErrWrong, clip(e.Reference))
		}
		e.Outcome = plugins.Done
	case contractv2.Outcome_OUTCOME_REFUSED:
		e.Outcome = plugins.Refused
	case contractv2.Outcome_OUTCOME_LATER:
		e.Outcome = plugins.Later
	default:
		return plugins.Effect{}, fmt.Errorf("%w: the outcome %d is none", ErrWrong, a.GetOutcome())
	}
	return e, nil
}

// Status is [Conservation.Status] on this process.
func (i *Instance) Status(ctx context.Context, key string) (plugins.State, plugins.Effect, error) {
	a, err := contractv2.NewConservationClient(i.conn).Status(ctx, &contractv2.StatusRequest{IdempotencyKey: key})
	if err != nil {
		return plugins.NoState, plugins.Effect{}, err
	}
	state := plugins.State(a.State)
	e := plugins.Effect{Reference: a.Reference, Reason: clip(a.Reason)}
	switch state {
	case plugins.Unknown, plugins.Rejected:
	case plugins.Pending, plugins.Kept:
		if !speakable(e.Reference, 1024) {
			return plugins.NoState, plugins.Effect{}, fmt.Errorf("%w: state %d with the reference %q", ErrWrong, state, clip(e.Reference))
		}
	default:
		return plugins.NoState, plugins.Effect{}, fmt.Errorf("%w: the state %d is none", ErrWrong, state)
	}
	return state, e, nil
}

// Usage is [Conservation.Usage] on this process.
func (i *Instance) Usage(ctx context.Context, mailbox string) (plugins.Usage, error) {
	a, err := contractv2.NewConservationClient(i.conn).Usage(ctx, &contractv2.UsageRequest{Mailbox: mailbox})
	if err != nil {
		return plugins.Usage{}, err
	}
	if a.Bytes < 0 || a.Items < 0 || a.LimitBytes < 0 {
		return plugins.Usage{}, fmt.Errorf("%w: a usage below nothing", ErrWrong)
	}
	return plugins.Usage{Bytes: a.Bytes, Items: a.Items, LimitBytes: a.LimitBytes}, nil
}

// Exhibit is [Conservation.Exhibit] on this process.
func (i *Instance) Exhibit(ctx context.Context, key string, w io.Writer) (b plugins.Bundle, found bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream whatever happens
	stream, err := contractv2.NewConservationClient(i.conn).Exhibit(ctx, &contractv2.ExhibitRequest{IdempotencyKey: key})
	if err != nil {
		return b, false, err
	}
	first, err := stream.Recv()
	if err != nil {
		return b, false, fmt.Errorf("%w: no header: %w", ErrWrong, err)
	}
	h := first.GetHeader()
	if h == nil {
		return b, false, fmt.Errorf("%w: no header", ErrWrong)
	}
	b = plugins.Bundle{Key: key, Size: h.Size, SHA256: h.Sha256, MediaType: h.MediaType}
	sum, size := sha256.New(), int64(0)
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return b, false, err
		}
		size += int64(len(part.GetChunk()))
		if _, err := io.MultiWriter(sum, w).Write(part.GetChunk()); err != nil {
			return b, false, fmt.Errorf("%w: %w", errContent, err)
		}
	}
	if h.Found && (size != h.Size || string(sum.Sum(nil)) != string(h.Sha256)) {
		return b, false, fmt.Errorf("%w: %d bytes that are not what was kept", ErrWrong, size)
	}
	return b, h.Found, nil
}

// Notification is a supervised plug-in of that kind. It is safe for concurrent use.
type Notification struct{ *Supervisor }

// Notify tells about one event. The effect is Done, Refused or Later.
func (n Notification) Notify(ctx context.Context, e plugins.Event) (effect plugins.Effect, err error) {
	err = n.call(ctx, "notify", func(ctx context.Context, i *Instance) (err error) {
		effect, err = i.Notify(ctx, e)
		return err
	})
	return effect, err
}

// Notify is [Notification.Notify] on this process.
func (i *Instance) Notify(ctx context.Context, e plugins.Event) (plugins.Effect, error) {
	r := &contractv2.NotifyRequest{IdempotencyKey: e.Key, Mailbox: e.Mailbox, Event: e.Name, Time: e.Time}
	if i.meta {
		r.Metadata = metadata(e.Metadata)
	}
	if i.headers {
		r.Headers = e.Headers
	}
	a, err := contractv2.NewNotificationClient(i.conn).Notify(ctx, r)
	if err != nil {
		return plugins.Effect{}, err
	}
	return effectOf(a)
}

// Key is a supervised plug-in of that kind. It is safe for concurrent use.
type Key struct{ *Supervisor }

// Certificates lists the keys, at least one, each with at least one certificate.
func (k Key) Certificates(ctx context.Context) (entries []plugins.KeyEntry, err error) {
	err = k.call(ctx, "certificates", func(ctx context.Context, i *Instance) (err error) {
		entries, err = i.Certificates(ctx)
		return err
	})
	return entries, err
}

// Sign signs a SHA-256 digest. The caller MUST check the signature with the certificate before it uses it.
func (k Key) Sign(ctx context.Context, id string, digest []byte) (signature []byte, err error) {
	err = k.call(ctx, "sign", func(ctx context.Context, i *Instance) (err error) {
		signature, err = i.Sign(ctx, id, digest)
		return err
	})
	return signature, err
}

// Certificates is [Key.Certificates] on this process.
func (i *Instance) Certificates(ctx context.Context) ([]plugins.KeyEntry, error) {
	a, err := contractv2.NewKeyClient(i.conn).Certificates(ctx, &contractv2.CertificatesRequest{})
	if err != nil {
		return nil, err
	}
	var entries []plugins.KeyEntry
	for _, k := range a.Keys {
		if k.Id == "" || len(k.Chain) == 0 {
			return nil, fmt.Errorf("%w: a key without id or certificate", ErrWrong)
		}
		entries = append(entries, plugins.KeyEntry{ID: k.Id, Chain: k.Chain})
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: no key", ErrWrong)
	}
	return entries, nil
}

// Sign is [Key.Sign] on this process.
func (i *Instance) Sign(ctx context.Context, id string, digest []byte) ([]byte, error) {
	a, err := contractv2.NewKeyClient(i.conn).Sign(ctx, &contractv2.SignRequest{KeyId: id, Digest: digest,
		Scheme: contractv2.SignatureScheme_SIGNATURE_SCHEME_RSA_PKCS1_SHA256})
	switch {
	case err != nil:
		return nil, err
	case a.Outcome == contractv2.Outcome_OUTCOME_DONE && len(a.Signature) > 0:
		return a.Signature, nil
	case a.Outcome == contractv2.Outcome_OUTCOME_LATER, a.Outcome == contractv2.Outcome_OUTCOME_REFUSED:
		return nil, fmt.Errorf("%w: %q", ErrUnable, clip(a.Reason))
	default:
		return nil, fmt.Errorf("%w: the outcome %d with %d bytes", ErrWrong, a.Outcome, len(a.Signature))
	}
}
