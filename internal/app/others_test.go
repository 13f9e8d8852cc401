package app_test

import (
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/ceralacca/ceralacca/internal/app"
	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
)

// TestOtherDomains: what check-postfix holds a Postfix against are the domains of the others: none of our own, and none at all,
// rather than an error, where the directory cannot be read.
func TestOtherDomains(t *testing.T) {
	w := apptest.New(t)
	w.SignDirectory(t, "alfa.example\nmanagedDomains: lent.example", w.Signing)
	conf, err := config.Load(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	others := func() []string {
		return app.OtherDomains(t.Context(), conf, app.Deps{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	}
	if got := others(); !slices.Equal(got, []string{"lent.example"}) {
		t.Errorf("the domains of the others: %q, want lent.example alone", got)
	}
	if err := os.Remove(w.Path("igpec.p7m")); err != nil {
		t.Fatal(err)
	}
	if got := others(); len(got) > 0 {
		t.Errorf("without a directory: %q", got)
	}
}
