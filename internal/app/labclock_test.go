package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/pec"
)

// A clock that can be moved is for labs: any domain that somebody could own keeps the daemon from starting.
func TestLabClockIsForLabs(t *testing.T) {
	for name, test := range map[string]struct {
		address, service string
		domains          []string
		refused          string // the domain that the error names
	}{
		"a lab":                     {"posta-certificata@alfa.example", "r@alfa.example", []string{"alfa.example", "BETA.TEST"}, ""},
		"one real domain":           {"posta-certificata@alfa.example", "r@alfa.example", []string{"alfa.example", "pec.it"}, "pec.it"},
		"a real address":            {"posta-certificata@pec.it", "r@alfa.example", []string{"alfa.example"}, "pec.it"},
		"a real service mailbox":    {"posta-certificata@alfa.example", "r@pec.it", []string{"alfa.example"}, "pec.it"},
		"example as a second level": {"posta-certificata@alfa.example", "r@alfa.example", []string{"alfa.example.it"}, "alfa.example.it"},
		"example inside a label":    {"posta-certificata@alfa.example", "r@alfa.example", []string{"alfa.notexample"}, "alfa.notexample"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := &config.Config{}
			c.Provider.Address, c.Provider.ServiceMailbox, c.Provider.Domains = mustAddress(t, test.address), mustAddress(t, test.service), test.domains
			d := Deps{Clock: clock.NewMoved("file"), Log: slog.New(slog.NewTextHandler(&log, nil))}
			err := checkClock(c, d)
			if test.refused == "" {
				if err != nil || !strings.Contains(log.String(), "LAB") {
					t.Errorf("%v; the log says %q", err, log.String())
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.refused+" does not") || !strings.Contains(err.Error(), LabClock) {
				t.Errorf("%v, want one that names %s", err, test.refused)
			}
			d.Clock = clock.System{}
			if err := checkClock(c, d); err != nil {
				t.Errorf("the clock of the machine: %v", err)
			}
		})
	}
}

func mustAddress(t *testing.T, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The variable alone brings the clock of a file.
func TestLabClockByVariable(t *testing.T) {
	t.Setenv(LabClock, "")
	if _, ok := System().Clock.(clock.System); !ok {
		t.Error("without the variable it is not the clock of the machine")
	}
	t.Setenv(LabClock, "/x")
	if m, ok := System().Clock.(*clock.Moved); !ok || m.Path() != "/x" {
		t.Error("with it, it is not that of the file")
	}
}
