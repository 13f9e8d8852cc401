package mxcheck_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/mxcheck"
	"github.com/ceralacca/ceralacca/internal/mxcheck/dnstest"
)

func TestCheck(t *testing.T) {
	conformance.Covers(t, "C230", "C231")
	server := dnstest.Start(t, dnstest.Zone{
		"good.example":           {MX: []string{"MX.good.example.", "192-0-2-2.good.example."}},
		"mx.good.example":        {Addresses: []string{"192.0.2.1", "2001:db8::1"}},
		"192-0-2-2.good.example": {Addresses: []string{"192.0.2.2"}},
		"backup.example":         {MX: []string{"mx.good.example.", "mx.elsewhere.example."}},
		"mx.elsewhere.example":   {Addresses: []string{"198.51.100.1", "192.0.2.2"}},
		"bare.example":           {Addresses: []string{"192.0.2.2"}},
		"hosted.example":         {Addresses: []string{"198.51.100.2"}},
		"null.example":           {MX: []string{"."}},
		"dangling.example":       {MX: []string{"gone.good.example."}},
		"text.example":           {},
		"broken.example":         {Fails: true},
		"half.example":           {MX: []string{"broken.example."}},
	})
	const control = "is not in network.mx: certified mail may pass a system that is not under your control"
	for domain, want := range map[string][]string{
		"good.example":     nil,
		"backup.example":   {"backup.example: its mail exchanger mx.elsewhere.example (198.51.100.1, 192.0.2.2) " + control},
		"bare.example":     nil,
		"hosted.example":   {"hosted.example: its mail exchanger hosted.example (198.51.100.2) " + control},
		"null.example":     {"null.example: DNS says that it takes no mail at all (an MX record with a dot)"},
		"dangling.example": {"dangling.example: its mail exchanger gone.good.example has no address"},
		"text.example":     {"text.example: it has no mail exchanger and no address, so that no mail reaches it"},
		"nothing.example":  {"nothing.example: it has no mail exchanger and no address, so that no mail reaches it"},
	} {
		got, err := mxcheck.Check(t.Context(), mxcheck.At(server), domain, []string{"mx.good.example", "192.0.2.2"})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", domain, err, diff)
		}
	}
	for _, domain := range []string{"broken.example", "half.example"} {
		if got, err := mxcheck.Check(t.Context(), mxcheck.At(server), domain, nil); err == nil || !strings.Contains(err.Error(), "cannot be looked up") {
			t.Errorf("%s: %v, %v; want an error", domain, got, err)
		}
	}
}

// silent is a resolver that never answers.
type silent struct{}

func (silent) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }

func TestNoAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got, err := mxcheck.Check(ctx, silent{}, "alfa.example", nil); err == nil {
		t.Errorf("without an answer: %v and no error", got)
	}
}
