package host

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv1 "github.com/ceralacca/ceralacca/plugins/contract/v1"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Antivirus is a supervised plug-in of that kind. It is safe for concurrent use.
type Antivirus struct{ *Supervisor }

// Scan has a message looked at. Without an error the verdict is Clean, Infected or Encrypted; with one, whichever it is,
// the message was not looked at.
func (a Antivirus) Scan(ctx context.Context, c Content) (plugins.Result, error) {
	var result plugins.Result
	err := a.call(ctx, "scan", func(ctx context.Context, i *Instance) (err error) {
		result, err = i.Scan(ctx, c)
		return err
	})
	if err != nil {
		return plugins.Result{}, err
	}
	return result, nil
}

// Scan is [Antivirus.Scan] on this process, without bounds or a second try.
func (i *Instance) Scan(ctx context.Context, c Content) (plugins.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream whatever happens
	scan := i.scan2
	if i.version == contract.Previous {
		scan = i.scan1
	}
	answer, err := scan(ctx, c)
	if err != nil {
		return plugins.Result{}, err
	}
	return judge(answer, c.Size)
}

// scanAnswer is what the answers of both versions have.
type scanAnswer interface {
	GetVirus() string
	GetReason() string
	GetEngine() string
	GetSignatures() string
	GetSignaturesTime() int64
	GetBytesRead() int64
}

// answered is an answer, with the verdict as both versions count it.
type answered struct {
	scanAnswer
	verdict int32
}

func (i *Instance) scan2(ctx context.Context, c Content) (answered, error) {
	header := &contractv2.ScanHeader{Size: c.Size}
	if i.meta {
		header.Metadata = metadata(c.Metadata)
	}
	if i.file {
		path, err := i.handOver(c)
		if err != nil {
			return answered{}, err
		}
		defer func() { _ = os.Remove(path) }() // the folder goes with the process
		header.File = path
	}
	stream, err := contractv2.NewAntivirusClient(i.conn).Scan(ctx)
	if err != nil {
		return answered{}, err
	}
	// An error of Send is io.EOF when the plug-in has ended the stream; what it says comes at the end.
	err = stream.Send(&contractv2.ScanRequest{Part: &contractv2.ScanRequest_Header{Header: header}})
	if err == nil && header.File == "" {
		if err = c.pieces(ctx, func(b []byte) error {
			return stream.Send(&contractv2.ScanRequest{Part: &contractv2.ScanRequest_Chunk{Chunk: b}})
		}); err != nil {
			return answered{}, err
		}
	}
	answer, err := stream.CloseAndRecv()
	return answered{answer, int32(answer.GetVerdict())}, err
}

func (i *Instance) scan1(ctx context.Context, c Content) (answered, error) {
	stream, err := contractv1.NewAntivirusClient(i.conn).Scan(ctx)
	if err != nil {
		return answered{}, err
	}
	header := &contractv1.ScanHeader{Size: c.Size}
	if err = stream.Send(&contractv1.ScanRequest{Part: &contractv1.ScanRequest_Header{Header: header}}); err == nil {
		if err = c.pieces(ctx, func(b []byte) error {
			return stream.Send(&contractv1.ScanRequest{Part: &contractv1.ScanRequest_Chunk{Chunk: b}})
		}); err != nil {
			return answered{}, err
		}
	}
	answer, err := stream.CloseAndRecv()
	return answered{answer, int32(answer.GetVerdict())}, err
}

func metadata(m plugins.Metadata) *contractv2.Metadata {
	return &contractv2.Metadata{Identifier: m.Identifier, Transaction: m.Transaction, Point: m.Point, Sender: m.Sender,
		Recipients: m.Recipients}
}

// judge takes an answer only when it keeps every rule of the contract.
func judge(a answered, size int64) (plugins.Result, error) {
	r := plugins.Result{Virus: a.GetVirus(), Engine: a.GetEngine(), Signatures: a.GetSignatures()}
	if a.GetSignaturesTime() > 0 {
		r.SignaturesTime = time.Unix(a.GetSignaturesTime(), 0)
	}
	switch contractv2.Verdict(a.verdict) {
	case contractv2.Verdict_VERDICT_CLEAN:
		r.Verdict = plugins.Clean
	case contractv2.Verdict_VERDICT_INFECTED:
		r.Verdict = plugins.Infected
	case contractv2.Verdict_VERDICT_ENCRYPTED:
		r.Verdict = plugins.Encrypted
	case contractv2.Verdict_VERDICT_FAILED:
		return plugins.Result{}, fmt.Errorf("%w: %q", ErrUnable, clip(a.GetReason()))
	default:
		return plugins.Result{}, fmt.Errorf("%w: the verdict %d is none", ErrWrong, a.verdict)
	}
	infected := r.Verdict == plugins.Infected
	switch {
	case !speakable(r.Engine, 1024):
		return plugins.Result{}, fmt.Errorf("%w: the engine %q is not named", ErrWrong, clip(r.Engine))
	case r.Signatures != "" && !speakable(r.Signatures, 1024):
		return plugins.Result{}, fmt.Errorf("%w: the signatures %q are not named", ErrWrong, clip(r.Signatures))
	case infected && !speakable(r.Virus, 256):
		return plugins.Result{}, fmt.Errorf("%w: infected, by %q", ErrWrong, clip(r.Virus))
	case !infected && r.Virus != "":
		return plugins.Result{}, fmt.Errorf("%w: %s, and %q was found", ErrWrong, r.Verdict, clip(r.Virus))
	case !infected && a.GetBytesRead() != size:
		return plugins.Result{}, fmt.Errorf("%w: %s after %d of %d bytes", ErrWrong, r.Verdict, a.GetBytesRead(), size)
	}
	return r, nil
}

// speakable says whether a text is there, short, and fit for logs and notices.
func speakable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip shortens what came from outside.
func clip(s string) string { return s[:min(len(s), 200)] }
