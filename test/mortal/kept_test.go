package mortal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/pki"
	"github.com/ceralacca/ceralacca/deploy/lab/tsa"
	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// content is what an event is about, of up to 200 KB.
func content(n int) string {
	return fmt.Sprintf("Subject: %d\r\n\r\n%s", n, strings.Repeat("content\r\n", n%97*n%97*2))
}

// Killed a hundred times each while the real queue delivers to it through the real contract, the plug-in conserve loses no
// document, keeps none twice, and leaves no package that is not whole; and sms hands each notice to smstools exactly once, and
// to a gateway exactly once by its id.
func TestShippedModulesAreKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("plug-ins run as another user: it takes root")
	}
	s := newShop(t, moduleFolder(t))
	began := time.Now()
	spool, gateway, kept := newSpooled(s), newGateway(s), newKept(s)
	s.open()
	s.reap()
	t.Logf("killed and told after %s", time.Since(began).Round(time.Second))
	for _, m := range s.modules {
		t.Logf("%s: %d kills, %d calls died, %d answered", m.name, m.kills, m.died.Load(), m.answered.Load())
		if int(m.died.Load()) < m.wanted/2 {
			t.Errorf("%s: only %d calls died in %d kills: too little was tried", m.name, m.died.Load(), m.kills)
		}
	}
	spool.check()
	gateway.check()
	kept.check()
	t.Logf("%d events; all of it took %s", len(s.happens), time.Since(began).Round(time.Second))
}

// rules are those of sms; each notice says how many events it has.
func (s *shop) rules() string {
	path := filepath.Join(s.dir, "rules.json")
	var all []string
	for n := range moduleBoxes {
		all = append(all, fmt.Sprintf(`"m%d@alfa.example": {"numbers": ["+393401%06d"], "daily_cap": 1000, "texts": {"mail": "n={{.Count}}"}}`, n, n))
	}
	if err := os.WriteFile(path, []byte(`{"mailboxes": {`+strings.Join(all, ",")+`}}`), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// quiet waits until a plug-in sms has nothing left to send.
func (s *shop) quiet(state string) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left := 0
		for _, sub := range []string{"in", "out"} {
			files, err := filepath.Glob(filepath.Join(state, sub, "[0-9a-f]*"))
			if err != nil {
				s.t.Fatal(err)
			}
			left += len(files)
		}
		if left == 0 {
			time.Sleep(300 * time.Millisecond) // what was too much would come now
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d files wait in %s for ever", left, state)
		}
	}
}

// counted is how many events a text tells of.
func counted(text string) int {
	_, number, _ := strings.Cut(text, "n=")
	n, _ := strconv.Atoi(strings.TrimSpace(number)) // 0 is found out
	return n
}

// spooled is sms with the spool of smstools, and who takes from it.
type spooled struct {
	*shop
	state, outgoing string
	seen            map[string]bool
	told            int
	end, ended      chan bool
}

func newSpooled(s *shop) *spooled {
	p := &spooled{shop: s, state: filepath.Join(s.dir, "spool-state"), outgoing: filepath.Join(s.dir, "outgoing"), seen: map[string]bool{},
		end: make(chan bool), ended: make(chan bool)}
	staging := filepath.Join(s.dir, "staging")
	own(s.t, p.state, p.outgoing, staging)
	s.add("sms-spool", killsOfModules/2, plugins.KindNotification, map[string]any{"state": p.state, "rules": s.rules(),
		"smstools": map[string]any{"outgoing": p.outgoing, "staging": staging}})
	go func() {
		defer close(p.ended)
		for {
			select {
			case <-p.end:
				return
			case <-time.After(10 * time.Millisecond):
				p.take()
			}
		}
	}()
	return p
}

// take does what smsd does.
func (p *spooled) take() {
	files, _ := os.ReadDir(p.outgoing) // what is missed is found out
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(p.outgoing, f.Name()))
		if err != nil || !strings.HasPrefix(string(text), "To: 393401") || p.seen[f.Name()] {
			p.t.Errorf("%s, which came before: %v: %q, %v", f.Name(), p.seen[f.Name()], text, err)
		}
		p.seen[f.Name()] = true
		p.told += counted(string(text))
		_ = os.Remove(filepath.Join(p.outgoing, f.Name()))
	}
}

func (p *spooled) check() {
	p.t.Helper()
	p.quiet(p.state)
	close(p.end)
	<-p.ended
	p.take()
	p.t.Logf("spool: %d events in %d notices", p.told, len(p.seen))
	if p.told != len(p.happens) {
		p.t.Errorf("the spool: %d events were told, want %d", p.told, len(p.happens))
	}
}

// gateway is sms with a gateway that knows ids.
type gateway struct {
	*shop
	state    string
	mu       sync.Mutex
	texts    map[string]string
	requests int
}

func newGateway(s *shop) *gateway {
	g := &gateway{shop: s, state: filepath.Join(s.dir, "gateway-state"), texts: map[string]string{}}
	own(s.t, g.state)
	server := httptest.NewServer(g)
	s.t.Cleanup(server.Close)
	s.add("sms-gateway", killsOfModules/2, plugins.KindNotification, map[string]any{"state": g.state, "rules": s.rules(),
		"gateway": map[string]any{"url": server.URL, "body": "{to} {text}", "content_type": "text/plain"}})
	return g
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return // half a request is none
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests++
	id := r.Header.Get("Idempotency-Key")
	if before, there := g.texts[id]; id == "" || there && before != string(text) {
		g.t.Errorf("%q is %q, and was %q", id, text, before)
	}
	g.texts[id] = string(text)
}

func (g *gateway) check() {
	g.t.Helper()
	g.quiet(g.state)
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := 0
	for _, text := range g.texts {
		sum += counted(text)
	}
	g.t.Logf("gateway: %d events in %d notices, %d requests", sum, len(g.texts), g.requests)
	if sum != len(g.happens) {
		g.t.Errorf("the gateway: %d events were told, want %d", sum, len(g.happens))
	}
}

// kept is conserve with a directory and a real time stamping authority.
type kept struct {
	*shop
	m             *module
	config, store string
}

func newKept(s *shop) *kept {
	t := s.t
	t.Helper()
	k := &kept{shop: s, config: filepath.Join(s.dir, "conserve.toml"), store: filepath.Join(s.dir, "packages")}
	state, stamps := filepath.Join(s.dir, "keep-state"), filepath.Join(s.dir, "tsa")
	own(t, state, k.store)
	now := time.Now()
	a, err := pki.NewAuthority("Lab CA", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Signing("Alfa S.p.A.", "conserve@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(stamps, 0o755); err != nil {
		t.Fatal(err)
	}
	stamper, err := tsa.New(stamps, now, tsa.Good())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(stamper)
	t.Cleanup(server.Close)
	for name, text := range map[string][]byte{"cert.pem": pair.CertPEM(), "key.pem": key, "ca.pem": a.CertPEM()} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		own(t, path)
	}
	values := map[string]any{"folder": state, "owner": "Alfa S.p.A.", "certificate": filepath.Join(s.dir, "cert.pem"), "key": filepath.Join(s.dir, "key.pem"),
		"signers": filepath.Join(s.dir, "ca.pem"), "stamp_url": server.URL, "stamp_authorities": stamper.CA(), "store_directory": k.store, "delay": "0s"}
	var toml bytes.Buffer
	for name, value := range values {
		fmt.Fprintf(&toml, "%s = %q\n", name, value)
	}
	if err := os.WriteFile(k.config, toml.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	k.m = s.add("conserve", killsOfModules, plugins.KindConservation, values)
	return k
}

// check asks for every document, has every package verified, and compares what the store has with what was verified.
func (k *kept) check() {
	k.t.Helper()
	if i := k.m.Current(); i != nil { // the next process makes packages at once
		_ = syscall.Kill(i.PID(), syscall.SIGKILL) // it may have ended by itself, which is as good
	}
	keeper := host.Conservation{Supervisor: k.m.Supervisor}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		pending := 0
		for _, e := range k.happens {
			state, _, err := keeper.Status(k.t.Context(), e.Key)
			if err == nil && state == plugins.Kept {
				continue
			}
			if err == nil && state != plugins.Pending {
				k.t.Fatalf("%s of %s is lost: %v", e.Key, e.Mailbox, state)
			}
			pending++
			break
		}
		if pending == 0 {
			break
		}
		if time.Now().After(end) {
			k.t.Fatal("documents wait for a package for ever")
		}
	}
	for _, e := range k.happens {
		sum := sha256.New()
		_, found, err := keeper.Exhibit(k.t.Context(), e.Key, sum)
		if want := k.sums[e.Key]; err != nil || !found || !bytes.Equal(sum.Sum(nil), want[:]) {
			k.t.Errorf("%s of %s: found %v, other bytes or %v", e.Key, e.Mailbox, found, err)
		}
	}
	k.verify()
}

// verify has the program verify all packages, which must be all that the store has, with each document once.
func (k *kept) verify() {
	k.t.Helper()
	out, err := exec.CommandContext(k.t.Context(), filepath.Join(k.dir, "conserve"), "verify", "--config", k.config, "--all").CombinedOutput()
	if err != nil {
		k.t.Fatalf("conserve verify: %v\n%.2000s", err, out)
	}
	documents, good := 0, map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, rest, _ := strings.Cut(line, ": good, ")
		n, _, _ := strings.Cut(rest, " ")
		count, err := strconv.Atoi(n)
		if err != nil {
			k.t.Errorf("conserve verify says %q", line)
		}
		documents += count
		good[name] = true
	}
	folders, err := filepath.Glob(filepath.Join(k.store, "*", "*"))
	half, e := filepath.Glob(filepath.Join(k.store, ".work", "*", "*"))
	if err := errors.Join(err, e); err != nil || len(half) > 0 {
		k.t.Errorf("begun packages are left: %v, %v", half, err)
	}
	whole := 0
	for _, folder := range folders {
		name, _ := filepath.Rel(k.store, folder) // both are absolute
		if strings.HasPrefix(name, ".work/") {
			continue
		}
		whole++
		if !good[name] {
			k.t.Errorf("%s is in the store, and in no list", name)
		}
	}
	k.t.Logf("conserve: %d documents in %d packages", documents, len(good))
	if documents != len(k.happens) || whole != len(good) {
		k.t.Errorf("%d documents in %d packages of %d folders, want %d documents", documents, len(good), whole, len(k.happens))
	}
}
