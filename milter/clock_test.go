package milter

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/milter/internal/mtatest"
	"github.com/ceralacca/ceralacca/pec"
)

// TestUnsoundClock: while nobody keeps the clock neither point takes what it would certify or wrap, nothing is queued, and the
// same is taken when the clock is kept again.
func TestUnsoundClock(t *testing.T) {
	w := newWorld(t)
	var wrong atomic.Bool
	w.options.ClockSound = func() error {
		if wrong.Load() {
			return errors.New("nobody keeps the clock")
		}
		return nil
	}
	w.serve()
	mario, network := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example"), mtatest.Dial(t, w.mta.Incoming, "")
	to := []string{"luigi@beta.example"}
	envelope := w.beta.envelope(t, "luigi@beta.example", "mario@alfa.example")
	faulty := submit("Bcc: x@beta.example")
	send := func() []string {
		return []string{
			mario.Send("mario@alfa.example", to, submit()), mario.Send("mario@alfa.example", to, faulty),
			network.Send("luigi@beta.example", []string{"mario@alfa.example"}, envelope),
			network.Send("x@network.example", []string{"mario@alfa.example"}, ordinaryMail()),
		}
	}
	wrong.Store(true)
	for i, answer := range send() {
		if !strings.HasPrefix(answer, "451 4.3.0 ") {
			t.Errorf("message %d without a clock: %q, want 451 4.3.0", i, answer)
		}
	}
	w.mta.Empty(t)
	if log := w.log.String(); !strings.Contains(log, "nobody keeps the clock") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	wrong.Store(false)
	for i, answer := range send() {
		if !strings.HasPrefix(answer, "250 ") {
			t.Errorf("message %d with a clock: %q, want 250", i, answer)
		}
	}
}

// TestNoMilterWithoutAClock: who forgets to watch the clock gets no milter.
func TestNoMilterWithoutAClock(t *testing.T) {
	o := newWorld(t).options
	o.ClockSound = nil
	if _, err := New(o); err == nil {
		t.Error("New without ClockSound: no error")
	}
}

// calendar is a clock that shows what a test says.
type calendar struct {
	clock.System
	at atomic.Pointer[time.Time]
}

func (c *calendar) Now() time.Time { return *c.at.Load() }

// moment is an instant and how Italy writes it.
type moment struct {
	at              time.Time
	day, hour, zone string
}

// nights are moments of the next two nights in which Italy sets its clocks: signing certificates last that long.
func nights(t *testing.T) []moment {
	t.Helper()
	rome := must(time.LoadLocation("Europe/Rome"))
	var all []moment
	for at := time.Now().UTC().Truncate(time.Hour); len(all) < 6; at = at.Add(time.Hour) {
		_, before := at.Add(-time.Second).In(rome).Zone()
		switch _, after := at.In(rome).Zone(); {
		case after < before:
			all = append(all, moment{at: at.Add(-time.Second), hour: "02:59:59", zone: "+0200"}, moment{at: at, hour: "02:00:00", zone: "+0100"},
				moment{at: at.Add(time.Hour - time.Second), hour: "02:59:59", zone: "+0100"})
		case after > before:
			all = append(all, moment{at: at.Add(-time.Second), hour: "01:59:59", zone: "+0100"}, moment{at: at, hour: "03:00:00", zone: "+0200"},
				moment{at: at.Add(time.Hour), hour: "04:00:00", zone: "+0200"})
		}
	}
	return all
}

// TestLegalTimeInTheRepeatedHour: in the night in which the hour from two to three comes twice the zone tells them apart, in the
// header, the text and the certification data alike; in the other night no time is written that did not exist.
func TestLegalTimeInTheRepeatedHour(t *testing.T) {
	conformance.Covers(t, "C186", "C187")
	w := newWorld(t)
	shown := &calendar{}
	w.options.Clock = shown
	now := time.Now()
	shown.at.Store(&now)
	w.serve()
	mario := mtatest.Dial(t, w.mta.Submission, "mario@alfa.example")
	var last pec.CertData
	for _, c := range nights(t) {
		at := c.at
		shown.at.Store(&at)
		if answer := mario.Send("mario@alfa.example", []string{"luigi@beta.example"}, submit()); !strings.HasPrefix(answer, "250 ") {
			t.Fatalf("at %s: %q", c.at, answer)
		}
		a := w.arrive()
		raw := w.parts(a.whole).CertData
		data := must(pec.ParseCertData(raw))
		c.day = at.UTC().Format("02/01/2006")
		if !data.Time.Equal(at) || !a.record.Instant.Equal(at) {
			t.Errorf("at %s: data %s, record %s", c.at, data.Time, a.record.Instant)
		}
		for _, want := range []string{`zona="` + c.zone + `"`, "<giorno>" + c.day, "<ora>" + c.hour} {
			if !strings.Contains(string(raw), want) {
				t.Errorf("at %s the certification data lack %q:\n%s", c.at, want, raw)
			}
		}
		if date := a.header.Get("Date"); !strings.HasSuffix(date, " "+c.hour+" "+c.zone) {
			t.Errorf("at %s the Date is %q, want %s %s", c.at, date, c.hour, c.zone)
		}
		text := string(a.whole)
		if !strings.Contains(text, c.hour+" ("+c.zone+")") {
			t.Errorf("at %s the text does not say %s (%s):\n%.2500s", c.at, c.hour, c.zone, text)
		}
		if !data.Time.After(last.Time) {
			t.Errorf("at %s: %s is not after %s", c.at, data.Time, last.Time)
		}
		last = *data
	}
}
