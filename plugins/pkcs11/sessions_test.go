//go:build cgo

package main

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/plugins"
)

// measure is a number that the plug-in says of itself.
func measure(t *testing.T, list []plugins.Measure, name string) float64 {
	t.Helper()
	for _, m := range list {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("there is no measure %s", name)
	return 0
}

// A token that opens fewer sessions than are configured signs with those: nothing fails, it is opened again only to find out, and it is said.
func TestFewerSessions(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d, key, entry := simple(t, (*device).shimmed, func(d *device) {
		d.config["sessions"] = 8
		d.say("sessions", "3") // one stays, two sign
	})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 10 {
				if err := signs(t, key, entry, "text"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := d.logins(); n > 3 { // with 8, 4 and 2
		t.Errorf("%d logins, want no more than it takes to find out how many there are", n)
	}
	h, err := key.Current().Health(t.Context())
	if err != nil || h.Problem != "" {
		t.Errorf("it is not well: %q, %v", h.Problem, err)
	}
	if n := measure(t, h.Measures, "sessions_refused_count"); n != 6 {
		t.Errorf("%v sessions are refused, of 8; want 6", n)
	}
}

// A token that allows one session is of no use, and says so instead of ending the process.
func TestSingleSession(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	d.want("label", "first")
	d.shimmed()
	d.say("single", "yes")
	key := d.started()
	if _, err := key.Certificates(t.Context()); err == nil || !strings.Contains(err.Error(), "allows one session") {
		t.Errorf("certificates: %v", err)
	}
	if key.Current() == nil {
		t.Error("the process has ended")
	}
}

// Who waits for the PIN file while it is replaced locks the new one: two never try a PIN at the same time.
func TestPINFileReplacedWhileLocked(t *testing.T) {
	d := newDevice(t)
	p := pin{d.PINFile}
	first, err := p.lock()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *os.File)
	go func() {
		second, err := p.lock()
		if err != nil {
			t.Error(err)
		}
		got <- second
	}()
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(100 * time.Millisecond):
	}
	if err := d.WritePIN("another"); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	second := <-got
	defer second.Close()
	held, err := second.Stat()
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.Stat(d.PINFile)
	if err != nil || !os.SameFile(held, there) {
		t.Errorf("the lock is on the file that was replaced, %v", err)
	}
}
