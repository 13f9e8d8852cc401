package property

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	steps = flag.Int("steps", 1_000_000, "how many random steps TestNothingVanishesNothingHappensTwice takes")
	seed  = flag.Uint64("seed", 1, "of the first walk; each walk has the next one")
	walk  = flag.String("walk", "", "a file with one step a line, instead of random ones")
)

// long is how many steps a walk has before all comes to its end.
const long = 400

// random is the walk of a seed.
func random(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 4))
	all := make([]step, 0, long)
	if seed%2 == 1 {
		all = append(all, step{opCrowd, 0, 0})
	}
	favoured := 0 // one presentation goes on for a while, so that the others are overtaken far
	for len(all) < long {
		if r.IntN(12) == 0 {
			favoured = r.IntN(6)
		}
		s := step{op: opGo, a: favoured, b: r.IntN(64)}
		switch n := r.IntN(1000); {
		case n < 90:
			s.op, s.a = opPresent, r.IntN(5)
		case n < 98:
			s.op = opKill
		case n < 118:
			s.op = opHours
		case n < 150:
			s.op = opDovecot
		case n < 165:
			s.op = opOut
		case n < 173:
			s.op = opBlind
		case n < 183:
			s.op = opDisk
		case n < 203:
			s.op = opNotice
		case n < 213:
			s.op = opBounce
		}
		all = append(all, s)
	}
	return all
}

// play takes a walk and returns what must not be, empty when all is well.
func play(t testing.TB, dir string, list []step, how ways) (violated string) {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "walk")
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(dir, how)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, s := range w.running {
			s.stop()
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir) // the next walk has another one
	}()
	for _, s := range list {
		if w.do(s); w.violated != "" {
			return w.violated
		}
	}
	w.settle()
	return w.violated
}

// memory is a folder that costs no disk.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "property")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// short is the shortest walk found that fails, as -walk reads it.
func short(t testing.TB, dir string, list []step, how ways) []step {
	return Shrink(list, func(l []step) bool { return play(t, dir, l, how) != "" }, simpler, 3000)
}

func simpler(s step) (forms []step) {
	if s.a != 0 || s.b != 0 {
		forms = append(forms, step{s.op, 0, 0})
	}
	if s.b != 0 {
		forms = append(forms, step{s.op, s.a, 0})
	}
	if s.a != 0 {
		forms = append(forms, step{s.op, 0, s.b})
	}
	return forms
}

func lines(list []step) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// Random transactions, faults, deaths and orders of arrival are held against a model: an effect happens once, the
// acceptance before all others; no receipt lies; the first final fact stands, and nothing is issued against it; what is
// answered 250 is written; nothing vanishes; the audit of the log finds no fault. What fails is shown as a short walk:
//
//	go test ./test/property -run Vanishes -walk FILE
func TestNothingVanishesNothingHappensTwice(t *testing.T) {
	dir := memory(t)
	if *walk != "" {
		replay(t, dir)
		return
	}
	var next, taken atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for taken.Load() < int64(*steps) && !t.Failed() {
				n := *seed + uint64(next.Add(1)) - 1
				list := random(n)
				if violated := play(t, dir, list, ways{}); violated != "" {
					list = short(t, dir, list, ways{})
					t.Errorf("seed %d: %s\nshortest walk: %s\n%s", n, violated, play(t, dir, list, ways{}), lines(list))
				}
				taken.Add(int64(len(list)))
			}
		})
	}
	running.Wait()
	t.Logf("%d steps in %d walks", taken.Load(), next.Load())
}

func replay(t *testing.T, dir string) {
	data, err := os.ReadFile(*walk)
	if err != nil {
		t.Fatal(err)
	}
	var list []step
	for line := range strings.Lines(string(data)) {
		var s step
		if _, err := fmt.Sscan(line, &s.op, &s.a, &s.b); err != nil {
			t.Fatalf("%s: %q is no step: %v", *walk, line, err)
		}
		list = append(list, s)
	}
	if violated := play(t, dir, list, ways{}); violated != "" {
		t.Error(violated)
	}
}

// Each seeded fault is found within some walks, and shown as a short one that does no harm without the fault.
func TestSeededFaultsAreFound(t *testing.T) {
	for _, test := range []struct {
		name string
		how  ways
		want string // within what must not be
	}{
		{"a later fact wins", ways{laterFactWins: true}, "another fact"},
		{"done before the hand-over", ways{doneBeforeHandOver: true}, ""},
		{"claims do not see each other", ways{claimsBlind: true}, ""},
		{"nobody looks before repeating", ways{noLook: true}, "in the mailbox twice"},
		{"answered before it is written", ways{answersEarly: true}, "250 too early"},
		{"what is known is not asked", ways{forgetsFacts: true}, ""},
		{"accepted late", ways{acceptsLate: true}, "before the acceptance"},
		{"composed anew", ways{composesAnew: true}, ""},
		{"a lost claim goes on", ways{notFenced: true}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := memory(t)
			for n := range uint64(400) {
				list := random(n)
				if play(t, dir, list, test.how) == "" {
					continue
				}
				list = short(t, dir, list, test.how)
				violated := play(t, dir, list, test.how)
				t.Logf("seed %d, %d steps: %s\n%s", n, len(list), violated, lines(list))
				if !strings.Contains(violated, test.want) {
					t.Errorf("found %q, want %q", violated, test.want)
				}
				if len(list) > 40 {
					t.Errorf("%d steps are left, want 40 at most", len(list))
				}
				if harm := play(t, dir, list, ways{}); harm != "" {
					t.Errorf("the walk fails without the fault too: %s", harm)
				}
				return
			}
			t.Error("400 walks did not find it")
		})
	}
}
