package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/conserve/internal/deposit"
	"github.com/ceralacca/ceralacca/test/dovecot"
)

// relay has a Dovecot that listens at a unix socket alone listen at a port.
func relay(t *testing.T, socket string) (address string) { return cutting(t, socket, 0, 0) }

// cutting is a relay whose first connections break off when the server has sent so many bytes.
func cutting(t *testing.T, socket string, connections, bytes int64) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	good(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				_ = in.Close()
				continue
			}
			connections--
			var answers io.Reader = out
			if connections >= 0 {
				answers = io.LimitReader(out, bytes)
			}
			go func() {
				_, _ = io.Copy(in, answers)
				_ = in.Close()
			}()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// withDovecot is a world with a Dovecot that has one mailbox, or more.
func withDovecot(t *testing.T, users ...dovecot.User) (*world, *dovecot.Server) {
	t.Helper()
	server := dovecot.Start(t, append(users, dovecot.User{Address: box})...)
	w := newWorld(t)
	w.master(relay(t, server.IMAP), dovecot.MasterPassword)
	return w, server
}

func (w *world) master(address, password string) {
	good(w.t, os.WriteFile(w.file("master"), []byte(password+"\n"), 0o600))
	w.more = fmt.Sprintf("imap = \"imap://%s\"\nimap_master = %q\nimap_password_file = %q\n", address, dovecot.Master, w.file("master"))
}

// certified is a message with these fields, which stand before its subject.
func certified(subject string, fields ...string) string {
	return strings.Join(append(fields, "From: posta@beta.example", "Subject: "+subject, "Message-ID: <"+subject+"@beta.example>", "", "text of "+subject, ""), "\n")
}

var old = time.Date(2019, 3, 4, 10, 11, 12, 0, time.UTC)

// imported are the records of a box, by the first line of their content.
func (w *world) imported() map[string]deposit.Record {
	w.t.Helper()
	b, err := deposit.Open(w.file("state"))
	good(w.t, err)
	all := map[string]deposit.Record{}
	for _, g := range must(b.Groups()) {
		for _, r := range must(b.Members(g)) {
			content, err := b.Content(r)
			good(w.t, err)
			text, err := io.ReadAll(content)
			good(w.t, errors.Join(err, content.Close()))
			if bytes.Contains(bytes.ReplaceAll(text, []byte("\r\n"), nil), []byte("\n")) {
				w.t.Errorf("%s has bare line feeds", r.Key)
			}
			subject := string(regexp.MustCompile(`Subject: (.*)\r\n`).FindSubmatch(text)[1])
			if _, twice := all[subject]; twice {
				w.t.Errorf("%s is there twice", subject)
			}
			all[subject] = r
		}
	}
	return all
}

func events(records map[string]deposit.Record) map[string]string {
	all := map[string]string{}
	for subject, r := range records {
		all[subject] = r.Event
	}
	return all
}

func (w *world) importing(code int, wants string, args ...string) string {
	w.t.Helper()
	out, got := w.command(append([]string{"import"}, args...)...)
	if got != code || !strings.Contains(out, wants) {
		w.t.Errorf("import %v: %d, want %d and %q:\n%s", args, got, code, wants, out)
	}
	return out
}

// What is certified comes out of every folder but the trash, once; nothing of Dovecot changes; what cannot be read is named and
// comes the next time; and the day of the import becomes a package that holds.
func TestImport(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	for i, m := range []struct{ folder, text string }{
		{"", certified("message", "X-Trasporto: posta-certificata")},
		{"", certified("anomaly", "X-Trasporto: errore")},
		{"", certified("acceptance", "X-Ricevuta: accettazione")},
		{"", certified("refusal", "X-Ricevuta: non-accettazione")},
		{"", certified("delivery", "X-Ricevuta: avvenuta-consegna")},
		{"Archivio", certified("non-delivery", "x-ricevuta: errore-consegna")},
		{"Archivio", certified("timeout", "X-Ricevuta: preavviso-errore-consegna")},
		{"Archivio", certified("message", "X-Trasporto: posta-certificata")}, // the same as in the inbox
		{"Archivio", certified("new-kind", "X-Ricevuta: mai-vista")},
		{"Archivio", certified("charge", "X-Ricevuta: presa-in-carico")},
		{"Archivio", certified("ordinary")},
		{"Trash", certified("thrown-away", "X-Trasporto: posta-certificata")},
	} {
		server.Put(box, m.folder, old.Add(time.Duration(i)*time.Second), m.text)
	}
	locked := server.Put(box, "", old, certified("locked", "X-Trasporto: posta-certificata"))
	d := w.open()
	w.importing(exitGood, ": 10 messages", "--dry-run", "--quiet", box)
	good(t, os.Chmod(locked, 0))
	if n := len(w.imported()); n != 0 {
		t.Fatalf("a dry run keeps %d", n)
	}
	w.importing(exitWrong, `folder "INBOX", message 2 cannot be read`, box)
	want := map[string]string{"message": "imported-delivered", "anomaly": "imported-anomaly", "acceptance": "imported-accepted", "refusal": "imported-non-acceptance",
		"delivery": "imported-delivery", "non-delivery": "imported-non-delivery", "timeout": "imported-notice", "new-kind": "imported-other"}
	if diff := cmp.Diff(want, events(w.imported())); diff != "" {
		t.Errorf("after the first import (-want +got):\n%s", diff)
	}
	for _, name := range must(filepath.Glob(strings.Replace(filepath.Dir(locked), "/new", "/*/*.test*", 1))) {
		good(t, os.Chmod(name, 0o600))
	}
	w.importing(exitGood, ": 1 messages", box)
	w.importing(exitGood, ": 0 messages, 0 B, taken; 0 were there already; 0 are not", box)
	want["locked"] = "imported-delivered"
	w.importing(exitGood, ": 1 messages", "--everything", "--folder", "Archivio", box)
	want["ordinary"] = "imported-ordinary"
	w.importing(exitUsage, "see conserve --help", "--folder", "Archivio")
	w.importing(exitWrong, `no folder "Nulla"`, "--folder", "Nulla", box)
	records := w.imported()
	if diff := cmp.Diff(want, events(records)); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
	if r := records["timeout"]; r.Time != old.Unix()+6 || r.Day == "2019-03-04" {
		t.Errorf("a record says %+v", r)
	}
	if flags := server.Admin("fetch", "-u", box, "flags", "all"); strings.Contains(flags, `\Seen`) {
		t.Errorf("flags were set:\n%s", flags)
	}
	w.clock.at.Store(clock.System{}.Now().Add(48 * time.Hour).Unix())
	good(t, d.keeper.Pass(t.Context()))
	if out, code := w.command("verify", "--all"); code != exitGood || !strings.Contains(out, fmt.Sprintf("good, %d documents", len(want))) {
		t.Errorf("verify: %d, %s", code, out)
	}
	index := must(filepath.Glob(w.file("store/*/*/PIndex.xml")))
	if text := must(os.ReadFile(index[0])); !bytes.Contains(text, []byte("imported-delivered, in the mailbox since 2019-03-04T10:11:12Z")) {
		t.Errorf("the index does not say when a message came in:\n%s", text)
	}
	w.importing(exitGood, ": 0 messages", "--everything", box) // kept in packages, and known
}

// What the rules do not keep, and what came in at another time, is not taken; what is wrong with the question is said.
func TestImportChooses(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	rome := must(time.LoadLocation(legal))
	for subject, at := range map[string]time.Time{"early": time.Date(2020, 12, 31, 23, 59, 0, 0, rome), "first": time.Date(2021, 1, 1, 0, 0, 0, 0, rome),
		"last": time.Date(2021, 6, 30, 23, 59, 59, 0, rome), "late": time.Date(2021, 7, 1, 0, 0, 0, 0, rome)} {
		server.Put(box, "", at, certified(subject, "X-Trasporto: posta-certificata"))
		server.Put(box, "", at, certified(subject+"-receipt", "X-Ricevuta: accettazione"))
	}
	w.open()
	kept := w.more
	w.more += "keep = \"received\"\n"
	w.importing(exitGood, ": 2 messages", "--since", "2021-01-01", "--before", "2021-07-01", box)
	if diff := cmp.Diff(map[string]string{"first": "imported-delivered", "last": "imported-delivered"}, events(w.imported())); diff != "" {
		t.Errorf("by time and rules (-want +got):\n%s", diff)
	}
	w.more = kept + "[mailboxes.\"" + box + "\"]\nkeep = \"off\"\n"
	w.importing(exitGood, `keep = "off"`, "--all")
	w.more = kept
	w.importing(exitGood, ": 6 messages", "--all")
	if n := len(w.imported()); n != 8 {
		t.Errorf("%d messages in the end, want 8", n)
	}
	w.importing(exitUsage, "write 2026-11-30", "--since", "yesterday", box)
	w.importing(exitUsage, "options come first", box, "--dry-run")
	w.importing(exitWrong, "1 of 2 mailboxes", "nobody@alfa.example", box)
	w.more = strings.Replace(kept, "imap_master", "#imap_master", 1)
	w.importing(exitUsage, "no imap_master", box)
	w.more = strings.Replace(kept, "imap://127.0.0.1", "imap://192.0.2.1", 1)
	w.importing(exitUsage, "in clear", box)
	w.more = kept
	good(t, os.WriteFile(w.file("master"), []byte("wrong\n"), 0o600))
	w.importing(exitWrong, "the master user is not let into", box)
	good(t, os.Chmod(w.file("master"), 0o644))
	w.importing(exitWrong, "imap_password_file", box)
	good(t, os.Chown(w.file("state"), 1, 1))
	good(t, os.Chmod(w.file("master"), 0o600))
	w.importing(exitUsage, "say it as this user", box)
}

// An import ends where the space does, and goes on when there is more; a plug-in that runs beside it has counted what it took.
func TestImportRespectsSpace(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	for i := range 30 {
		server.Put(box, "", old, certified(fmt.Sprint("m", i), "X-Trasporto: posta-certificata"))
	}
	d := w.open()
	go d.follow(t.Context())
	kept := w.more
	w.more += "space = 2000\n"
	w.importing(exitWrong, "the space of the mailbox is full", box)
	n, bytes := 0, int64(0)
	for _, r := range w.imported() {
		n, bytes = n+1, bytes+r.Size
	}
	if bytes > 2000 || bytes < 2000-bytes/int64(n)-3 {
		t.Errorf("%d messages, %d bytes of 2,000", n, bytes)
	}
	w.counts(d, int64(n))
	w.more = kept
	w.importing(exitGood, fmt.Sprint(": ", 30-n, " messages"), box)
	if n := len(w.imported()); n != 30 {
		t.Errorf("%d messages in the end, want 30", n)
	}
	w.counts(d, 30)
}

// counts waits until a plug-in that runs has counted this many documents.
func (w *world) counts(d *depositor, want int64) {
	w.t.Helper()
	var u plugins.Usage
	for range 100 {
		if u, _ = d.Usage(w.t.Context(), box); u.Items == want {
			return
		}
		good(w.t, clock.System{}.Sleep(w.t.Context(), 100*time.Millisecond))
	}
	w.t.Errorf("the plug-in counts %+v, want %d items", u, want)
}

// Killed again and again, an import goes on where it was, and takes each message once; the plug-in beside it counts right.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	const messages = 2000
	for i := range messages {
		server.Put(box, []string{"", "Archivio"}[i%2], old, certified(fmt.Sprint("m", i), "X-Trasporto: posta-certificata"))
	}
	program := w.build()
	d := w.open()
	go d.follow(t.Context())
	config, seed := w.config(), uint64(clock.System{}.Now().UnixNano())
	t.Logf("seed %d", seed)
	random, last, killed := rand.New(rand.NewPCG(seed, 0)), 0, 0
	for range 8 {
		cmd := exec.Command(program, "import", "--config", config, "--quiet", box)
		good(t, cmd.Start())
		if killedAfter(t, cmd, time.Duration(random.IntN(400))*time.Millisecond, func() bool { return files(t, w.file("state/keys")) > last }) {
			killed++
		}
		n := files(t, w.file("state/keys"))
		if n < last {
			t.Errorf("%d deposits after a kill, %d before", n, last)
		}
		last = n
	}
	t.Logf("killed %d times, %d deposits", killed, last)
	if last == 0 || killed < 2 {
		t.Error("nothing was tried")
	}
	w.counts(d, int64(last))
	w.importing(exitGood, box, "--quiet", box)
	if n := len(w.imported()); n != messages {
		t.Errorf("%d messages, want %d", n, messages)
	}
	w.counts(d, messages)
}

// killedAfter kills a program a while after it has begun to work, and says whether that was before its end.
func killedAfter(t *testing.T, cmd *exec.Cmd, while time.Duration, begun func() bool) bool {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !begun() {
		select {
		case err := <-ended:
			good(t, err)
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	select {
	case err := <-ended:
		good(t, err)
		return false
	case <-time.After(while):
		_ = cmd.Process.Kill()
		return <-ended != nil
	}
}

// files counts the records below a folder, without what a kill has left aside.
func files(t *testing.T, folder string) (n int) {
	t.Helper()
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json") {
			n++
		}
		return nil
	})
	return n
}

// The box takes deposits while another process removes folders that are empty.
func TestTakeBesideClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, other := must(deposit.Open(dir)), must(deposit.Open(dir))
	stop, ended := make(chan struct{}), sync.WaitGroup{}
	ended.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				other.Close(deposit.Group{Mailbox: box, Day: "2026-11-03"})
				_ = clock.System{}.Sleep(t.Context(), 3*time.Millisecond)
			}
		}
	})
	for i := range 300 {
		b := bundle(fmt.Sprint("k", i), "delivered")
		r := deposit.Record{Key: b.Key, Mailbox: box, Day: "2026-11-03", SHA256: fmt.Sprintf("%x", b.SHA256), Size: b.Size}
		_, _, err := one.Take(r, strings.NewReader(text(b.Key)))
		good(t, err)
		for _, name := range must(filepath.Glob(filepath.Join(dir, "spool", "*", "*", "*.eml"))) {
			good(t, os.Remove(name)) // the folder is empty again
		}
	}
	close(stop)
	ended.Wait()
}

// A hundred thousand messages take no more memory than a thousand. IMPORT_MESSAGES sets how many there are.
func TestImportMemory(t *testing.T) {
	many := 10_000
	if text := os.Getenv("IMPORT_MESSAGES"); text != "" {
		_, err := fmt.Sscan(text, &many)
		good(t, err)
	}
	w, server := withDovecot(t)
	program := w.build()
	w.open()
	var peaks []int64
	filler, i := strings.Repeat("Nel mezzo del cammin di nostra vita\n", 40), 0
	for _, n := range []int{1000, many} {
		for ; i < n; i++ {
			server.Put(box, "", old, certified(fmt.Sprint("m", i), "X-Trasporto: posta-certificata")+filler)
		}
		server.Admin("index", "-u", box, "INBOX")
		good(t, os.RemoveAll(w.file("state")))
		w.path("state")
		began := clock.System{}.Now()
		cmd := exec.Command(program, "import", "--config", w.config(), box)
		var out bytes.Buffer
		cmd.Stderr, cmd.Stdout = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("import: %v\n%s", err, out.Bytes())
		}
		took := clock.System{}.Now().Sub(began)
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // VmHWM
		peaks = append(peaks, peak)
		t.Logf("%d messages: peak %d MiB, %.1f s, %.0f/s", n, peak>>20, took.Seconds(), float64(n)/took.Seconds())
		if got := files(t, w.file("state/keys")); got != n {
			t.Errorf("%d deposits, want %d", got, n)
		}
	}
	if slices.Max(peaks) > 64<<20 || peaks[1] > peaks[0]+(16<<20) {
		t.Errorf("peaks are %v bytes: want at most 64 MiB, and no growth", peaks)
	}
}

// However deposits and counts fall together, each deposit counts once.
func TestCountsWhileDepositsComeIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open()
	all, stop := sync.WaitGroup{}, make(chan struct{})
	for hand := range 4 {
		all.Go(func() {
			for i := range 60 {
				w.deposit(d, bundle(fmt.Sprint("k", hand, "-", i), "delivered"))
			}
		})
	}
	counts := sync.WaitGroup{}
	counts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := d.space.reload(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	all.Wait()
	close(stop)
	counts.Wait()
	if u := d.space.of(box); u.Items != 240 {
		t.Errorf("%d items are counted, want 240", u.Items)
	}
}

// A connection that breaks off in the middle of a message does not make a message of the half of it.
func TestImportCutOff(t *testing.T) {
	t.Parallel()
	w, server := withDovecot(t)
	whole := certified("large", "X-Trasporto: posta-certificata") + strings.Repeat("Nel mezzo del cammin di nostra vita\n", 20_000)
	server.Put(box, "", old, whole)
	server.Put(box, "", old, certified("small", "X-Trasporto: posta-certificata"))
	w.open()
	w.master(cutting(t, server.IMAP, 2, 300_000), dovecot.MasterPassword) // the survey, and the first try
	w.importing(exitGood, ": 2 messages", box)
	if r := w.imported()["large"]; r.Size != int64(len(strings.ReplaceAll(whole, "\n", "\r\n"))) {
		t.Errorf("%d bytes are kept", r.Size)
	}
	good(t, os.RemoveAll(w.file("state")))
	w.path("state")
	w.master(cutting(t, server.IMAP, 1000, 300_000), dovecot.MasterPassword)
	w.importing(exitWrong, "message 1 cannot be read", box)
	if diff := cmp.Diff(map[string]string{"small": "imported-delivered"}, events(w.imported())); diff != "" {
		t.Errorf("from a server that always breaks off (-want +got):\n%s", diff)
	}
}
