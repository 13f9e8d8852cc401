package lab_test

import (
	"log/slog"
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/directory"
)

// Both hosts load the directory as their configuration says: alfa from the web, beta from the file.
func TestTheDirectoryOfTheLabLoads(t *testing.T) {
	for _, h := range []*lab.Host{shared.Alfa, shared.Beta} {
		c, err := config.Load(h.Config)
		if err != nil {
			t.Fatal(err)
		}
		d := c.Directory
		if d.ClientKey != "" {
			d.ClientKey = shared.ClientKey // that of the configuration is the daemon's own
		}
		loader, err := directory.Load(t.Context(), directory.Options{
			File: d.File, URL: d.URL, URLCA: d.URLCA, ClientCert: d.ClientCert, ClientKey: d.ClientKey,
			SignerCA: d.SignerCA, Every: d.CheckEvery, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		if problems := loader.Current().Problems(); len(problems) > 0 {
			t.Errorf("%s: problems %q, want none", h.Name, problems)
		}
		for _, domain := range []string{shared.Alfa.Domain, shared.Beta.Domain, shared.Delta.Domain} {
			if _, ok := loader.Current().ByDomain(domain); !ok {
				t.Errorf("%s: %s is not in the directory", h.Name, domain)
			}
		}
		if r, ok := loader.Current().ByDomain(shared.Gamma.Domain); ok {
			t.Errorf("%s: the ordinary domain %s is one of %s", h.Name, shared.Gamma.Domain, r.Name)
		}
	}
}
