package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"github.com/ceralacca/ceralacca/internal/rawmsg"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/imap"
)

// atOnce is how many deposits are flushed to disk at the same time: one alone waits for the disk four times, and the disk takes
// those of several in one go.
const atOnce = 16

// hands put the messages of a batch into the box.
type hands struct {
	*run
	free chan struct{}
	all  sync.WaitGroup

	mu    sync.Mutex // guards what follows, and the result of the run
	wrong error
}

func (r *run) newHands() *hands { return &hands{run: r, free: make(chan struct{}, atOnce)} }

// key is that of a message, whatever folder it is in.
func key(mailbox, digest string) string {
	sum := sha256.Sum256([]byte(mailbox + "\n" + digest))
	return "imported:" + hex.EncodeToString(sum[:])
}

// take reads a message, and has it deposited while the next one is read. Errors but those of reading are fatal.
func (h *hands) take(m imap.Message, event string, text io.Reader) error {
	w := rawmsg.NewWriter(h.Dir)
	if _, err := io.Copy(readErrors{w}, text); err != nil {
		w.Discard()
		return err
	}
	content, err := w.Finish()
	if err != nil {
		return fatal{err}
	}
	sum, _ := content.Digest()
	digest := hex.EncodeToString(sum[:])
	record := deposit.Record{Key: key(h.mailbox, digest), Mailbox: h.mailbox, Event: event, MediaType: "message/rfc822",
		Day: h.Day(h.Clock.Now()), SHA256: digest, Size: content.Size(), Time: m.Time.Unix()}
	_, known, err := h.Box.Find(record.Key)
	if err != nil || known {
		h.count(record, false, err)
		return wrap(h.err(), content.Close())
	}
	if !h.Reserve(h.mailbox, record.Size) {
		_ = content.Close() // it was only read
		return fatal{ErrSpace}
	}
	h.free <- struct{}{}
	h.all.Go(func() {
		defer func() { <-h.free }()
		defer func() { _ = content.Close() }() // it was only read
		_, fresh, err := h.Box.Take(record, io.NewSectionReader(content, 0, content.Size()))
		if err != nil || !fresh {
			h.Release(h.mailbox, record.Size)
		}
		h.count(record, fresh, err)
	})
	return wrap(h.err(), nil)
}

func wrap(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return fatal{err}
		}
	}
	return nil
}

// readErrors makes errors of writing fatal.
type readErrors struct{ w io.Writer }

func (r readErrors) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil {
		err = fatal{err}
	}
	return n, err
}

func (h *hands) count(r deposit.Record, fresh bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && h.wrong == nil:
		h.wrong = fmt.Errorf("a message cannot be kept: %w", err)
	case err != nil:
	case fresh:
		h.result.Taken++
		h.result.Bytes += r.Size
	default:
		h.result.Known++
	}
}

func (h *hands) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wrong
}

// wait returns when all is on disk.
func (h *hands) wait() error {
	h.all.Wait()
	return h.err()
}
