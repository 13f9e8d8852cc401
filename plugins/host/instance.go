package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv1 "github.com/ceralacca/ceralacca/plugins/contract/v1"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Bounds of the life of a process.
const (
	startTime  = 10 * time.Second // from its start to the handshake, and again to the end of Configure
	healthTime = 2 * time.Second
	killGrace  = 2 * time.Second
	maxSocket  = 107 // bytes of the path of a unix socket
	socketTail = 45  // bytes that go-plugin adds to our folder
	maxAnswer  = 4 << 20
)

// Instance is one process of a plug-in, configured and ready for calls. It is safe for concurrent use.
type Instance struct {
	client  *goplugin.Client
	conn    *grpc.ClientConn
	process *process
	version int
	dir     string // all of its files
	work    string // its own folder
	spool   string // where files are handed over
	who     account
	clock   clock.Clock
	file    bool // takes content as a file
	meta    bool // is told of metadata
	headers bool // is told of headers
}

// Start starts and configures one process. Description must be that of the program and fit; versions are those offered
// to it, all that both speak when empty. The caller stops it.
func Start(ctx context.Context, o Options, d plugins.Description, versions ...int) (*Instance, error) {
	config, err := configJSON(o.Config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfiguration, err)
	}
	i := &Instance{clock: o.Clock, file: slices.Contains(d.Capabilities, plugins.CapabilityFile),
		meta: slices.Contains(d.Needs, plugins.NeedMetadata), headers: slices.Contains(d.Needs, plugins.NeedHeaders)}
	if len(versions) == 0 {
		versions = speaks(d)
	}
	err = i.makeFolders(o)
	if err == nil {
		err = i.connect(o, versions)
	}
	if err == nil {
		err = i.configure(ctx, config, o.HostVersion)
	}
	if err != nil {
		i.Stop()
		return nil, err
	}
	return i, nil
}

// makeFolders: plugin-PID-N holds the folder of its socket (go-plugin's), its own, and that of files handed over.
func (i *Instance) makeFolders(o Options) (err error) {
	if i.who, err = o.Program.Isolation.account(); err != nil {
		return err
	}
	if i.dir, err = numbered(o.RunDir); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if len(i.dir)+socketTail > maxSocket {
		return fmt.Errorf("host: %s is too long for the path of a socket; write a shorter one", o.RunDir)
	}
	if o.SpoolDir == "" {
		o.SpoolDir = i.dir
	}
	i.work = filepath.Join(i.dir, "own")
	if err := os.Mkdir(i.work, 0o700); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if i.spool, err = private(o.SpoolDir, fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()), 0o700); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if !i.who.other {
		return nil
	}
	err = errors.Join(i.who.give(i.work), os.Chown(i.spool, -1, i.who.gid), os.Chmod(i.spool, 0o710))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIsolation, err)
	}
	return nil
}

// connect starts the process and speaks the handshake.
func (i *Instance) connect(o Options, versions []int) error {
	sets := map[int]goplugin.PluginSet{}
	for _, version := range versions {
		sets[version] = goplugin.PluginSet{plugins.ServiceName: &called{}}
	}
	log := o.Log.With(slog.String("plugin", o.Name))
	i.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: plugins.HandshakeKey, MagicCookieValue: plugins.HandshakeValue},
		VersionedPlugins: sets, AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		RunnerFunc: runnerFunc(o.Program, i.work, log, func(p *process) { i.process = p }),
		AutoMTLS:   true, SkipHostEnv: true, StartTimeout: startTime, Logger: hclog.NewNullLogger(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: i.dir},
		SyncStdout:       io.Discard, SyncStderr: newStderr(log),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))},
	})
	protocol, err := i.client.Client()
	if err != nil {
		return i.explain(err)
	}
	i.conn, i.version = protocol.(*goplugin.GRPCClient).Conn, i.client.NegotiatedVersion()
	return nil
}

// explain says more of a handshake that failed than go-plugin knows.
func (i *Instance) explain(err error) error {
	if errors.Is(err, ErrFile) || errors.Is(err, ErrIsolation) || errors.Is(err, ErrHandshake) {
		return err
	}
	if i.process != nil && i.process.child != nil && i.process.child.ended() {
		return fmt.Errorf("%w: it ended at once: %v; it says: %q", ErrHandshake, i.process.child.err, i.process.said.lastLine())
	}
	return fmt.Errorf("%w: %w", ErrHandshake, err)
}

// called is the host's side in the shape that go-plugin wants. We use the connection itself.
type called struct {
	goplugin.NetRPCUnsupportedPlugin
}

var _ goplugin.GRPCPlugin = (*called)(nil)

// GRPCServer implements goplugin.GRPCPlugin.
func (*called) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host does not serve")
}

// GRPCClient implements goplugin.GRPCPlugin.
func (*called) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

func (i *Instance) configure(ctx context.Context, config []byte, hostVersion string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	refused := ""
	var err error
	if i.version == contract.Previous {
		var answer *contractv1.ConfigureResponse
		answer, err = contractv1.NewPluginClient(i.conn).Configure(ctx, &contractv1.ConfigureRequest{ConfigJson: config, Directory: i.work})
		refused = answer.GetRefused()
	} else {
		var answer *contractv2.ConfigureResponse
		answer, err = contractv2.NewPluginClient(i.conn).Configure(ctx,
			&contractv2.ConfigureRequest{ConfigJson: config, Directory: i.work, HostVersion: hostVersion})
		refused = answer.GetRefused()
	}
	if err != nil {
		return fmt.Errorf("%w: Configure: %w", ErrHandshake, err)
	}
	if refused != "" {
		return fmt.Errorf("%w: %s", ErrConfiguration, refused)
	}
	return nil
}

// Version is the version of the contract that was negotiated.
func (i *Instance) Version() int { return i.version }

// Conn is the connection, for who checks how a plug-in takes a host that errs.
func (i *Instance) Conn() grpc.ClientConnInterface { return i.conn }

// PID is the number of the process.
func (i *Instance) PID() int { return i.process.child.pid() }

// Noise is how many bytes it has printed to its standard output beside the handshake.
func (i *Instance) Noise() int64 { return i.process.out.noise.Load() }

// Done is closed when the process has ended.
func (i *Instance) Done() <-chan struct{} { return i.process.child.done }

// Exit says how the process has ended, nil for exit status 0. Only once Done is closed.
func (i *Instance) Exit() error { return i.process.child.err }

// Kill ends the process at once. [Instance.Stop] must follow.
func (i *Instance) Kill() error { return i.process.child.kill() }

// Stop asks the process to end, makes it end when it does not, and removes its files. It may be called again.
func (i *Instance) Stop() {
	if i.process != nil && i.process.child != nil {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			if i.clock.Sleep(ctx, killGrace) == nil {
				_ = i.process.child.kill() // it had its time
			}
		}()
		i.client.Kill()
		<-i.process.child.done
		cancel()
	}
	for _, dir := range []string{i.spool, i.dir} {
		if dir != "" {
			_ = os.RemoveAll(dir) // what is left goes when the host starts again
		}
	}
}
