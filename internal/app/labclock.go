package app

import (
	"fmt"
	"os"
	"strings"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
)

// LabClock is the variable that names the file of a clock that can be moved; see [clock.Moved].
const LabClock = "CERALACCA_LAB_CLOCK"

// theClock is that of the machine, or of a lab.
func theClock() clock.Clock {
	if path := os.Getenv(LabClock); path != "" {
		return clock.NewMoved(path)
	}
	return clock.System{}
}

// checkClock refuses a clock that can be moved wherever what it dates could mean something: instants are certified. It says
// so loudly where it is allowed.
func checkClock(c *config.Config, d Deps) error {
	moved, ok := d.Clock.(*clock.Moved)
	if !ok {
		return nil
	}
	if err := inLab(c); err != nil {
		return err
	}
	d.Log.Warn("THE CLOCK IS THAT OF A LAB: a file moves it, and what is certified is not to be believed", "file", moved.Path())
	return nil
}

// inLab says why a provider is none of a lab.
func inLab(c *config.Config) error {
	for _, domain := range append([]string{c.Provider.Address.Domain(), c.Provider.ServiceMailbox.Domain()}, c.Provider.Domains...) {
		if !reserved(domain) {
			return fmt.Errorf("%s is set, which lets a file move the clock by which messages are certified: that is for labs, whose domains "+
				"end in .example or .test, and %s does not; unset it", LabClock, domain)
		}
	}
	return nil
}

// reserved says whether a domain is under a name that RFC 2606 keeps for examples and tests.
func reserved(domain string) bool {
	name := domain[strings.LastIndex(domain, ".")+1:]
	return strings.EqualFold(name, "example") || strings.EqualFold(name, "test")
}
