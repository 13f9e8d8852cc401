package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv1 "github.com/ceralacca/ceralacca/plugins/contract/v1"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// MaxChunk is the longest piece of content, in bytes.
const MaxChunk = 1 << 20

// MaxHeaders is the longest header section, in bytes.
const MaxHeaders = 64 << 10

// Plugin is one of [Antivirus], [Conservation], [Notification] and [Key].
type Plugin interface {
	// Describe returns what is printed for "describe".
	Describe() Description
	// register adds the services of a version of the contract.
	register(version int, server *grpc.Server, log *slog.Logger)
}

var (
	_ Plugin = Antivirus{}
	_ Plugin = Conservation{}
	_ Plugin = Notification{}
	_ Plugin = Key{}
)

// Serve is all that main does. With the one argument "describe" it prints the description; started by the host it serves
// until the host ends; otherwise it says what the executable is and exits with 1.
func Serve(p Plugin) {
	if slices.Equal(os.Args[1:], []string{DescribeArgument}) {
		os.Exit(describe(p))
	}
	if os.Getenv(HandshakeKey) != HandshakeValue {
		fmt.Fprintf(os.Stderr, "%s is a plug-in of ceralacca, which starts it. Try: %[1]s describe, or: ceralacca plugin check %[1]s\n", os.Args[0])
		os.Exit(1)
	}
	// What an author prints later goes elsewhere; the log stays with the file that is stderr now.
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if said := stranger(p.Describe().Protocols, os.Getenv(versionsKey)); said != "" {
		fmt.Fprintln(os.Stderr, said)
		os.Exit(1)
	}
	sets := map[int]goplugin.PluginSet{}
	for _, version := range p.Describe().Protocols {
		sets[version] = goplugin.PluginSet{ServiceName: &served{plugin: p, version: version, log: log}}
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: HandshakeKey, MagicCookieValue: HandshakeValue},
		VersionedPlugins: sets, Logger: hclog.NewNullLogger(),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(2*MaxChunk))...)
		},
	})
}

// versionsKey is the variable by which the host says which versions it speaks.
const versionsKey = "PLUGIN_PROTOCOL_VERSIONS"

// stranger says that host and plug-in have no version in common; go-plugin would go on with the lowest of ours.
func stranger(ours []int, offered string) string {
	for text := range strings.SplitSeq(offered, ",") {
		if version, err := strconv.Atoi(text); err != nil || slices.Contains(ours, version) {
			return "" // or a host that does not say
		}
	}
	return fmt.Sprintf("the host speaks version %s of the contract, this plug-in %v: take a release of one of them that has one in common",
		offered, ours)
}

func describe(p Plugin) (code int) {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(p.Describe()); err != nil {
		fmt.Fprintln(os.Stderr, "the description cannot be printed:", err)
		return 1
	}
	return 0
}

// served is a plug-in in the shape that go-plugin wants.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin  Plugin
	version int
	log     *slog.Logger
}

var _ goplugin.GRPCPlugin = (*served)(nil)

// GRPCServer implements goplugin.GRPCPlugin.
func (s *served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	s.plugin.register(s.version, server, s.log)
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin.
func (*served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plug-in does not call itself")
}

// opened holds the author's implementation from the moment that it is configured.
type opened[T any] struct {
	open func(context.Context, Setup) (T, error)
	log  *slog.Logger

	mu    sync.RWMutex
	impl  T
	ready bool
}

// configure opens the implementation; what it returns is empty when all is well.
func (o *opened[T]) configure(ctx context.Context, s Setup) (refused string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ready {
		return "it is configured already"
	}
	s.Log = o.log
	impl, err := o.open(ctx, s)
	if err != nil {
		return err.Error()
	}
	o.impl, o.ready = impl, true
	return ""
}

func (o *opened[T]) get() (T, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if !o.ready {
		return o.impl, status.Error(codes.FailedPrecondition, "Configure comes first")
	}
	return o.impl, nil
}

func (o *opened[T]) health() Health {
	impl, err := o.get()
	if err != nil {
		return Health{Problem: "it is not configured"}
	}
	if h, ok := any(impl).(Healther); ok {
		return h.Health()
	}
	return Health{}
}

// late is the error of a call whose deadline passed, or that was given up, while the author's code was at it; nil while it
// holds. Without it the host would now hear that the plug-in could not, and now that it is slow, as the race ends.
func late(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return status.FromContextError(ctx.Err()).Err()
}

// common is the part of opened that does not depend on the kind.
type common interface {
	configure(context.Context, Setup) string
	health() Health
}

// base1 is the service Plugin in version 1.
type base1 struct {
	contractv1.UnimplementedPluginServer
	common
}

// Configure implements contractv1.PluginServer.
func (b base1) Configure(ctx context.Context, r *contractv1.ConfigureRequest) (*contractv1.ConfigureResponse, error) {
	return &contractv1.ConfigureResponse{Refused: b.configure(ctx, Setup{Dir: r.Directory, config: r.ConfigJson})}, nil
}

// base2 is the service Plugin in version 2.
type base2 struct {
	contractv2.UnimplementedPluginServer
	common
}

// Configure implements contractv2.PluginServer.
func (b base2) Configure(ctx context.Context, r *contractv2.ConfigureRequest) (*contractv2.ConfigureResponse, error) {
	setup := Setup{Dir: r.Directory, HostVersion: r.HostVersion, config: r.ConfigJson}
	return &contractv2.ConfigureResponse{Refused: b.configure(ctx, setup)}, nil
}

// Health implements contractv2.PluginServer.
func (b base2) Health(context.Context, *contractv2.HealthRequest) (*contractv2.HealthResponse, error) {
	h := b.health()
	answer := &contractv2.HealthResponse{Ready: h.Problem == "", Reason: h.Problem}
	for _, m := range h.Measures {
		answer.Measures = append(answer.Measures, &contractv2.Measure{Name: m.Name, Value: m.Value})
	}
	return answer, nil
}

// registerBase2 is what all kinds do in version 2.
func registerBase2(server *grpc.Server, c common) {
	contractv2.RegisterPluginServer(server, base2{common: c})
}

// onlyCurrent are the versions of the kinds that version 1 did not know.
func onlyCurrent() []int { return []int{contract.Current} }

func outcome(e Effect) contractv2.Outcome {
	switch e.Outcome {
	case Done:
		return contractv2.Outcome_OUTCOME_DONE
	case Refused:
		return contractv2.Outcome_OUTCOME_REFUSED
	case Later:
		return contractv2.Outcome_OUTCOME_LATER
	default:
		return contractv2.Outcome_OUTCOME_UNSPECIFIED
	}
}

func metadata(m *contractv2.Metadata) Metadata {
	return Metadata{Identifier: m.GetIdentifier(), Transaction: m.GetTransaction(), Point: m.GetPoint(),
		Sender: m.GetSender(), Recipients: m.GetRecipients()}
}
