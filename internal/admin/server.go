package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ceralacca/ceralacca/internal/fsx"
)

// Questions are what can be asked. Each hands its answer to fn line by line, JSON without line ends, and ends with the
// first error of fn. They are called from several goroutines.
type Questions interface {
	// Log hands on the records of the message with this identifier, or all of them when it is empty.
	Log(ctx context.Context, id string, fn func(line json.RawMessage) error) error
	// Audit hands on what is wrong with the messages that are older than grace.
	Audit(ctx context.Context, grace time.Duration, fn func(line json.RawMessage) error) error
	// Undelivered hands on the notifications that no mailbox has taken.
	Undelivered(ctx context.Context, fn func(line json.RawMessage) error) error
	// Pending hands on the certified recipients of messages of ours of whom no outcome is known, those of messages older than
	// older, in the order in which their senders are told.
	Pending(ctx context.Context, older time.Duration, fn func(line json.RawMessage) error) error
	// Events hands on the events that a plug-in does not have, those of one plug-in or mailbox when these are not empty.
	Events(ctx context.Context, plugin, mailbox string, fn func(line json.RawMessage) error) error
	// Drop forgets the events that a plug-in has refused and, when it is not configured, those that wait for it. It hands on
	// their number.
	Drop(ctx context.Context, plugin string, fn func(line json.RawMessage) error) error
	// DirectoryUpdate fetches the directory now and, when accept is not empty, takes the version that waits and has this
	// SHA-256. It hands on one line. This and Drop are the questions that change something.
	DirectoryUpdate(ctx context.Context, accept string, fn func(line json.RawMessage) error) error
}

// The paths of the questions, and the names of their parameters.
const (
	pathLog         = "/log"
	pathAudit       = "/audit"
	pathUndelivered = "/undelivered"
	pathPending     = "/pending"
	pathEvents      = "/events"
	pathDrop        = "/events/drop"
	pathDirectory   = "/directory/update"

	parameterID      = "id"
	parameterGrace   = "grace_ms"
	parameterOlder   = "older_ms"
	parameterPlugin  = "plugin"
	parameterMailbox = "mailbox"
	parameterAccept  = "accept"
)

// Listen opens the socket at path, mode 0600 from its first moment, over one that an earlier process left. There MUST
// be no other process that answers there: whoever holds the store knows. The caller closes it, or lets [Serve] do so.
func Listen(path string) (net.Listener, error) {
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(fresh) // of a process with the same number, long gone
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	err = os.Chmod(fresh, 0o600)
	if err == nil {
		err = fsx.Move(fresh, path)
	}
	if err != nil {
		_ = listener.Close() // nobody knows of it
		_ = os.Remove(fresh) // likewise
		return nil, fmt.Errorf("admin: %w", err)
	}
	return socket{listener, path}, nil
}

// socket removes its file when it is closed, also after the file was moved.
type socket struct {
	*net.UnixListener
	path string
}

// Close implements net.Listener.
func (s socket) Close() error {
	_ = os.Remove(s.path) // the next process replaces it
	return s.UnixListener.Close()
}

// Serve answers questions on listener until ctx ends, and then closes it and returns nil.
func Serve(ctx context.Context, listener net.Listener, q Questions, log *slog.Logger) error {
	server := &http.Server{Handler: handler(q, log), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // whoever asked sees that the answer was cut off
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func handler(q Questions, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, ask func(*http.Request, func(json.RawMessage) error) error) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { stream(w, r, log, ask) })
	}
	answer("GET "+pathLog, func(r *http.Request, fn func(json.RawMessage) error) error {
		return q.Log(r.Context(), r.FormValue(parameterID), fn)
	})
	answer("GET "+pathAudit, func(r *http.Request, fn func(json.RawMessage) error) error {
		grace, err := duration(r, parameterGrace)
		if err != nil {
			return err
		}
		return q.Audit(r.Context(), grace, fn)
	})
	answer("GET "+pathPending, func(r *http.Request, fn func(json.RawMessage) error) error {
		older, err := duration(r, parameterOlder)
		if err != nil {
			return err
		}
		return q.Pending(r.Context(), older, fn)
	})
	answer("GET "+pathUndelivered, func(r *http.Request, fn func(json.RawMessage) error) error {
		return q.Undelivered(r.Context(), fn)
	})
	answer("GET "+pathEvents, func(r *http.Request, fn func(json.RawMessage) error) error {
		return q.Events(r.Context(), r.FormValue(parameterPlugin), r.FormValue(parameterMailbox), fn)
	})
	answer("POST "+pathDrop, func(r *http.Request, fn func(json.RawMessage) error) error {
		return q.Drop(r.Context(), r.FormValue(parameterPlugin), fn)
	})
	answer("POST "+pathDirectory, func(r *http.Request, fn func(json.RawMessage) error) error {
		return q.DirectoryUpdate(r.Context(), r.FormValue(parameterAccept), fn)
	})
	return mux
}

// duration is a parameter in milliseconds.
func duration(r *http.Request, name string) (time.Duration, error) {
	n, err := strconv.ParseInt(r.FormValue(name), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%s=%.30q is no number of milliseconds; write one from 0 on", name, r.FormValue(name))
	}
	return time.Duration(n) * time.Millisecond, nil
}

// stream writes an answer. An error before the first line is a status; after it the connection is cut, so that nobody
// takes a part for the whole.
func stream(w http.ResponseWriter, r *http.Request, log *slog.Logger, ask func(*http.Request, func(json.RawMessage) error) error) {
	begun := false
	err := ask(r, func(line json.RawMessage) error {
		begun = true
		_, err := w.Write(append(line, '\n'))
		return err
	})
	if err == nil {
		return
	}
	log.WarnContext(r.Context(), "a question of a command was not answered", "path", r.URL.Path, "error", err)
	if begun {
		panic(http.ErrAbortHandler) // net/http knows it, and closes the connection
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
