package lab_test

import (
	"testing"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/internal/config"
)

func TestDaemonConfigurationIsWithoutFaults(t *testing.T) {
	for _, h := range []*lab.Host{shared.Alfa, shared.Beta} {
		c, err := config.Load(h.Config)
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		if got, want := c.Provider.Name, h.Provider; got != want {
			t.Errorf("%s: provider name: got %q, want %q", h.Name, got, want)
		}
		if got := c.Agent.QueueDirectory; len(got) != 2 {
			t.Errorf("%s: queue directories: got %q, want those of both instances", h.Name, got)
		}
		if faults := c.CheckFiles(config.Look); len(faults) > 0 {
			t.Errorf("%s: files: %v", h.Name, faults)
		}
	}
}
