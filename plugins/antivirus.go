package plugins

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv1 "github.com/ceralacca/ceralacca/plugins/contract/v1"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Antivirus is a plug-in that looks for viruses.
type Antivirus struct {
	About
	// Files: content is handed over as a file rather than streamed.
	Files bool
	// Open makes the scanner. An error says what is wrong with the configuration and what to write; the host does not start.
	Open func(context.Context, Setup) (Scanner, error)
}

// Scanner looks at messages. It is called concurrently.
type Scanner interface {
	// Scan looks at one message. The error says why it could not be looked at as a whole; the message is then refused for
	// now. When ctx ends the call is to be given up.
	Scan(ctx context.Context, content *Content) (Result, error)
}

// Verdict is what a scan found.
type Verdict int

// The verdicts. The zero value is a scan that failed.
const (
	Unscanned Verdict = iota
	Clean             // everything was read and nothing found
	Infected          // a virus was found
	Encrypted         // nothing was found, and a part cannot be looked into because it is encrypted
)

// String is the word for logs.
func (v Verdict) String() string {
	switch v {
	case Clean:
		return "clean"
	case Infected:
		return "infected"
	case Encrypted:
		return "encrypted"
	default:
		return "failed"
	}
}

// Result is the answer of a scan. Engine is never empty.
type Result struct {
	Verdict Verdict
	// Virus is the name of what was found, with Infected: printable, at most 256 bytes.
	Virus string
	// Engine with its version; Signatures is the version of what it compares with, and SignaturesTime when that was made,
	// zero when unknown.
	Engine, Signatures string
	SignaturesTime     time.Time
}

// Describe implements Plugin.
func (a Antivirus) Describe() Description {
	d := a.describe(KindAntivirus, []int{contract.Previous, contract.Current}, NeedContent)
	if a.Files {
		d.Capabilities = append(d.Capabilities, CapabilityFile)
	}
	return d
}

func (a Antivirus) register(version int, server *grpc.Server, log *slog.Logger) {
	scanner := &opened[Scanner]{open: a.Open, log: log}
	if version == contract.Previous {
		contractv1.RegisterPluginServer(server, base1{common: scanner})
		contractv1.RegisterAntivirusServer(server, antivirus1{scanner: scanner})
		return
	}
	registerBase2(server, scanner)
	contractv2.RegisterAntivirusServer(server, antivirus2{scanner: scanner})
}

// answer is a result with what the contract adds to it.
type answer struct {
	Result
	reason string
	read   int64
}

// number is the verdict as both versions of the contract count it.
func (a answer) number() int32 {
	switch a.Verdict {
	case Clean, Infected, Encrypted:
		return int32(a.Verdict)
	default:
		return int32(contractv2.Verdict_VERDICT_FAILED)
	}
}

// scan asks the author's scanner, and makes a failure of what is no whole answer.
func scan(ctx context.Context, scanner *opened[Scanner], content *Content) (answer, error) {
	impl, err := scanner.get()
	if err != nil {
		return answer{}, err
	}
	result, err := impl.Scan(ctx, content)
	a := answer{Result: result, read: content.read}
	switch {
	case err != nil && late(ctx) != nil:
		return answer{}, late(ctx)
	case err != nil:
		a.Verdict, a.reason = Unscanned, err.Error()
	case result.Verdict != Infected && !content.whole():
		a.Verdict, a.reason = Unscanned, fmt.Sprintf("only %d of %d bytes were read", content.read, content.size)
	case result.Verdict == Unscanned:
		a.reason = "the scanner gave no verdict"
	}
	return a, nil
}

var errHeader = status.Error(codes.InvalidArgument, "a call begins with its header")

// antivirus2 is the service Antivirus in version 2.
type antivirus2 struct {
	contractv2.UnimplementedAntivirusServer
	scanner *opened[Scanner]
}

// Scan implements contractv2.AntivirusServer.
func (s antivirus2) Scan(stream grpc.ClientStreamingServer[contractv2.ScanRequest, contractv2.ScanResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return errHeader
	}
	content := &Content{size: header.Size, source: &pieces{next: func() ([]byte, error) {
		part, err := stream.Recv()
		return part.GetChunk(), err
	}}}
	if header.File != "" {
		file, closing, err := openFile(header.File, header.Size)
		if err != nil {
			return stream.SendAndClose(&contractv2.ScanResponse{Verdict: contractv2.Verdict_VERDICT_FAILED, Reason: err.Error()})
		}
		defer func() { _ = closing() }() // it was only read
		content = file
	}
	content.Metadata = metadata(header.Metadata)
	a, err := scan(stream.Context(), s.scanner, content)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&contractv2.ScanResponse{
		Verdict: contractv2.Verdict(a.number()),
		Virus:   a.Virus, Reason: a.reason, Engine: a.Engine, Signatures: a.Signatures,
		SignaturesTime: seconds(a.SignaturesTime), BytesRead: a.read,
	})
}

// antivirus1 is the service Antivirus in version 1.
type antivirus1 struct {
	contractv1.UnimplementedAntivirusServer
	scanner *opened[Scanner]
}

// Scan implements contractv1.AntivirusServer.
func (s antivirus1) Scan(stream grpc.ClientStreamingServer[contractv1.ScanRequest, contractv1.ScanResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHeader() == nil {
		return errHeader
	}
	content := &Content{size: first.GetHeader().Size, source: &pieces{next: func() ([]byte, error) {
		part, err := stream.Recv()
		return part.GetChunk(), err
	}}}
	a, err := scan(stream.Context(), s.scanner, content)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&contractv1.ScanResponse{
		Verdict: contractv1.Verdict(a.number()),
		Virus:   a.Virus, Reason: a.reason, Engine: a.Engine, Signatures: a.Signatures,
		SignaturesTime: seconds(a.SignaturesTime), BytesRead: a.read,
	})
}

// seconds since 1970, 0 for no instant.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
