package directory

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/signer"
)

// fakeClock stands still; a Sleep ends when the test says so.
type fakeClock struct {
	mu    sync.Mutex
	now   time.Time
	slept chan time.Duration // who sleeps says so here
	wake  chan struct{}
}

var _ clock.Clock = (*fakeClock)(nil)

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Now(), slept: make(chan time.Duration), wake: make(chan struct{})}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case c.slept <- d:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-c.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fixture is a publisher of directories and a place to load them from.
type fixture struct {
	t        *testing.T
	ca, by   *identity
	clock    *fakeClock
	path     string
	log      *logs
	options  Options
	alfa     *x509.Certificate
	versions int
}

// logs gathers what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: newFakeClock(), log: &logs{}, path: filepath.Join(t.TempDir(), "igpec.ldif.p7m")}
	f.ca = issue(t, nil, "Directory CA")
	f.by = issue(t, f.ca, "Directory")
	f.alfa = certificate(t, "alfa")
	f.options = Options{
		File: f.path, SignerCA: f.ca.certFile, Every: time.Hour, MaxLoss: 100, Clock: f.clock,
		Log: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	return f
}

// ldif is a directory in which Alfa manages these domains.
func (f *fixture) ldif(domains string) string { return base + record("Alfa", domains, f.alfa) }

// publish puts a file where it is loaded from. Each version is some seconds younger than the one before.
func (f *fixture) publish(p7m []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path, p7m, 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.versions++
	when := time.Now().Add(time.Duration(f.versions) * time.Second)
	if err := os.Chtimes(f.path, when, when); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) load() *Loader {
	f.t.Helper()
	l, err := Load(f.t.Context(), f.options)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func has(l *Loader, domain string) bool {
	_, ok := l.Current().ByDomain(domain)
	return ok
}

func TestLoadFromAFileAndRefresh(t *testing.T) {
	conformance.Covers(t, "C211", "C224")
	f := newFixture(t)
	first := sign(t, f.by, f.ldif("alfa.example"))
	f.publish(first)
	l := f.load()
	if !has(l, "alfa.example") || has(l, "two.example") {
		t.Error("the first directory is not in use")
	}
	if s := l.State(); s.Digest != sha256.Sum256(first) || s.Providers != 1 || s.Err != nil || !s.Accepted.Equal(f.clock.Now()) {
		t.Errorf("State = %+v", s)
	}
	old := l.Current()
	f.clock.add(time.Hour)
	if err := l.Refresh(t.Context()); err != nil || l.Current() != old {
		t.Errorf("Refresh without a change: %v, and the snapshot is another: %v", err, l.Current() != old)
	}
	info, err := os.Stat(f.path) // who brings the file is known to do so by when he did
	if err != nil {
		t.Fatal(err)
	}
	if s := l.State(); !s.Checked.Equal(info.ModTime()) || s.Accepted.Equal(f.clock.Now()) {
		t.Errorf("State after a look without a change = %+v", s)
	}
	f.publish(sign(t, f.by, f.ldif("two.example")))
	if err := l.Refresh(t.Context()); err != nil || !has(l, "two.example") || has(l, "alfa.example") {
		t.Errorf("Refresh after a change: %v; the new one is not in use", err)
	}
	if _, ok := old.ByDomain("alfa.example"); !ok {
		t.Error("a snapshot changed in the hands of who has it")
	}
	if !strings.Contains(f.log.String(), `has changed`) {
		t.Errorf("the log does not tell what changed:\n%s", f.log)
	}
}

// The file as the rules print it is DER; as some tools write it, BER.
func TestLoadOtherEncodings(t *testing.T) {
	conformance.Covers(t, "C211")
	f := newFixture(t)
	between := issue(t, f.ca, "Between", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	under := issue(t, between, "Directory below")
	for name, p7m := range map[string][]byte{
		"BER":           sign(t, f.by, f.ldif("alfa.example"), "-stream"),
		"no attributes": sign(t, f.by, f.ldif("alfa.example"), "-nosmimecap"),
		"a chain":       sign(t, under, f.ldif("alfa.example"), "-certfile", between.certFile),
	} {
		f.publish(p7m)
		if l, err := Load(t.Context(), f.options); err != nil || !has(l, "alfa.example") {
			t.Errorf("%s: Load: %v", name, err)
		}
	}
}

// What must not be believed does not start the program, and does not replace what is in use.
func TestWhatIsNotGenuineIsNotUsed(t *testing.T) {
	conformance.Covers(t, "C211", "C224")
	f := newFixture(t)
	good := sign(t, f.by, f.ldif("alfa.example"))
	tampered := []byte(strings.Replace(string(good), "alfa.example", "evil.example", 1))
	otherCA := issue(t, nil, "Directory CA")
	expired := issue(t, f.ca, "Directory", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"tampered", tampered, signer.ErrSignature},
		{"signed under another authority", sign(t, issue(t, otherCA, "Directory"), f.ldif("evil.example")), ErrSigner},
		{"signed by itself", sign(t, otherCA, f.ldif("evil.example")), ErrSigner},
		{"signed by an expired certificate", sign(t, expired, f.ldif("evil.example")), signer.ErrExpired},
		{"not signed", []byte(f.ldif("evil.example")), signer.ErrMalformed},
		{"cut", good[:len(good)-20], signer.ErrMalformed},
		{"no LDIF", sign(t, f.by, "evil.example"), ErrLDIF},
		{"empty", nil, ErrFetch},
		{"beyond all measure", make([]byte, maxFile+1), ErrFetch},
	} {
		f.publish(test.file)
		if l, err := Load(t.Context(), f.options); !errors.Is(err, test.want) || l != nil {
			t.Errorf("%s: Load: %v; want %v", test.name, err, test.want)
		}
		f.publish(good)
		l := f.load()
		f.publish(test.file)
		before := f.log.String()
		if err := l.Refresh(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("%s: Refresh: %v; want %v", test.name, err, test.want)
		}
		if !has(l, "alfa.example") || has(l, "evil.example") || l.State().Err == nil || l.State().Providers != 1 {
			t.Errorf("%s: the old directory is not in use, or nothing is said: %+v", test.name, l.State())
		}
		if said := strings.TrimPrefix(f.log.String(), before); !strings.Contains(said, "level=ERROR") {
			t.Errorf("%s: no alarm in the log: %q", test.name, said)
		}
		// The same wrong file is not taken for known the second time, and the right one ends the alarm.
		if err := l.Refresh(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("%s: Refresh again: %v; want %v", test.name, err, test.want)
		}
		f.publish(good)
		if err := l.Refresh(t.Context()); err != nil || l.State().Err != nil {
			t.Errorf("%s: Refresh of the good one: %v, state %v", test.name, err, l.State().Err)
		}
	}
}

func TestTheSignerIsJudgedToday(t *testing.T) {
	conformance.Covers(t, "C224")
	f := newFixture(t)
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	l := f.load()
	f.clock.add(100 * time.Hour)
	f.publish(sign(t, f.by, f.ldif("two.example")))
	if err := l.Refresh(t.Context()); !errors.Is(err, ErrSigner) || !has(l, "alfa.example") {
		t.Errorf("Refresh after the signer's end: %v; want %v", err, ErrSigner)
	}
}

func TestLoadRefusesWrongOptions(t *testing.T) {
	f := newFixture(t)
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	for name, change := range map[string]func(*Options){
		"no source":                 func(o *Options) { o.File = "" },
		"two sources":               func(o *Options) { o.URL = "https://localhost/x" },
		"no such file":              func(o *Options) { o.File += "x" },
		"no authority":              func(o *Options) { o.SignerCA = f.path + "x" },
		"an authority that is none": func(o *Options) { o.SignerCA = f.path },
	} {
		o := f.options
		change(&o)
		if l, err := Load(t.Context(), o); err == nil || l != nil {
			t.Errorf("%s: Load = %v, %v; want an error", name, l, err)
		}
	}
}

func TestRunRefreshesEverySoOften(t *testing.T) {
	f := newFixture(t)
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	l := f.load()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	for i := range 3 {
		if d := <-f.clock.slept; d != time.Hour {
			t.Errorf("it sleeps for %v, want 1h", d)
		}
		if want := fmt.Sprintf("v%d.example", i); i > 0 && !has(l, want) {
			t.Errorf("after %d rounds %s is not there", i, want)
		}
		if i == 1 { // a round that fails does not end it
			f.publish([]byte("junk"))
			f.clock.wake <- struct{}{}
			<-f.clock.slept
		}
		f.publish(sign(t, f.by, f.ldif(fmt.Sprintf("v%d.example", i+1))))
		f.clock.wake <- struct{}{}
	}
	<-f.clock.slept
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v; want %v", err, context.Canceled)
	}
	if !has(l, "v3.example") {
		t.Error("the last version is not in use")
	}
}

func TestEveryAcceptedVersionIsKeptOnce(t *testing.T) {
	f := newFixture(t)
	f.options.Keep = filepath.Join(t.TempDir(), "state", "directory")
	first, second := sign(t, f.by, f.ldif("alfa.example")), sign(t, f.by, f.ldif("two.example"))
	f.publish(first)
	l := f.load()
	f.publish([]byte("junk"))
	_ = l.Refresh(t.Context()) // it fails, as it should
	f.publish(second)
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.clock.add(time.Hour)
	f.load() // a restart
	files, err := filepath.Glob(f.options.Keep + "/*")
	if err != nil || len(files) != 2 {
		t.Fatalf("kept: %v, %v; want the two accepted versions", files, err)
	}
	kept := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kept[string(content)] = true
	}
	if !kept[string(first)] || !kept[string(second)] {
		t.Error("what is kept is not what was accepted")
	}
	// Where nothing can be kept nothing new is used.
	f.options.Keep = f.path
	if _, err := Load(t.Context(), f.options); err == nil {
		t.Error("Load with a file where the folder should be: no error")
	}
}

// Many ask while the directory is swapped; the race detector looks on.
func TestLookupsWhileRefreshing(t *testing.T) {
	f := newFixture(t)
	one, two := sign(t, f.by, f.ldif("alfa.example one.example")), sign(t, f.by, f.ldif("alfa.example two.example"))
	f.publish(one)
	l := f.load()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				s := l.Current()
				_, isOne := s.ByDomain("one.example")
				_, isTwo := s.ByDomain("two.example")
				if !has(l, "alfa.example") || isOne == isTwo {
					t.Error("half a directory was seen")
					return
				}
				_ = l.State()
			}
		})
	}
	for i := range 20 {
		f.publish([][]byte{one, two}[i%2])
		if err := l.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wait.Wait()
}
