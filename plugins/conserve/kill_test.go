package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/metrics"
	"github.com/ceralacca/ceralacca/plugins/check"
)

// childKey names the variable that makes of this test program one that deposits until it is killed.
const childKey = "CONSERVE_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childKey); text != "" {
		child(text)
		return
	}
	os.Exit(m.Run())
}

// child takes deposits, whose day is long over, and makes packages at the same time; it says which deposits are done.
func child(config string) {
	var s settings
	err := json.Unmarshal([]byte(config), &s)
	if err == nil {
		err = s.check()
	}
	var d *depositor
	if err == nil {
		d, err = open(s, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go func() {
		for {
			_ = d.keeper.Pass(context.Background()) // as the next process would, it tries again
		}
	}()
	for keys := bufio.NewScanner(os.Stdin); keys.Scan(); {
		b := bundle(keys.Text(), "delivered")
		e, err := d.Deposit(context.Background(), b, plugins.NewContent(strings.NewReader(text(b.Key)), b.Size))
		if err != nil || e.Outcome != plugins.Done {
			fmt.Println("error", e, err)
			return
		}
		fmt.Println("done", b.Key)
	}
}

// kills is how often the process is killed.
const kills = 100

// Killed a hundred times at any instant, a plug-in loses nothing that it has answered, keeps nothing twice, and leaves no
// package that does not hold.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.survives(t, kills, w.file("store"))
}

// The same with packages in a bucket, where one goes object by object.
func TestKilledAtAnyInstantWithABucket(t *testing.T) {
	t.Parallel()
	w, server := newBucket(t)
	w.survives(t, kills*3/10, server.Path(prefix))
}

// survives kills, where packages lie below a folder.
func (w *world) survives(t *testing.T, kills int, stored string) {
	w.archived("both", "0")
	config, err := json.Marshal(w.values())
	good(t, err)
	seed := uint64(clock.System{}.Now().UnixNano())
	t.Logf("seed %d", seed)
	random, done, next := rand.New(rand.NewPCG(seed, 0)), map[string]bool{}, 0
	for range kills {
		next = w.killed(string(config), random, done, next)
	}
	if len(done) < kills {
		t.Fatalf("only %d deposits were answered: nothing was tried", len(done))
	}
	d := w.open()
	w.clock.at.Store(clock.System{}.Now().Unix())
	for key := range done { // a host repeats none of these
		if s := w.state(d, key); s != plugins.Pending && s != plugins.Kept {
			t.Errorf("%s was answered and is lost: %v", key, s)
		}
		if w.copy(d, key) != text(key) {
			t.Errorf("%s was answered and is not in the archive", key)
		}
	}
	good(t, d.keeper.Pass(t.Context()))
	seen := map[string]bool{}
	for _, e := range must(d.keeper.Catalogue.Entries(box)) {
		p, found, err := d.store.Package(t.Context(), fmt.Sprintf("%s/%s-%03d", box, e.Day, e.Number))
		if err != nil || !found {
			t.Fatalf("package %d: %v, %v", e.Number, found, err)
		}
		verifier, _, err := d.settings.verifier()
		good(t, err)
		v, err := verifier.Verify(t.Context(), p)
		if err != nil {
			t.Errorf("package %d: %v", e.Number, err)
		}
		for _, f := range v.Index.Files {
			if seen[f.ID] {
				t.Errorf("%s is in two packages", f.ID)
			}
			seen[f.ID] = true
		}
	}
	for key := range done {
		if !seen[key] || w.state(d, key) != plugins.Kept {
			t.Errorf("%s was answered and is in no package", key)
		}
	}
	folders, err := os.ReadDir(filepath.Join(stored, box))
	if err != nil || len(folders) != len(must(d.keeper.Catalogue.Entries(box))) {
		t.Errorf("%d folders in the store, %v", len(folders), err)
	}
	t.Logf("%d deposits, %d packages", len(seen), len(folders))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// killed runs a child for a while and kills it.
func (w *world) killed(config string, random *rand.Rand, done map[string]bool, next int) int {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childKey+"="+config)
	in, err := cmd.StdinPipe()
	good(w.t, err)
	out, err := cmd.StdoutPipe()
	good(w.t, err)
	good(w.t, cmd.Start())
	for range 30 { // the last ones of the child before come again, as from a host that heard no answer
		_, _ = fmt.Fprintf(in, "key-%d\n", max(0, next-3))
		next++
	}
	var timer *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if timer == nil { // it works
			timer = time.AfterFunc(time.Duration(random.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
		key, ok := strings.CutPrefix(lines.Text(), "done ")
		if !ok {
			w.t.Errorf("a child says %q", lines.Text())
		}
		done[key] = done[key] || ok
	}
	_ = cmd.Wait() // it was killed
	return next
}

func (w *world) build() string {
	w.t.Helper()
	if out, err := exec.Command("go", "build", "-o", w.file("conserve"), ".").CombinedOutput(); err != nil {
		w.t.Fatalf("go build: %v, %s", err, out)
	}
	return w.file("conserve")
}

// program builds the plug-in, and gives all that it needs to the user that it will be.
func (w *world) program() (path string, may host.Isolation) {
	w.t.Helper()
	path, may = w.build(), host.Isolation{Network: true}
	if os.Geteuid() != 0 {
		return path, may
	}
	nobody, err := user.Lookup("nobody")
	good(w.t, err)
	may.User = nobody.Username
	w.path("state")
	w.path("store")
	if out, err := exec.Command("chown", "-R", nobody.Uid+":"+nobody.Gid, w.file("state"), w.file("store"), w.file("cert.pem"), w.file("key.pem"), w.file("ca.pem"), w.path("keys")).CombinedOutput(); err != nil {
		w.t.Fatalf("chown: %v, %s", err, out)
	}
	return path, may
}

// The plug-in follows every rule of the contract.
func TestPluginCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path, may := w.program()
	failed, err := check.Run(t.Context(), check.Options{Path: path, Isolation: may, Config: w.values(), Log: slog.New(slog.DiscardHandler)},
		func(l check.Line) { t.Logf("%+v", l) })
	if err != nil || failed != 0 {
		t.Errorf("%d rules fail, %v", failed, err)
	}
}

// values is the configuration as a host has it.
func (w *world) values() map[string]any {
	values := map[string]any{"folder": w.s.Folder, "owner": w.s.Owner, "certificate": w.s.Certificate, "key": w.s.Key, "signers": w.s.Signers,
		"stamp_url": w.s.StampURL, "stamp_authorities": w.s.StampAuthorities, "delay": "0s"}
	if b := w.s.StoreS3; b != nil {
		values["store_s3"] = map[string]any{"endpoint": b.Endpoint, "region": b.Region, "bucket": b.Bucket, "prefix": b.Prefix,
			"access_key_file": b.AccessKeyFile, "secret_key_file": b.SecretKeyFile, "authorities": b.Authorities}
	} else {
		values["store_directory"] = w.s.StoreDirectory
	}
	if w.s.Archive != "" {
		values["archive"], values["archive_directory"] = w.s.Archive, w.s.ArchiveDirectory
	}
	return values
}

// A real host has a message kept, under its own process's loop, in a folder and in a bucket.
func TestUnderAHost(t *testing.T) {
	t.Parallel()
	newWorld(t).worksUnderAHost(t)
	w, _ := newBucket(t)
	w.worksUnderAHost(t)
}

func (w *world) worksUnderAHost(t *testing.T) {
	path, may := w.program()
	start := func() host.Conservation {
		s, err := host.New(t.Context(), host.Options{Name: "conserve", Kind: plugins.KindConservation, Config: w.values(), RunDir: w.path("run"),
			Program:  host.Program{Path: path, Isolation: may},
			Deadline: 30 * time.Second, Concurrency: 8, Clock: clock.System{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: metrics.New()})
		good(t, err)
		t.Cleanup(s.Stop)
		return host.Conservation{Supervisor: s}
	}
	first := start()
	for i := range 5 {
		b := bundle(fmt.Sprint("host-", i), "delivered")
		b.Time = 1e9 // long ago
		e, err := first.Deposit(t.Context(), b, host.Content{ReaderAt: strings.NewReader(text(b.Key)), Size: b.Size})
		if err != nil || e.Outcome != plugins.Done {
			t.Fatalf("Deposit = %+v, %v", e, err)
		}
	}
	second := start() // beside the first, as when the configuration is read again
	first.Stop()
	deadline := clock.System{}.Now().Add(30 * time.Second)
	for i := 0; i < 5; {
		state, _, err := second.Status(t.Context(), fmt.Sprint("host-", i))
		good(t, err)
		if state == plugins.Kept {
			i++
			continue
		}
		if (clock.System{}).Now().After(deadline) {
			t.Fatalf("host-%d is %d after 30 s", i, state)
		}
		good(t, clock.System{}.Sleep(t.Context(), 50*time.Millisecond))
	}
	if w.s.StoreS3 != nil { // who runs the command reads no keys of another user
		if out, err := exec.Command("chown", "-R", fmt.Sprint(os.Geteuid()), w.path("keys")).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v, %s", err, out)
		}
	}
	if out, code := w.command("verify", "--all"); code != exitGood {
		t.Errorf("verify: %d, %s", code, out)
	}
}
