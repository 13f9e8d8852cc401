package app_test

import (
	"context"
	"testing"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/mxcheck"
	"github.com/ceralacca/ceralacca/internal/mxcheck/dnstest"
)

// TestAgentLooksAtExchangers: one that is not ours is an alarm of the running agent; a DNS that does not answer is none.
func TestAgentLooksAtExchangers(t *testing.T) {
	conformance.Covers(t, "C231")
	for name, c := range map[string]struct {
		zone dnstest.Zone
		says string
	}{
		"foreign":   {dnstest.Zone{"alfa.example": {MX: []string{"backup.example."}}, "backup.example": {Addresses: []string{"192.0.2.1"}}}, "alarm=true about=\"alfa.example: its mail exchanger backup.example"},
		"no answer": {dnstest.Zone{"alfa.example": {Fails: true}}, "level=WARN msg=\"mail exchangers are not looked at\""},
	} {
		t.Run(name, func(t *testing.T) {
			w := apptest.New(t)
			reconfigure(t, w, "[time]\n", "[network]\nmx = [\"mx.alfa.example\"]\n[time]\n")
			server := dnstest.Start(t, c.zone)
			d := start(t, w, func(ctx context.Context, path string, deps app.Deps) error {
				deps.Resolver = mxcheck.At(server)
				return app.Agent(ctx, path, deps)
			})
			d.awaitLog(c.says, 1)
			if err := d.end(); err != nil {
				t.Error(err)
			}
		})
	}
}
