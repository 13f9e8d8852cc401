//go:build cgo

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (d *device) pull() {
	d.t.Helper()
	if err := os.Rename(d.Store, d.Store+".away"); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) plug() {
	d.t.Helper()
	if err := os.Rename(d.Store+".away", d.Store); err != nil {
		d.t.Fatal(err)
	}
}

// A token that is pulled away while it signs is an error for now, and said; it signs again by itself once it is back, in the same
// process, and also when nobody asks for signatures meanwhile.
func TestTokenPulledAway(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d, key, entry := simple(t)
	pid := key.Current().PID()
	if err := signs(t, key, entry, "before"); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		d.pull()
		within(t, "signing fails", func() bool { return signs(t, key, entry, "away") != nil })
		if err := signs(t, key, entry, "away"); !errors.Is(err, host.ErrUnable) {
			t.Errorf("while it is away: %v", err)
		}
		if problem(t, key) == "" {
			t.Error("it says that it is well")
		}
		d.plug()
		if round == 0 { // nobody asks but for its health
			within(t, "it is well again", func() bool { return problem(t, key) == "" })
		}
		within(t, "it signs again", func() bool { return signs(t, key, entry, "back") == nil })
	}
	if now := key.Current().PID(); now != pid {
		t.Errorf("process %d took the place of %d", now, pid)
	}
}

// What the module says of a lost session is mended within the call.
func TestSessionLost(t *testing.T) {
	t.Parallel()
	d, key, entry := simple(t, (*device).shimmed)
	for _, code := range []string{"b3", "30", "32", "60", "101"} { // session handle, device error, device removed, key handle, not logged in
		if err := signs(t, key, entry, "before"); err != nil { // one that is lost before it signed is not opened again at once
			t.Fatal(err)
		}
		d.say("fail", code)
		if err := signs(t, key, entry, code); err != nil {
			t.Errorf("the module fails once with %s: %v", code, err)
		}
	}
}

// A PIN that is refused is tried once, whoever starts whatever: the next process of the other daemon, the one after a crash, calls
// and questions. A PIN file that changed is tried again.
func TestWrongPINIsTriedOnce(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d := newDevice(t)
	pair := d.pair()
	d.put("first", "01", pair)
	d.want("label", "first", "certificate", d.file("first", pair))
	d.shimmed()
	if err := d.WritePIN("wrong"); err != nil {
		t.Fatal(err)
	}
	says := func(key host.Key, want string) {
		t.Helper()
		if _, err := key.Certificates(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("certificates: %v; want %q", err, want)
		}
		if said := problem(t, key); !strings.Contains(said, want) {
			t.Errorf("it says of itself %q, want %q", said, want)
		}
	}
	one := d.started()
	says(one, "the PIN is refused")
	other := d.started()
	says(other, "it is not tried again until that file changes")
	first := other.Current().PID()
	if err := kill(first); err != nil {
		t.Fatal(err)
	}
	within(t, "another process", func() bool { i := other.Current(); return i != nil && i.PID() != first })
	says(other, "it is not tried again until that file changes")
	time.Sleep(3 * firstPause) // as long as the first pauses between openings
	says(one, "it is not tried again until that file changes")
	if n := d.logins(); n != 1 {
		t.Fatalf("the PIN was tried %d times, want once", n)
	}
	if err := d.WritePIN(d.PIN); err != nil {
		t.Fatal(err)
	}
	for _, key := range []host.Key{one, other} {
		within(t, "the right PIN is taken", func() bool { return problem(t, key) == "" })
		entries, err := key.Certificates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := signs(t, key, entries[0], "text"); err != nil {
			t.Error(err)
		}
	}
	if n := d.logins(); n != 3 {
		t.Errorf("the PINs were tried %d times, want once, and once for each process", n)
	}
}

// A PIN that was changed in the token alone is told too, and touching the file is enough when the token was changed back.
func TestPINChangedInTheToken(t *testing.T) {
	t.Parallel()
	d, key, entry := simple(t)
	if err := d.SetPIN("9999"); err != nil {
		t.Fatal(err)
	}
	d.pull()
	within(t, "signing fails", func() bool { return signs(t, key, entry, "away") != nil })
	d.plug()
	within(t, "the refused PIN is said", func() bool { return strings.Contains(problem(t, key), "the PIN is refused") })
	if err := d.SetPIN("1234-5678"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * firstPause)
	if said := problem(t, key); !strings.Contains(said, "is not tried again until") {
		t.Errorf("it was tried again, or says nothing of it: %q", said)
	}
	if err := os.Chtimes(d.PINFile, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	within(t, "it signs again", func() bool { return signs(t, key, entry, "back") == nil })
}

// A process that died over a login, and a token that says a try failed: that was it. A token that never failed is tried.
func TestPINOfOneThatDied(t *testing.T) {
	d := newDevice(t)
	p := pin{d.PINFile}
	identity, err := p.identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		mark  string
		flags uint
		want  string
	}{
		"fresh":               {"", 0, ""},
		"died, none failed":   {identity + pinTried, 0, ""},
		"died, one failed":    {identity + pinTried, 1 << 16, "until that file changes"},
		"refused":             {identity + pinRefused, 0, "until that file changes"},
		"another was refused": {"1 2 3" + pinRefused, 1 << 16, ""},
		"last try":            {"", 1 << 17, "one try is left"},
		"locked":              {"", 1 << 18, "has locked it"},
	} {
		if err := os.WriteFile(p.mark(), []byte(test.mark), 0o600); err != nil {
			t.Fatal(err)
		}
		err := p.allowed(identity, test.flags)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A module that hangs holds nobody longer than the deadline; it is said; in the end the process makes room for another, which signs.
func TestModuleHangs(t *testing.T) {
	t.Parallel()
	d, key, entry := simple(t, (*device).shimmed, func(d *device) { d.config["answer_timeout"] = "1s"; d.config["sessions"] = 2 })
	pid := key.Current().PID()
	d.say("hang", "yes")
	done := make(chan error, 4)
	for range cap(done) {
		go func() { done <- signs(t, key, entry, "hangs") }()
	}
	within(t, "it is said", func() bool { return strings.Contains(problem(t, key), "has not answered a call for") })
	within(t, "the process ends", func() bool { i := key.Current(); return i == nil || i.PID() != pid })
	for range cap(done) {
		if err := <-done; err == nil {
			t.Error("a signature of a module that hangs")
		}
	}
	d.say("hang", "")
	within(t, "another signs", func() bool { return signs(t, key, entry, "back") == nil })
}

// Killed a hundred times in the middle of signing, four daemons' processes that share token and PIN: each call is answered by a
// signature that is right, or by an error; nothing is left behind that keeps the next from signing, and the PIN is not used up.
func TestKilledAHundredTimes(t *testing.T) {
	t.Parallel()
	conformance.Covers(t, "C225")
	d, first, entry := simple(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var count mortal
	var all sync.WaitGroup
	hosts := []host.Key{first, d.started(), d.started(), d.started()}
	for n, key := range hosts {
		all.Go(func() { count.kills(t, key, entry, rand.New(rand.NewPCG(seed, uint64(n))), 100/len(hosts)) })
	}
	all.Wait()
	for _, key := range hosts {
		within(t, "it signs in the end", func() bool { return signs(t, key, entry, "end") == nil })
		within(t, "it is well", func() bool { return problem(t, key) == "" })
	}
	t.Logf("%d kills, %d signatures, %d calls that failed", count.killed.Load(), count.signed.Load(), count.failed.Load())
	if n := count.killed.Load(); n != 100 {
		t.Errorf("%d kills, want 100", n)
	}
	left, err := filepath.Glob(d.PINFile + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("beside the PIN there is %q, %v", left, err)
	}
}

// mortal counts what became of calls while processes were killed.
type mortal struct{ killed, signed, failed atomic.Int64 }

// kills kills the process of one host so often, each time once it has signed, while two sign.
func (m *mortal) kills(t *testing.T, key host.Key, entry plugins.KeyEntry, random *rand.Rand, times int) {
	var stop atomic.Bool
	var own atomic.Int64
	var all sync.WaitGroup
	defer all.Wait()
	defer stop.Store(true)
	for n := range 2 {
		all.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := signs(t, key, entry, fmt.Sprint(n, i)); err != nil {
					m.failed.Add(1)
					time.Sleep(5 * time.Millisecond)
				} else {
					m.signed.Add(1)
					own.Add(1)
				}
			}
		})
	}
	for last := 0; times > 0; {
		before := own.Load()
		for end := time.Now().Add(patience); own.Load() == before; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("it does not sign within %s", patience)
				return
			}
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		if i := key.Current(); i != nil && i.PID() != last {
			last = i.PID()
			if err := kill(last); err != nil {
				t.Error(err)
				return
			}
			m.killed.Add(1)
			times--
		}
	}
}

func kill(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Kill()
}

// Openings that fail come ever more seldom, and never more than lastPause and a quarter apart.
func TestPauses(t *testing.T) {
	for failures, least := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 3: 8 * time.Second, 100: 8 * time.Second} {
		if got := pause(failures); got < least || got > least+least/4 {
			t.Errorf("after %d failures %s, want %s and up to a quarter more", failures, got, least)
		}
	}
}
