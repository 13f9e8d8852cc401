package plugins

import (
	"context"
	"io"
	"log/slog"

	"google.golang.org/grpc"

	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Conservation is a plug-in that keeps messages and receipts.
type Conservation struct {
	About
	// Open makes the depositor. An error says what is wrong with the configuration and what to write.
	Open func(context.Context, Setup) (Depositor, error)
}

// Depositor keeps bundles. It is called concurrently.
type Depositor interface {
	// Deposit keeps a bundle, once for each key, and answers Done when a crash would not lose it. It MUST read all of the
	// content before it says so, and MUST NOT keep content that does not have the size and digest of the bundle.
	Deposit(ctx context.Context, bundle Bundle, content *Content) (Effect, error)
	// Status says what became of a deposit.
	Status(ctx context.Context, key string) (State, Effect, error)
	// Usage says what a mailbox has in store.
	Usage(ctx context.Context, mailbox string) (Usage, error)
	// Exhibit gives a bundle back; the reader is closed by the caller. Found is false when nothing is kept under the key.
	Exhibit(ctx context.Context, key string) (bundle Bundle, content io.ReadCloser, found bool, err error)
}

// Bundle is what is deposited, without its content.
type Bundle struct {
	Key       string // names the deposit for ever
	Mailbox   string
	Event     string // what happened, as in [Event.Name]; it is not given back by Exhibit
	Size      int64
	SHA256    []byte // of the whole content
	MediaType string
	Time      int64 // of the event, in seconds since 1970
}

// State is what became of a deposit.
type State int

// The states. The zero value is no answer.
const (
	NoState  State = iota
	Unknown        // never deposited under this key
	Pending        // taken, not yet preserved by the law
	Kept           // preserved
	Rejected       // refused
)

// Usage is what a mailbox has in store. A limit of 0 is none.
type Usage struct {
	Bytes, Items, LimitBytes int64
}

// Describe implements Plugin.
func (c Conservation) Describe() Description {
	return c.describe(KindConservation, onlyCurrent(), NeedContent)
}

func (c Conservation) register(_ int, server *grpc.Server, log *slog.Logger) {
	depositor := &opened[Depositor]{open: c.Open, log: log}
	registerBase2(server, depositor)
	contractv2.RegisterConservationServer(server, conservation{depositor: depositor})
}

// conservation is the service Conservation.
type conservation struct {
	contractv2.UnimplementedConservationServer
	depositor *opened[Depositor]
}

// Deposit implements contractv2.ConservationServer.
func (s conservation) Deposit(stream grpc.ClientStreamingServer[contractv2.DepositRequest, contractv2.DepositResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := first.GetHeader()
	if h == nil {
		return errHeader
	}
	impl, err := s.depositor.get()
	if err != nil {
		return err
	}
	content := &Content{size: h.Size, Metadata: metadata(h.Metadata), source: &pieces{next: func() ([]byte, error) {
		part, err := stream.Recv()
		return part.GetChunk(), err
	}}}
	bundle := Bundle{Key: h.IdempotencyKey, Mailbox: h.Mailbox, Event: h.Event, Size: h.Size, SHA256: h.Sha256, MediaType: h.MediaType, Time: h.Time}
	effect, err := impl.Deposit(stream.Context(), bundle, content)
	if err == nil && effect.Outcome == Done && !content.whole() {
		err = ErrShort
	}
	if err != nil && late(stream.Context()) != nil {
		return late(stream.Context())
	}
	if err != nil {
		effect = Effect{Outcome: Later, Reason: err.Error()}
	}
	return stream.SendAndClose(&contractv2.DepositResponse{Outcome: outcome(effect), Reference: effect.Reference, Reason: effect.Reason})
}

// Status implements contractv2.ConservationServer.
func (s conservation) Status(ctx context.Context, r *contractv2.StatusRequest) (*contractv2.StatusResponse, error) {
	impl, err := s.depositor.get()
	if err != nil {
		return nil, err
	}
	state, effect, err := impl.Status(ctx, r.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	return &contractv2.StatusResponse{State: contractv2.DepositState(state), Reference: effect.Reference, Reason: effect.Reason}, nil
}

// Usage implements contractv2.ConservationServer.
func (s conservation) Usage(ctx context.Context, r *contractv2.UsageRequest) (*contractv2.UsageResponse, error) {
	impl, err := s.depositor.get()
	if err != nil {
		return nil, err
	}
	u, err := impl.Usage(ctx, r.Mailbox)
	if err != nil {
		return nil, err
	}
	return &contractv2.UsageResponse{Bytes: u.Bytes, Items: u.Items, LimitBytes: u.LimitBytes}, nil
}

// Exhibit implements contractv2.ConservationServer.
func (s conservation) Exhibit(r *contractv2.ExhibitRequest, stream grpc.ServerStreamingServer[contractv2.ExhibitResponse]) error {
	impl, err := s.depositor.get()
	if err != nil {
		return err
	}
	bundle, content, found, err := impl.Exhibit(stream.Context(), r.IdempotencyKey)
	if err != nil {
		return err
	}
	header := &contractv2.ExhibitHeader{Found: found, Size: bundle.Size, Sha256: bundle.SHA256, MediaType: bundle.MediaType}
	if err := stream.Send(&contractv2.ExhibitResponse{Part: &contractv2.ExhibitResponse_Header{Header: header}}); err != nil || !found {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	return sendChunks(content, func(chunk []byte) error {
		return stream.Send(&contractv2.ExhibitResponse{Part: &contractv2.ExhibitResponse_Chunk{Chunk: chunk}})
	})
}

// usualChunk is how content is cut, in bytes: with its frame it just fits the pool of 16 KiB that gRPC has.
const usualChunk = 16<<10 - 64

func sendChunks(r io.Reader, send func([]byte) error) error {
	buffer := make([]byte, usualChunk)
	for {
		n, err := io.ReadFull(r, buffer)
		if n > 0 {
			if err := send(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
