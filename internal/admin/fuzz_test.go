package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// echo answers with what it was asked.
type echo struct{}

func (echo) Log(_ context.Context, id string, fn func(json.RawMessage) error) error {
	line, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return fn(line)
}

func (echo) Audit(_ context.Context, grace time.Duration, fn func(json.RawMessage) error) error {
	if grace < 0 {
		panic("a negative grace came through")
	}
	return fn(json.RawMessage(`{}`))
}

func (echo) Undelivered(context.Context, func(json.RawMessage) error) error { return nil }

func (echo) Pending(_ context.Context, older time.Duration, fn func(json.RawMessage) error) error {
	if older < 0 {
		panic("a negative age")
	}
	return fn(json.RawMessage(`{}`))
}

func (echo) Events(_ context.Context, plugin, mailbox string, fn func(json.RawMessage) error) error {
	line, err := json.Marshal([]string{plugin, mailbox})
	if err != nil {
		return err
	}
	return fn(line)
}

func (echo) Drop(context.Context, string, func(json.RawMessage) error) error { return nil }

func (echo) DirectoryUpdate(_ context.Context, accept string, fn func(json.RawMessage) error) error {
	line, err := json.Marshal(accept)
	if err != nil {
		return err
	}
	return fn(line)
}

// FuzzQuestion: whatever is asked, the answer is whole lines of JSON or an error; nothing panics.
func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{"/log?id=a%40b", "/audit?grace_ms=1000", "/audit?grace_ms=-1", "/undelivered", "/log?id=%0a&id=x", "/%", "/audit?grace_ms=9223372036854775807"} {
		f.Add("GET", seed)
	}
	f.Add("GET", "/pending?older_ms=43200000")
	f.Add("GET", "/pending?older_ms=x")
	f.Add("POST", "/log")
	f.Add("GET", "/events?plugin=a&mailbox=b%40c")
	f.Add("GET", "/events/drop?plugin=a")
	f.Add("POST", "/events/drop?plugin=a")
	f.Add("POST", "/directory/update?accept=0a")
	f.Add("GET", "/directory/update?accept=0a")
	handler := handler(echo{}, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method, target string) {
		request, err := http.NewRequest(method, target, nil)
		if err != nil {
			return
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			return
		}
		changes := []string{pathDrop, pathDirectory} // all else only asks
		drops := method == http.MethodPost && slices.Contains(changes, request.URL.Path)
		if !drops && method != http.MethodGet && method != http.MethodHead && method != "" {
			t.Errorf("%q %q is answered", method, target)
		}
		err = lines(answer.Body, func(line json.RawMessage) error {
			if !json.Valid(line) {
				t.Errorf("%q: the line %q", target, line)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%q: %v", target, err)
		}
	})
}

// FuzzAnswer: the lines handed on are those that were sent; one without its end is no line.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"", "{}\n", "{}\n{}\n", "{}", "\n\n", "{}\n{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var got strings.Builder
		err := lines(bytes.NewReader(answer), func(line json.RawMessage) error {
			got.Write(line)
			got.WriteByte('\n')
			return nil
		})
		whole := answer[:bytes.LastIndexByte(answer, '\n')+1]
		if got.String() != string(whole) || (err == nil) != (len(whole) == len(answer)) {
			t.Errorf("%q: %q, %v", answer, got.String(), err)
		}
	})
}
