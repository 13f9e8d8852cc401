package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

func startKind(t *testing.T, mode string, kind plugins.Kind) *host.Supervisor {
	t.Helper()
	o := options(t, mode)
	o.Kind, o.Deadline = kind, 8*time.Second // a restart included, on a busy machine
	return start(t, o).Supervisor
}

// Whatever keeps a plug-in from answering, the caller hears that there is no answer, and which of the four it was: what
// the table of consequences is about. The antivirus has tests of its own.
func TestNoKindTakesAMissingAnswerForAGoodOne(t *testing.T) {
	bundle := func(key string) (plugins.Bundle, host.Content) {
		sum := sha256.Sum256([]byte("text"))
		return plugins.Bundle{Key: key, Size: 4, SHA256: sum[:]}, content("text")
	}
	for _, test := range []struct {
		mode string
		kind plugins.Kind
		call func(ctx context.Context, s *host.Supervisor, key string) (string, error)
	}{
		{"notes", plugins.KindNotification, func(ctx context.Context, s *host.Supervisor, key string) (string, error) {
			e, err := host.Notification{Supervisor: s}.Notify(ctx, plugins.Event{Key: key})
			return e.Reference, err
		}},
		{"keeper", plugins.KindConservation, func(ctx context.Context, s *host.Supervisor, key string) (string, error) {
			b, c := bundle(key)
			e, err := host.Conservation{Supervisor: s}.Deposit(ctx, b, c)
			return e.Reference, err
		}},
		{"keys", plugins.KindKey, func(ctx context.Context, s *host.Supervisor, key string) (string, error) {
			signature, err := host.Key{Supervisor: s}.Sign(ctx, key, make([]byte, 32))
			return string(signature), err
		}},
	} {
		t.Run(test.mode, func(t *testing.T) {
			t.Parallel()
			s := startKind(t, test.mode, test.kind)
			for _, try := range []struct {
				key  string
				want error
			}{{"SLOW", host.ErrSlow}, {"DIE", host.ErrDied}, {"good", nil}, {"WRONG", host.ErrWrong}} {
				got, err := test.call(t.Context(), s, try.key)
				if try.key == "WRONG" && test.kind == plugins.KindKey {
					if !errors.Is(err, host.ErrWrong) {
						t.Errorf("an empty signature: %q, %v; want %v", got, err, host.ErrWrong)
					}
					continue
				}
				if !errors.Is(err, try.want) || (err == nil) != (got == "ref-"+try.key) {
					t.Errorf("%s: %q, %v; want %v", try.key, got, err, try.want)
				}
			}
			s.Stop()
			if got, err := test.call(t.Context(), s, "good"); !errors.Is(err, host.ErrAbsent) || got != "" {
				t.Errorf("absent: %q, %v; want %v", got, err, host.ErrAbsent)
			}
		})
	}
}

func TestConservation(t *testing.T) {
	t.Parallel()
	c := host.Conservation{Supervisor: startKind(t, "keeper", plugins.KindConservation)}
	if state, e, err := c.Status(t.Context(), "a"); err != nil || state != plugins.Kept || e.Reference != "ref-a" {
		t.Errorf("Status: %d, %+v, %v", state, e, err)
	}
	if _, _, err := c.Status(t.Context(), "WRONG"); !errors.Is(err, host.ErrWrong) {
		t.Errorf("Status without a reference: %v; want %v", err, host.ErrWrong)
	}
	if u, err := c.Usage(t.Context(), "m"); err != nil || u != (plugins.Usage{Bytes: 3, Items: 1}) {
		t.Errorf("Usage: %+v, %v", u, err)
	}
	for key, want := range map[string]string{"a": "kept a", "NONE": ""} {
		var b bytes.Buffer
		_, found, err := c.Exhibit(t.Context(), key, &b)
		if diff := cmp.Diff(want, b.String()); err != nil || found != (want != "") || diff != "" {
			t.Errorf("Exhibit %s: %t, %v (-want +got):\n%s", key, found, err, diff)
		}
	}
	var b bytes.Buffer
	if _, _, err := c.Exhibit(t.Context(), "WRONG", &b); !errors.Is(err, host.ErrWrong) {
		t.Errorf("Exhibit of other bytes: %v; want %v", err, host.ErrWrong)
	}
	bundle := plugins.Bundle{Key: "FAIL", Size: 1}
	if e, err := c.Deposit(t.Context(), bundle, content("x")); err != nil || e.Outcome != plugins.Later || e.Reason != "no carrier" {
		t.Errorf("a deposit that fails: %+v, %v; want it later", e, err)
	}
	bundle.Key = "REFUSE"
	if e, err := c.Deposit(t.Context(), bundle, content("x")); err != nil || e.Outcome != plugins.Refused {
		t.Errorf("a deposit that is refused: %+v, %v", e, err)
	}
}
