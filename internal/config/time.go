package config

import (
	"fmt"
	"time"
)

// lawfulError is how far a provider's clock may be from UTC: "one second", by article 9 of the decree of 2 November 2005.
const lawfulError = time.Second

func timeKeys(t *Time) []key {
	return []key{
		{name: "unsynchronised", value: choice(&t.Unsynchronised, UnsynchronisedDefer, UnsynchronisedWarn), sample: `"defer"`,
			preset: `"defer"`,
			doc: "While the kernel does not call the clock synchronised, or cannot be asked: `defer` answers 451 to all that would be " +
				"certified, and raises an alarm; `warn` certifies with whatever the clock says, and the daemons warn: for trying things out " +
				"in a container, not for a provider."},
		{name: "max_error", value: duration(&t.MaxError, minMaxError, maxMaxError), sample: `"1s"`, preset: `"1s"`,
			doc: "How far the clock may be from UTC, by the kernel's word (`adjtimex --print`: `maxerror`), before it counts as not " +
				"synchronised; from `10ms` to `15s`. The law allows one second. The kernel's word grows by half a millisecond in each second in " +
				"which no time server is heard."},
		{name: "max_step", value: duration(&t.MaxStep, minMaxStep, maxMaxStep), sample: `"500ms"`, preset: `"500ms"`,
			doc: "By how much the clock may be set at once without an alarm: from `10ms` to `1h`."},
	}
}

// timeWarnings: a provider keeps to the law; who only tries ceralacca need not.
func (c *Config) timeWarnings() []Fault {
	var warnings []Fault
	if c.Time.Unsynchronised == UnsynchronisedWarn {
		warnings = append(warnings, c.doc.fault("time", "unsynchronised",
			`time.unsynchronised is "warn": receipts are issued also when nobody keeps the clock that they state`, `unsynchronised = "defer"`))
	}
	if c.Time.MaxError > lawfulError {
		warnings = append(warnings, c.doc.fault("time", "max_error",
			fmt.Sprintf("time.max_error is %s: the law asks a provider for a clock within one second of UTC", c.Time.MaxError), `max_error = "1s"`))
	}
	return warnings
}
