package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/ceralacca/ceralacca/plugins"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

func pause() <-chan time.Time { return time.After(50 * time.Millisecond) }

// serveHasty serves an antivirus without the SDK, which would not let it lie: whatever came is clean, and was all.
func serveHasty(describing bool) {
	if describing {
		d := plugins.Antivirus{About: about("hasty")}.Describe()
		d.Protocols = []int{2}
		_ = json.NewEncoder(os.Stdout).Encode(d) // the host sees what is missing
		return
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: plugins.HandshakeKey, MagicCookieValue: plugins.HandshakeValue},
		VersionedPlugins: map[int]goplugin.PluginSet{2: {plugins.ServiceName: &hasty{}}},
		GRPCServer:       goplugin.DefaultGRPCServer,
	})
}

type hasty struct {
	goplugin.NetRPCUnsupportedPlugin
	contractv2.UnimplementedPluginServer
	contractv2.UnimplementedAntivirusServer
}

// GRPCServer implements goplugin.GRPCPlugin.
func (h *hasty) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	contractv2.RegisterPluginServer(s, h)
	contractv2.RegisterAntivirusServer(s, h)
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin.
func (*hasty) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no client")
}

// Configure implements contractv2.PluginServer.
func (*hasty) Configure(context.Context, *contractv2.ConfigureRequest) (*contractv2.ConfigureResponse, error) {
	return &contractv2.ConfigureResponse{}, nil
}

// Health implements contractv2.PluginServer.
func (*hasty) Health(context.Context, *contractv2.HealthRequest) (*contractv2.HealthResponse, error) {
	return &contractv2.HealthResponse{Ready: true}, nil
}

// Scan implements contractv2.AntivirusServer.
func (*hasty) Scan(stream grpc.ClientStreamingServer[contractv2.ScanRequest, contractv2.ScanResponse]) error {
	answer := &contractv2.ScanResponse{Verdict: contractv2.Verdict_VERDICT_CLEAN, Engine: "hasty"}
	var head []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if h := part.GetHeader(); h != nil {
			answer.BytesRead = h.Size // without having looked
		}
		if len(head) < 100 {
			head = append(head, part.GetChunk()...)
		}
	}
	if len(head) > 3 && string(head[:3]) == "X5O" {
		answer.Verdict, answer.Virus = contractv2.Verdict_VERDICT_INFECTED, "EICAR"
	}
	return stream.SendAndClose(answer)
}
