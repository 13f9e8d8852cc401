package directory

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/metrics"
)

// dated makes a certificate that ends at an instant.
func dated(t testing.TB, name string, until time.Time) *x509.Certificate {
	t.Helper()
	return certificate(t, name, func(c *x509.Certificate) { c.NotAfter = until })
}

// alarms counts those of the directory.
func alarms(t testing.TB, m *metrics.Metrics) int {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	n := 0
	for line := range strings.Lines(w.Body.String()) {
		if rest, found := strings.CutPrefix(line, `ceralacca_alarms_total{alarm="directory"} `); found {
			_, _ = fmt.Sscan(rest, &n) // a counter has a number
		}
	}
	return n
}

// others is a directory of Alfa and so many others, each with a domain and a certificate.
func (f *fixture) others(n int, certs []*x509.Certificate) string {
	text := f.ldif("alfa.example")
	for i := range n {
		text += record(fmt.Sprintf("P%d", i), fmt.Sprintf("p%d.example", i), certs[i])
	}
	return text
}

// A version that lacks more than it may waits for a person, with an alarm; meanwhile the old one is in use, also after a
// restart. What he accepts is what he has seen.
func TestWhatIsLostWaitsForAPerson(t *testing.T) {
	conformance.Covers(t, "C213")
	f := newFixture(t)
	f.options.MaxLoss, f.options.Keep, f.options.Metrics = 10, filepath.Join(t.TempDir(), "directory"), metrics.New()
	certs := make([]*x509.Certificate, 19)
	for i := range certs {
		certs[i] = dated(t, "p", time.Now().Add(48*time.Hour))
	}
	f.alfa = dated(t, "alfa", time.Now().Add(48*time.Hour))
	whole, fewer, fewest := sign(t, f.by, f.others(19, certs)), sign(t, f.by, f.others(17, certs)), sign(t, f.by, f.others(14, certs))
	f.publish(whole)
	l := f.load()
	f.publish(fewer) // two of twenty: as many as may go
	if err := l.Refresh(t.Context()); err != nil || has(l, "p18.example") {
		t.Fatalf("a loss of 10 %%: %v", err)
	}
	f.publish(fewest)
	for range 2 {
		err := l.Refresh(t.Context())
		if want := "3 of 18 records of providers are gone, more than 10 %; 3 of 18 domains"; !errors.Is(err, ErrWaiting) || !strings.Contains(err.Error(), want) {
			t.Fatalf("Refresh: %v; want %v with %q", err, ErrWaiting, want)
		}
	}
	digest := sha256.Sum256(fewest)
	if s := l.State(); s.Waiting == nil || s.Waiting.Digest != digest || !has(l, "p16.example") || alarms(t, f.options.Metrics) != 1 {
		t.Errorf("State = %+v, %d alarms; want one that waits and one alarm", s, alarms(t, f.options.Metrics))
	}
	if _, got, err := OpenFile(WaitingFile(f.options.Keep)); err != nil || got != digest {
		t.Errorf("what waits is not there to look at: %v", err)
	}
	l = f.load() // a restart lets nothing through
	if !has(l, "p16.example") || l.State().Waiting == nil {
		t.Error("after a restart the version that waits is in use")
	}
	for _, wrong := range []string{"", "00000000", hex.EncodeToString(digest[:])[:7], hex.EncodeToString(digest[:]) + "0"} {
		if err := l.Accept(t.Context(), wrong); !errors.Is(err, ErrAccept) || !has(l, "p16.example") {
			t.Errorf("Accept(%q): %v; want %v", wrong, err, ErrAccept)
		}
	}
	o := l.Update(t.Context(), strings.ToUpper(hex.EncodeToString(digest[:8])))
	if o.Error != "" || !o.Updated || len(o.Changes) != 3 || o.Waiting != nil || has(l, "p16.example") || o.Counts.Domains != 15 {
		t.Errorf("Update with its digest = %+v", o)
	}
	if s := l.State(); s.Err != nil || s.Waiting != nil {
		t.Errorf("State = %+v; want that all is well", s)
	}
	if _, err := os.Stat(WaitingFile(f.options.Keep)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what waited is still there: %v", err)
	}
	if l = f.load(); has(l, "p16.example") { // it is the last one kept
		t.Error("after a restart the old one is back")
	}
	if kept, err := Versions(f.options.Keep); err != nil || len(kept) != 3 || kept[2].Digest != digest {
		t.Errorf("kept: %v, %v; want three versions, the accepted one last", kept, err)
	}
}

// A new version that comes while a person looks at another is not what he accepts; one that is whole again ends the wait.
func TestOnlyWhatWasSeenIsAccepted(t *testing.T) {
	f := newFixture(t)
	f.options.MaxLoss = 0
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example c.example")))
	l := f.load()
	first, second := sign(t, f.by, f.ldif("alfa.example b.example")), sign(t, f.by, f.ldif("alfa.example"))
	digest := func(file []byte) string { sum := sha256.Sum256(file); return hex.EncodeToString(sum[:]) }
	f.publish(first)
	if o := l.Update(t.Context(), ""); o.Waiting == nil || o.Waiting.SHA256 != digest(first) || o.Updated || o.Error == "" || len(o.Waiting.Changes) != 1 {
		t.Fatalf("Update = %+v; want one that waits", o)
	}
	f.publish(second)
	if err := l.Accept(t.Context(), digest(first)); !errors.Is(err, ErrAccept) || !strings.Contains(err.Error(), digest(second)) {
		t.Errorf("Accept of what is not published any more: %v; want %v with the digest of the new one", err, ErrAccept)
	}
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example c.example d.example")))
	if err := l.Refresh(t.Context()); err != nil || l.State().Waiting != nil || !has(l, "d.example") {
		t.Errorf("a whole version: %v, state %+v", err, l.State())
	}
	if err := l.Accept(t.Context(), digest(second)); !errors.Is(err, ErrAccept) {
		t.Errorf("Accept when nothing waits: %v; want %v", err, ErrAccept)
	}
	// The source cannot be reached, and what waits is what he has seen.
	f.publish(second)
	_ = l.Refresh(t.Context())
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	if err := l.Accept(t.Context(), digest(second)); err != nil || has(l, "b.example") {
		t.Errorf("Accept without a source: %v", err)
	}
}

// That a certificate has ended, or a domain has another provider, is no loss; that our own record goes always is one.
func TestWhatIsALoss(t *testing.T) {
	f := newFixture(t)
	good, old := dated(t, "b", time.Now().Add(time.Hour)), dated(t, "b", time.Now().Add(-time.Hour))
	self := func(s *Snapshot) error {
		if _, ok := s.ByDomain("alfa.example"); !ok {
			return errors.New("it is not there")
		}
		return nil
	}
	alfa := f.ldif("alfa.example")
	before := alfa + record("Beta", "beta.example x.example", good, old) + record("Gamma", "gamma.example", certificate(t, "g"))
	for name, test := range map[string]struct {
		percent int
		after   string
		want    string
	}{
		"an ended certificate": {0, strings.Replace(before, record("Beta", "beta.example x.example", good, old), record("Beta", "beta.example x.example", good), 1), ""},
		"a good certificate": {0, strings.Replace(before, record("Beta", "beta.example x.example", good, old), record("Beta", "beta.example x.example", old), 1),
			"1 of 1 certificates"},
		"a domain moves": {0, strings.Replace(strings.Replace(before, "managedDomains: x.example\n", "", 1), "managedDomains: gamma.example\n",
			"managedDomains: gamma.example\nmanagedDomains: x.example\n", 1), ""},
		"a domain goes":        {0, strings.Replace(before, "managedDomains: x.example\n", "", 1), "1 of 4 domains"},
		"a domain may go":      {25, strings.Replace(before, "managedDomains: x.example\n", "", 1), ""},
		"our record":           {100, strings.Replace(before, alfa, base, 1), "our own record: it is not there"},
		"a name in other case": {0, strings.ReplaceAll(before, "Beta", "BETA"), ""},
	} {
		f.options.MaxLoss, f.options.Self = test.percent, self
		f.publish(sign(t, f.by, before))
		l := f.load()
		f.publish(sign(t, f.by, test.after))
		err := l.Refresh(t.Context())
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, ErrWaiting) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: Refresh: %v; want %q", name, err, test.want)
		}
	}
}

// A directory that does not know us starts nothing, and is not kept to compare with.
func TestWhatDoesNotKnowUsIsNotKept(t *testing.T) {
	f := newFixture(t)
	f.options.Keep, f.options.MaxLoss = filepath.Join(t.TempDir(), "directory"), 0
	unknown := errors.New("we are not in it")
	f.options.Self = func(s *Snapshot) error {
		if _, ok := s.ByDomain("alfa.example"); !ok {
			return unknown
		}
		return nil
	}
	f.publish(sign(t, f.by, f.ldif("other.example")))
	if _, err := Load(t.Context(), f.options); !errors.Is(err, unknown) {
		t.Errorf("Load: %v; want %v", err, unknown)
	}
	if kept, err := Versions(f.options.Keep); err != nil || len(kept) != 0 {
		t.Errorf("kept: %v, %v; want nothing", kept, err)
	}
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example")))
	f.load()
	// We have another configuration, which the last version does not fit and the new one does.
	f.options.Self = func(s *Snapshot) error {
		if _, ok := s.ByDomain("new.example"); !ok {
			return unknown
		}
		return nil
	}
	f.publish(sign(t, f.by, f.ldif("new.example")))
	if l := f.load(); !has(l, "new.example") || l.State().Waiting != nil {
		t.Errorf("State = %+v; want the new one in use", l.State())
	}
}

// The milter takes what the agent took, also what a person accepted there, and compares with it after a restart.
func TestOneFollowsTheOther(t *testing.T) {
	f := newFixture(t)
	f.options.Keep, f.options.MaxLoss = filepath.Join(t.TempDir(), "directory"), 0
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example")))
	agent := f.load()
	agentOptions := f.options
	f.options.Follow = true
	milter := f.load()
	fewer := sign(t, f.by, f.ldif("alfa.example"))
	f.publish(fewer)
	if err := milter.Refresh(t.Context()); !errors.Is(err, ErrWaiting) {
		t.Fatalf("the milter: %v; want %v", err, ErrWaiting)
	}
	if _, err := os.Stat(WaitingFile(f.options.Keep)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the milter writes into the folder of the agent: %v", err)
	}
	ended := make(chan error)
	go func() { ended <- milter.Run(t.Context()) }()
	if d := <-f.clock.slept; d != followEvery {
		t.Errorf("it looks after %v, want %v", d, followEvery)
	}
	f.clock.add(time.Second)
	digest := sha256.Sum256(fewer)
	if err := agent.Accept(t.Context(), hex.EncodeToString(digest[:])); err != nil {
		t.Fatal(err)
	}
	f.clock.wake <- struct{}{}
	<-f.clock.slept
	if s := milter.State(); has(milter, "b.example") || s.Digest != digest || s.Waiting != nil {
		t.Errorf("the milter did not follow: %+v", s)
	}
	// A kept file that somebody changed is not followed.
	f.clock.add(time.Second)
	f.publish(sign(t, f.by, f.ldif("alfa.example c.example")))
	if err := agent.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := Versions(agentOptions.Keep)
	if err != nil || len(kept) != 3 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	if err := os.WriteFile(kept[2].Path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.clock.wake <- struct{}{}
	<-f.clock.slept
	if has(milter, "c.example") || !strings.Contains(f.log.String(), "is not what it was") {
		t.Errorf("a changed file is followed, or nothing is said:\n%s", f.log)
	}
	if _, err := kept[2].Open(); err == nil {
		t.Error("Open of a changed version: no error")
	}
}

// A reload compares with what is in use.
func TestAReloadLetsNothingThrough(t *testing.T) {
	f := newFixture(t)
	f.options.MaxLoss = 0
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example")))
	l := f.load()
	f.options.Before = l
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	if again := f.load(); !has(again, "b.example") || again.State().Waiting == nil || again.State().Digest != l.State().Digest {
		t.Errorf("State = %+v; want the old one in use", again.State())
	}
}

// What a person accepts from the loader that a reload is about to replace is in use after the reload.
func TestAcceptedDuringAReload(t *testing.T) {
	f := newFixture(t)
	f.options.MaxLoss, f.options.Keep = 0, t.TempDir()
	f.publish(sign(t, f.by, f.ldif("alfa.example b.example")))
	l := f.load()
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	f.options.Before = l
	again := f.load()
	_ = l.Refresh(t.Context())
	accepted := l.State().Waiting
	if accepted == nil || again.State().Waiting == nil {
		t.Fatal("nothing waits")
	}
	if err := l.Accept(t.Context(), fmt.Sprintf("%x", accepted.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := again.Refresh(t.Context()); err != nil || has(again, "b.example") || again.State().Waiting != nil || again.State().Digest != accepted.Digest {
		t.Errorf("Refresh: %v, State = %+v; want what was accepted", err, again.State())
	}
}

// A directory server that is away for a while keeps nobody from reloading; it does keep from starting, and from other settings.
func TestAReloadWithoutAServer(t *testing.T) {
	f, s, _ := webFixture(t)
	s.put(sign(t, f.by, f.ldif("alfa.example")))
	l := f.load()
	s.Close()
	if _, err := Load(t.Context(), f.options); !errors.Is(err, ErrFetch) {
		t.Errorf("a start: %v, want %v", err, ErrFetch)
	}
	f.options.Before = l
	again, err := Load(t.Context(), f.options)
	if err != nil {
		t.Fatalf("a reload: %v", err)
	}
	if !has(again, "alfa.example") || !errors.Is(again.State().Err, ErrFetch) || again.State().Digest != l.State().Digest {
		t.Errorf("State = %+v; want the old one in use, and the error", again.State())
	}
	f.options.URL += "other"
	if _, err := Load(t.Context(), f.options); !errors.Is(err, ErrFetch) {
		t.Errorf("a reload with another URL: %v, want %v", err, ErrFetch)
	}
}

// The copy is refreshed daily: one that could not be is an alarm each day, and is tried again soon.
func TestAnOldCopyIsAnAlarm(t *testing.T) {
	conformance.Covers(t, "C213")
	f, s, _ := webFixture(t)
	f.options.Metrics = metrics.New()
	l := f.load()
	s.Close()
	for hour := range 50 {
		f.clock.add(time.Hour)
		if err := l.Refresh(t.Context()); !errors.Is(err, ErrFetch) {
			t.Fatalf("Refresh: %v; want %v", err, ErrFetch)
		}
		want := (hour + 1) / 24
		if hour+1 == 24 { // not older than a day
			want = 0
		}
		if n := alarms(t, f.options.Metrics); n != want {
			t.Fatalf("%d alarms after %d hours, want %d", n, hour+1, want)
		}
	}
	if !has(l, "alfa.example") || !strings.Contains(f.log.String(), "older than a day") {
		t.Error("the old one is gone, or the log does not say how old it is")
	}
	for failures, want := range []time.Duration{time.Hour, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
		32 * time.Minute, time.Hour, time.Hour} {
		if got := l.pause(failures); got != want {
			t.Errorf("after %d failures it waits %v, want %v", failures, got, want)
		}
	}
}

// Who brings the file must go on doing so.
func TestAFileThatNobodyBringsIsAnAlarm(t *testing.T) {
	conformance.Covers(t, "C213")
	f := newFixture(t)
	f.options.Metrics = metrics.New()
	f.publish(sign(t, f.by, f.ldif("alfa.example")))
	l := f.load()
	for _, want := range []int{0, 1, 1, 2} {
		if err := l.Refresh(t.Context()); err != nil || alarms(t, f.options.Metrics) != want {
			t.Errorf("Refresh: %v, %d alarms, want %d", err, alarms(t, f.options.Metrics), want)
		}
		f.clock.add(13 * time.Hour)
		if want == 0 {
			f.clock.add(12 * time.Hour)
		}
	}
	now := f.clock.Now() // the same file is touched
	if err := os.Chtimes(f.path, now, now); err != nil {
		t.Fatal(err)
	}
	if err := l.Refresh(t.Context()); err != nil || !l.State().Checked.Equal(now) {
		t.Errorf("Refresh of a file that was touched: %v, checked %v, want %v", err, l.State().Checked, now)
	}
}

// A wrong file is an alarm once, until a good one has come.
func TestAWrongFileIsAnAlarmOnce(t *testing.T) {
	f := newFixture(t)
	f.options.Metrics = metrics.New()
	good := sign(t, f.by, f.ldif("alfa.example"))
	f.publish(good)
	l := f.load()
	for _, step := range []struct {
		file []byte
		want int
	}{{[]byte("junk"), 1}, {[]byte("other junk"), 1}, {good, 1}, {[]byte("junk"), 2}} {
		f.publish(step.file)
		_ = l.Refresh(t.Context()) // some are refused, as they should be
		if n := alarms(t, f.options.Metrics); n != step.want {
			t.Errorf("%d alarms after %.10q, want %d", n, step.file, step.want)
		}
	}
}

// The version in force on a day is the last that was taken by then; one that comes back is in force again.
func TestVersions(t *testing.T) {
	f := newFixture(t)
	f.options.Keep = filepath.Join(t.TempDir(), "directory")
	one, two := sign(t, f.by, f.ldif("one.example")), sign(t, f.by, f.ldif("two.example"))
	start := f.clock.Now()
	f.publish(one)
	l := f.load()
	for _, file := range [][]byte{two, one, two} { // the last two at one instant
		if len(file) > 0 && !has(l, "two.example") {
			f.clock.add(time.Hour)
		}
		f.publish(file)
		if err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// What an earlier release named, and what is something else.
	older := filepath.Join(f.options.Keep, fmt.Sprintf("20200101T000000Z-%x.ldif.p7m", sha256.Sum256(one)))
	for path, content := range map[string][]byte{older: one, filepath.Join(f.options.Keep, "notes.txt"): nil, WaitingFile(f.options.Keep): two} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Versions(f.options.Keep)
	if err != nil || len(all) != 5 {
		t.Fatalf("Versions: %d, %v; want five", len(all), err)
	}
	for name, test := range map[string]struct {
		at   time.Time
		want string
	}{
		"before all":      {time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), ""},
		"the first":       {time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), "one.example"},
		"before it ended": {start.Add(30 * time.Minute), "one.example"},
		"the second":      {start.Add(time.Hour), "two.example"},
		"now":             {start.Add(1000 * time.Hour), "two.example"},
	} {
		v, ok := InForce(all, test.at)
		if ok != (test.want != "") {
			t.Errorf("%s: %v, %v", name, v, ok)
			continue
		}
		if !ok {
			continue
		}
		s, err := v.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, there := s.ByDomain(test.want); !there {
			t.Errorf("%s: the version of %v does not have %s", name, v.Instant, test.want)
		}
	}
	if none, err := Versions(f.path + "x"); err != nil || len(none) != 0 {
		t.Errorf("Versions of a folder that is not there: %v, %v", none, err)
	}
}
