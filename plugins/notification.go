package plugins

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Notification is a plug-in that tells somebody about mail by another way.
type Notification struct {
	About
	// Open makes the notifier. An error says what is wrong with the configuration and what to write.
	Open func(context.Context, Setup) (Notifier, error)
}

// Notifier tells about events. It is called concurrently.
type Notifier interface {
	// Notify tells about one event, once for each key. An error means Later.
	Notify(ctx context.Context, event Event) (Effect, error)
}

// Event is what somebody is told about.
type Event struct {
	Key      string // names the notification for ever
	Mailbox  string // whom to tell
	Name     string // "delivered", "accepted", …: see the reference; others may come
	Time     int64  // in seconds since 1970
	Metadata Metadata
	Headers  []byte // the header section with CRLF, for plug-ins that need it
}

// Describe implements Plugin.
func (n Notification) Describe() Description { return n.describe(KindNotification, onlyCurrent()) }

func (n Notification) register(_ int, server *grpc.Server, log *slog.Logger) {
	notifier := &opened[Notifier]{open: n.Open, log: log}
	registerBase2(server, notifier)
	contractv2.RegisterNotificationServer(server, notification{notifier: notifier})
}

// notification is the service Notification.
type notification struct {
	contractv2.UnimplementedNotificationServer
	notifier *opened[Notifier]
}

// Notify implements contractv2.NotificationServer.
func (s notification) Notify(ctx context.Context, r *contractv2.NotifyRequest) (*contractv2.NotifyResponse, error) {
	impl, err := s.notifier.get()
	if err != nil {
		return nil, err
	}
	effect, err := impl.Notify(ctx, Event{Key: r.IdempotencyKey, Mailbox: r.Mailbox, Name: r.Event, Time: r.Time,
		Metadata: metadata(r.Metadata), Headers: r.Headers})
	if err != nil && late(ctx) != nil {
		return nil, late(ctx)
	}
	if err != nil {
		effect = Effect{Outcome: Later, Reason: err.Error()}
	}
	return &contractv2.NotifyResponse{Outcome: outcome(effect), Reference: effect.Reference, Reason: effect.Reason}, nil
}
