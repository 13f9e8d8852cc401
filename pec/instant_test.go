package pec

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLeapSecond: 23:59:60 UTC at the end of a month is read, in whatever zone; any other second 60 is none. What we write
// never has one.
func TestLeapSecond(t *testing.T) {
	const want = "2017-01-01T00:00:00Z"
	for date, good := range map[string]bool{
		"Sat, 31 Dec 2016 23:59:60 +0000":  true,
		"Sun, 1 Jan 2017 00:59:60 +0100":   true,
		"Sun, 01 Jan 2017 05:29:60 +0530":  true,
		"31 Dec 2016 23:59:60 GMT (quirk)": true,
		"Sat, 31 Dec 2016 22:59:60 +0000":  false,
		"Fri, 30 Dec 2016 23:59:60 +0000":  false,
		"Sat, 31 Dec 2016 23:58:60 +0000":  false,
		"Sat, 31 Dec 2016 23:59:61 +0000":  false,
	} {
		got, err := ParseDate(date)
		if good != (err == nil) || good && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("ParseDate(%q) = %s, %v; want good: %v", date, got.UTC(), err, good)
		}
	}
	if got, err := ParseDate("Mon, 30 Nov 2026 12:00:59 +0100"); err != nil || got.UTC().Format(time.RFC3339) != "2026-11-30T11:00:59Z" {
		t.Errorf("an ordinary date is %s, %v", got, err)
	}
}

// TestLeapSecondOfAProvider: the certification data of a provider whose clock shows it.
func TestLeapSecondOfAProvider(t *testing.T) {
	data := func(zone, day, hour string) []byte {
		c := certData(t, KindTransport)
		when := ItalianTime(c.Time)
		return []byte(strings.NewReplacer(
			fmt.Sprintf("zona=%q", when.Format(ZoneFormat)), fmt.Sprintf("zona=%q", zone),
			when.Format(DayFormat), day, when.Format(HourFormat), hour).Replace(encoded(t, c)))
	}
	c, err := ParseCertData(data("+0200", "01/07/2015", "01:59:60"))
	if err != nil || c.Time.UTC().Format(time.RFC3339) != "2015-07-01T00:00:00Z" {
		t.Errorf("a leap second: %v, %v", c, err)
	}
	if _, err := ParseCertData(data("+0200", "01/07/2015", "12:59:60")); err == nil {
		t.Error("a second 60 at noon: no error")
	}
}
