package pec

import (
	"net/mail"
	"regexp"
	"time"
)

// ParseDate reads a Date as RFC 5322 has it, the leap second included, which [mail.ParseDate] does not know: a clock that
// shows it is right. The instant is then that of the second that follows, for none of ours can name the other.
func ParseDate(s string) (time.Time, error) { return withLeap(s, mail.ParseDate) }

// leapSecond finds a second 60. Its hour, and its minute too, depend on the zone.
var leapSecond = regexp.MustCompile(`\b(\d{1,2}:\d{2}):60\b`)

// withLeap reads an instant by parse, and one in a leap second as the second that follows. A leap second is the last of a
// month, in UTC; any other second 60 is what parse makes of it.
func withLeap(s string, parse func(string) (time.Time, error)) (time.Time, error) {
	if !leapSecond.MatchString(s) {
		return parse(s)
	}
	before, err := parse(leapSecond.ReplaceAllString(s, "$1:59"))
	if after := before.Add(time.Second); err == nil && after.UTC().Day() == 1 && after.UTC().Truncate(24*time.Hour).Equal(after) {
		return after, nil
	}
	return parse(s)
}
