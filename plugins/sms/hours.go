package main

import (
	"fmt"
	"strings"
	"time"
)

// hours are those of a day in which nobody is told; none when both ends are equal.
type hours struct{ from, to int } // minutes since midnight

func parseHours(written string) (hours, error) {
	if written == "" {
		return hours{}, nil
	}
	from, to, _ := strings.Cut(written, "-")
	a, err1 := time.Parse("15:04", from)
	b, err2 := time.Parse("15:04", to)
	if err1 != nil || err2 != nil || a.Equal(b) {
		return hours{}, fmt.Errorf("quiet_hours: %q are none; write 22:00-08:00", written)
	}
	return hours{a.Hour()*60 + a.Minute(), b.Hour()*60 + b.Minute()}, nil
}

// end is when somebody may be told, at or after an instant.
func (h hours) end(now time.Time, zone *time.Location) time.Time {
	local := now.In(zone)
	minute := local.Hour()*60 + local.Minute()
	at := func(days int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+days, 0, h.to, 0, 0, zone)
	}
	switch {
	case h.from == h.to:
	case h.from < h.to && minute >= h.from && minute < h.to:
		return at(0)
	case h.from > h.to && minute >= h.from:
		return at(1)
	case h.from > h.to && minute < h.to:
		return at(0)
	}
	return now
}

// midnight is the begin of the next local day.
func midnight(now time.Time, zone *time.Location) time.Time {
	local := now.In(zone)
	return time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, zone)
}

// sameDay says whether two instants are of one local day.
func sameDay(a, b time.Time, zone *time.Location) bool {
	return a.In(zone).Format(time.DateOnly) == b.In(zone).Format(time.DateOnly)
}
