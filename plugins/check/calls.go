package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/contract"
	contractv1 "github.com/ceralacca/ceralacca/plugins/contract/v1"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
	"github.com/ceralacca/ceralacca/plugins/host"
)

var _ io.ReaderAt = filler{}

// mailbox is whose messages they are.
const mailbox = "b@beta.example"

// mail is a small message.
const mail = "From: a@alfa.example\r\nTo: b@beta.example\r\nSubject: check\r\n\r\nNothing is wrong with this.\r\n"

func text(s string) host.Content {
	return host.Content{ReaderAt: strings.NewReader(s), Size: int64(len(s)),
		Metadata: plugins.Metadata{Transaction: strings.Repeat("0", 32), Point: "incoming", Sender: "a@alfa.example", Recipients: []string{mailbox}}}
}

// filler is a message of any size that is nowhere.
type filler struct{}

// ReadAt implements io.ReaderAt.
func (filler) ReadAt(p []byte, at int64) (int, error) {
	for i := range p {
		p[i] = mail[(at+int64(i))%int64(len(mail))]
	}
	return len(p), nil
}

func bundle(key string, c host.Content) (plugins.Bundle, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(c, 0, c.Size)); err != nil {
		return plugins.Bundle{}, err
	}
	return plugins.Bundle{Key: key, Mailbox: mailbox, Size: c.Size, SHA256: sum.Sum(nil), MediaType: "message/rfc822", Time: 1e9}, nil
}

// small makes one small call of the kind's own and wants it to succeed.
func (k *kit) small(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	return k.with(ctx, key, text(mail))
}

// fault says what is wrong, and the error that there may be.
func fault(err error, format string, args ...any) error {
	if err == nil {
		return fmt.Errorf(format, args...)
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// with makes one call with this content, where the kind has content, within no bound of ours.
func (k *kit) with(ctx context.Context, key string, c host.Content) error {
	switch k.d.Kind {
	case plugins.KindAntivirus:
		r, err := k.one.Scan(ctx, c)
		if err == nil && r.Verdict != plugins.Clean {
			err = fmt.Errorf("a message with nothing in it is %s", r.Verdict)
		}
		return err
	case plugins.KindConservation:
		b, err := bundle(key, c)
		if err != nil {
			return err
		}
		return done(k.one.Deposit(ctx, b, c))
	case plugins.KindNotification:
		return done(k.one.Notify(ctx, event(key, []byte("Subject: check\r\n\r\n"))))
	default:
		_, err := k.sign(ctx, key)
		return err
	}
}

func event(key string, headers []byte) plugins.Event {
	return plugins.Event{Key: key, Mailbox: mailbox, Name: "delivered", Time: 1e9, Metadata: text("").Metadata, Headers: headers}
}

func done(e plugins.Effect, err error) error {
	if err == nil && e.Outcome != plugins.Done {
		err = fmt.Errorf("it was not done: %q", e.Reason)
	}
	return err
}

// streamed says whether the kind has content that is streamed.
func (k *kit) streamed() bool {
	return k.d.Kind == plugins.KindAntivirus || k.d.Kind == plugins.KindConservation
}

const noContent = skipped("calls of this kind carry no content")

// partial is a call that the host begins, and does not end as it should.
type partial struct {
	header, chunk func() error
	// end half-closes, and says whether the plug-in took what there was for the whole.
	end func() (accepted bool, err error)
}

// begin opens a call that announces size bytes.
func (k *kit) begin(ctx context.Context, size int64) (p partial, err error) {
	half := []byte(mail)
	if k.d.Kind == plugins.KindConservation {
		stream, err := contractv2.NewConservationClient(k.one.Conn()).Deposit(ctx)
		return partial{
			func() error {
				h := &contractv2.DepositHeader{IdempotencyKey: "partial", Mailbox: mailbox, Size: size, Sha256: make([]byte, 32)}
				return stream.Send(&contractv2.DepositRequest{Part: &contractv2.DepositRequest_Header{Header: h}})
			},
			func() error {
				return stream.Send(&contractv2.DepositRequest{Part: &contractv2.DepositRequest_Chunk{Chunk: half}})
			},
			func() (bool, error) {
				a, err := stream.CloseAndRecv()
				return a.GetOutcome() == contractv2.Outcome_OUTCOME_DONE, err
			},
		}, err
	}
	if k.one.Version() == contract.Previous {
		stream, err := contractv1.NewAntivirusClient(k.one.Conn()).Scan(ctx)
		return partial{
			func() error {
				return stream.Send(&contractv1.ScanRequest{Part: &contractv1.ScanRequest_Header{Header: &contractv1.ScanHeader{Size: size}}})
			},
			func() error {
				return stream.Send(&contractv1.ScanRequest{Part: &contractv1.ScanRequest_Chunk{Chunk: half}})
			},
			func() (bool, error) {
				a, err := stream.CloseAndRecv()
				return a.GetVerdict() == contractv1.Verdict_VERDICT_CLEAN, err
			},
		}, err
	}
	stream, err := contractv2.NewAntivirusClient(k.one.Conn()).Scan(ctx)
	return scan2(stream, size, half), err
}

func scan2(stream grpc.ClientStreamingClient[contractv2.ScanRequest, contractv2.ScanResponse], size int64, half []byte) partial {
	return partial{
		func() error {
			return stream.Send(&contractv2.ScanRequest{Part: &contractv2.ScanRequest_Header{Header: &contractv2.ScanHeader{Size: size}}})
		},
		func() error {
			return stream.Send(&contractv2.ScanRequest{Part: &contractv2.ScanRequest_Chunk{Chunk: half}})
		},
		func() (bool, error) {
			a, err := stream.CloseAndRecv()
			return a.GetVerdict() == contractv2.Verdict_VERDICT_CLEAN, err
		},
	}
}

// send begins a call and sends a part of it.
func (k *kit) send(ctx context.Context) (partial, error) {
	p, err := k.begin(ctx, int64(len(mail))*100)
	if err == nil {
		err = p.header()
	}
	if err == nil {
		err = p.chunk()
	}
	return p, err
}

// shortContent: a stream that ends too early is not the whole.
func (k *kit) shortContent(ctx context.Context) error {
	if !k.streamed() {
		return noContent
	}
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	p, err := k.send(ctx)
	if err != nil {
		return err
	}
	accepted, err := p.end()
	if accepted {
		return errors.New("it took one part in a hundred for the whole content: the header says how much there is")
	}
	if ctx.Err() != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	return k.small(ctx, "after short")
}

// bigMessage: a large message passes, and its size in memory is not the price.
func (k *kit) bigMessage(ctx context.Context) error {
	if k.d.Kind == plugins.KindNotification && slices.Contains(k.d.Needs, plugins.NeedHeaders) {
		return k.bigHeaders(ctx)
	}
	if !k.streamed() {
		return noContent
	}
	before, err := peak(k.one.PID())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*enough)
	defer cancel()
	big := host.Content{ReaderAt: filler{}, Size: k.o.Big}
	begin := k.run.Clock.Now()
	if k.d.Kind == plugins.KindAntivirus {
		if r, err := k.one.Scan(ctx, big); err != nil || r.Verdict != plugins.Clean {
			return fault(err, "%d MB: %s", k.o.Big>>20, r.Verdict)
		}
	} else {
		b, err := bundle("big", big)
		if err != nil {
			return err
		}
		if err := done(k.one.Deposit(ctx, b, big)); err != nil {
			return err
		}
	}
	took := k.run.Clock.Now().Sub(begin)
	after, err := peak(k.one.PID())
	if err != nil {
		return err
	}
	if more := after - before; more > bigMemory {
		return fmt.Errorf("%d MB took %d MB of memory", k.o.Big>>20, more>>20)
	}
	return noted(fmt.Sprintf("%d MB in %.1f s, %d MB more memory", k.o.Big>>20, took.Seconds(), (after-before)>>20))
}

// peak is the most memory that a process has had, in bytes.
func peak(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kb, err := strconv.ParseInt(string(bytes.Fields(value)[0]), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("the system does not say how much memory process %d has", pid)
}

// leave gives up atOnce calls in their middle, by end of context, and wants the next call to be served soon: whatever was
// given up holds no place.
func (k *kit) leave(ctx context.Context, key string, cut func(context.Context) (context.Context, context.CancelFunc)) error {
	if !k.streamed() {
		return k.abandon(ctx, key, cut)
	}
	for range atOnce {
		cutting, cancel := cut(ctx)
		defer cancel()
		if _, err := k.send(cutting); err != nil && cutting.Err() == nil {
			return err
		}
		if _, timed := cutting.Deadline(); !timed {
			// Not before the plug-in is in the middle of the call.
			go func() {
				if k.run.Clock.Sleep(ctx, short/2) == nil {
					cancel()
				}
			}()
		}
	}
	if err := k.run.Clock.Sleep(ctx, 2*short); err != nil {
		return err
	}
	return k.next(ctx, key)
}

// next is the call after those that were given up.
func (k *kit) next(ctx context.Context, key string) error {
	soon, cancel := context.WithTimeout(ctx, 8*short)
	defer cancel()
	if err := k.small(soon, key); err != nil {
		return fmt.Errorf("after %d calls that the host gave up the next one fails: %w", atOnce, err)
	}
	return nil
}

// abandon is leave for calls that are one message: they are given up soon after it was sent.
func (k *kit) abandon(ctx context.Context, key string, cut func(context.Context) (context.Context, context.CancelFunc)) error {
	var wg sync.WaitGroup
	for n := range atOnce {
		cutting, cancel := cut(ctx)
		defer cancel()
		wg.Go(func() { _ = k.with(cutting, fmt.Sprintf("%s-%d", key, n), text(mail)) }) // it may have been quicker
		if _, timed := cutting.Deadline(); !timed {
			wg.Go(func() {
				_ = k.run.Clock.Sleep(ctx, 10*time.Millisecond) // or it is over already
				cancel()
			})
		}
	}
	wg.Wait()
	return k.next(ctx, key)
}

func (k *kit) cancel(ctx context.Context) error {
	return k.leave(ctx, "after cancel", context.WithCancel)
}

func (k *kit) deadline(ctx context.Context) error {
	return k.leave(ctx, "after deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
		if !k.streamed() {
			return context.WithTimeout(ctx, short/100)
		}
		return context.WithTimeout(ctx, short)
	})
}

// many makes calls at once.
func (k *kit) many(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	var wg sync.WaitGroup
	var failed atomic.Int32
	errs := make(chan error, atOnce)
	begin := k.run.Clock.Now()
	for n := range atOnce {
		wg.Go(func() {
			if err := k.small(ctx, fmt.Sprintf("many-%d", n)); err != nil {
				failed.Add(1)
				errs <- err
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d of %d calls at once fail, one with: %w", n, atOnce, <-errs)
	}
	return noted(fmt.Sprintf("in %d ms", k.run.Clock.Now().Sub(begin)/time.Millisecond))
}

// crash: a call whose process is killed ends at once, and not well.
func (k *kit) crash(ctx context.Context) error {
	if !k.streamed() {
		if err := k.one.Kill(); err != nil {
			return err
		}
		if err := k.small(ctx, "dead"); err == nil {
			return errors.New("a call to a process that was killed succeeds")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	p, err := k.send(ctx)
	if err != nil {
		return err
	}
	if err := k.one.Kill(); err != nil {
		return err
	}
	if accepted, err := p.end(); err == nil || accepted {
		return errors.New("a call whose process was killed succeeds: something else answers")
	}
	if ctx.Err() != nil {
		return errors.New("a call whose process was killed does not end")
	}
	return nil
}
