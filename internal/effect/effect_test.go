package effect_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// manual is a clock that stands until it is set.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *manual { return &manual{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)} }

func (m *manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *manual) Sleep(ctx context.Context, d time.Duration) error { return ctx.Err() }

func (m *manual) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

func open(t testing.TB, path string, options ...store.Option) store.Store {
	t.Helper()
	s, err := store.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func register(t testing.TB) (*effect.Register, store.Store, *manual) {
	t.Helper()
	clock := newClock()
	s := open(t, filepath.Join(t.TempDir(), "store"))
	return effect.New(s, clock, nil), s, clock
}

// key is an effect for a recipient of one message.
func key(name, recipient string) effect.Key {
	return effect.Key{Signer: "Alfa", Identifier: "id@alfa.example", Digest: [32]byte{1}, Effect: name, Recipient: recipient}
}

func keys(name string, recipients ...string) []effect.Key {
	var out []effect.Key
	for _, r := range recipients {
		out = append(out, key(name, r))
	}
	return out
}

func claim(t testing.TB, r *effect.Register, keys ...effect.Key) *effect.Claim {
	t.Helper()
	c, err := r.Claim(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func artefact(t testing.TB, keys ...effect.Key) effect.Prepared {
	t.Helper()
	to, err := pec.ParseAddress("anna@beta.example")
	if err != nil {
		t.Fatal(err)
	}
	return effect.Prepared{Keys: keys, Instant: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), MessageID: "<m@alfa.example>",
		Certificate: [32]byte{2}, CMS: []byte{0, 1, 255}, Digest: [32]byte{3}, To: to, Data: []byte("<xml/>")}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares artefacts, whose keys may come in any order.
func same(want, got any) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(pec.Address{}), cmp.Comparer(time.Time.Equal), cmpopts.SortSlices(less))
}

func less(a, b effect.Key) bool { return a.Effect+a.Recipient < b.Effect+b.Recipient }

func TestClaimPartsKeys(t *testing.T) {
	r, _, _ := register(t)
	all := keys("e", "free@x", "done@x", "prepared@x")
	first := claim(t, r, all...)
	if diff := same(all, first.Free); diff != "" || first.Finished != nil || first.Prepared != nil || first.Others != nil {
		t.Fatalf("a first claim: %+v", first)
	}
	want := artefact(t, all[2])
	must(t, first.Prepare(t.Context(), want))
	must(t, first.Done(t.Context(), all[1:2], nil))
	first.Release(t.Context())

	second := claim(t, r, append(all, all...)...)
	if diff := same(all[:1], second.Free); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	if diff := same(all[1:2], second.Finished); diff != "" {
		t.Errorf("finished (-want +got):\n%s", diff)
	}
	if diff := same([]effect.Prepared{want}, second.Prepared); diff != "" {
		t.Errorf("prepared (-want +got):\n%s", diff)
	}
}

func TestHeldClaimTakesNothing(t *testing.T) {
	r, _, _ := register(t)
	first := claim(t, r, key("e", "b@x"))
	_, err := r.Claim(t.Context(), keys("e", "a@x", "b@x", "c@x"))
	e, ok := errors.AsType[*pec.Error](err)
	if !errors.Is(err, effect.ErrHeld) || !ok || e.Kind != pec.ErrorBusy {
		t.Fatalf("Claim of a held key: %v, want ErrHeld of the kind busy", err)
	}
	claim(t, r, keys("e", "a@x", "c@x")...).Release(t.Context())
	first.Release(t.Context())
	claim(t, r, keys("e", "a@x", "b@x", "c@x")...)
}

// A group that was prepared is taken over as a whole, and done as a whole, whoever of it was presented again.
func TestGroupStaysTogether(t *testing.T) {
	r, s, _ := register(t)
	group := keys("take-charge", "a@x", "b@x", "c@x")
	first := claim(t, r, group...)
	must(t, first.Prepare(t.Context(), artefact(t, group...)))
	first.Release(t.Context())

	second := claim(t, r, key("take-charge", "b@x"), key("take-charge", "d@x"))
	if len(second.Prepared) != 1 || len(second.Prepared[0].Keys) != 3 || len(second.Free) != 1 {
		t.Fatalf("claim of one of three: %+v", second)
	}
	if _, err := r.Claim(t.Context(), keys("take-charge", "c@x")); !errors.Is(err, effect.ErrHeld) {
		t.Errorf("Claim of another of the group: %v, want ErrHeld", err)
	}
	must(t, second.Done(t.Context(), keys("take-charge", "b@x"), nil))
	third := claim(t, r, group...)
	if diff := same(group, third.Finished); diff != "" {
		t.Errorf("finished after one of the group was (-want +got):\n%s", diff)
	}
	checkUnfinished(t, s, 0)
}

// A group of which a key is held elsewhere cannot be taken over, and then nothing is.
func TestGroupHeldElsewhere(t *testing.T) {
	r, _, clock := register(t)
	effect.SetLease(r, time.Minute)
	group := keys("take-charge", "a@x", "b@x")
	first := claim(t, r, group...)
	must(t, first.Prepare(t.Context(), artefact(t, group...)))
	clock.pass(2 * time.Minute)
	second := claim(t, r, group[0]) // takes over both
	if _, err := r.Claim(t.Context(), []effect.Key{group[1], key("take-charge", "z@x")}); !errors.Is(err, effect.ErrHeld) {
		t.Errorf("Claim: %v, want ErrHeld", err)
	}
	second.Release(t.Context())
	claim(t, r, key("take-charge", "z@x"), group[1])
}

func TestLostLease(t *testing.T) {
	r, _, clock := register(t)
	effect.SetLease(r, time.Minute)
	k := key("e", "a@x")
	first := claim(t, r, k)
	clock.pass(59 * time.Second)
	must(t, first.Renew())
	clock.pass(59 * time.Second)
	if _, err := r.Claim(t.Context(), []effect.Key{k}); !errors.Is(err, effect.ErrHeld) {
		t.Fatalf("Claim of a renewed lease: %v, want ErrHeld", err)
	}
	clock.pass(2 * time.Second)
	second := claim(t, r, k)
	for name, err := range map[string]error{
		"Renew": first.Renew(), "Prepare": first.Prepare(t.Context(), artefact(t, k)), "Done": first.Done(t.Context(), []effect.Key{k}, nil),
	} {
		if !errors.Is(err, effect.ErrFenced) {
			t.Errorf("%s of a lost claim: %v, want ErrFenced", name, err)
		}
	}
	first.Release(t.Context()) // gives back nothing of the second
	if _, err := r.Claim(t.Context(), []effect.Key{k}); !errors.Is(err, effect.ErrHeld) {
		t.Errorf("Claim after the loser released: %v, want ErrHeld", err)
	}
	must(t, second.Prepare(t.Context(), artefact(t, k)))
	must(t, second.Done(t.Context(), []effect.Key{k}, nil))
}

// Nobody waited for the key: who comes back late still has it.
func TestLateHolder(t *testing.T) {
	r, _, clock := register(t)
	effect.SetLease(r, time.Minute)
	c := claim(t, r, key("e", "a@x"))
	clock.pass(time.Hour)
	must(t, c.Done(t.Context(), keys("e", "a@x"), nil))
}

// Between the check of a claim and its commit the key cannot be taken, however long the commit lasts.
func TestSlowCommitKeepsTheKey(t *testing.T) {
	r, _, clock := register(t)
	effect.SetLease(r, time.Minute)
	k := key("e", "a@x")
	c := claim(t, r, k)
	err := c.Done(t.Context(), []effect.Key{k}, func(store.Tx) error {
		clock.pass(time.Hour)
		if _, err := r.Claim(t.Context(), []effect.Key{k}); !errors.Is(err, effect.ErrHeld) {
			t.Errorf("Claim during the commit: %v, want ErrHeld", err)
		}
		return nil
	})
	must(t, err)
	if again := claim(t, r, k); len(again.Finished) != 1 {
		t.Errorf("the key after the commit: %+v, want it finished", again)
	}
}

func TestDoneIsOneTransaction(t *testing.T) {
	r, s, _ := register(t)
	k := key("e", "a@x")
	c := claim(t, r, k)
	must(t, c.Prepare(t.Context(), artefact(t, k)))
	failure := errors.New("failure")
	write := func(tx store.Tx) error { return tx.Put("log", []byte("k"), nil) }
	err := c.Done(t.Context(), []effect.Key{k}, func(tx store.Tx) error { return errors.Join(write(tx), failure) })
	if !errors.Is(err, failure) {
		t.Errorf("Done whose function fails: %v, want its error", err)
	}
	checkUnfinished(t, s, 1)
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		if _, found := tx.Get("log", []byte("k")); found {
			t.Error("a row of the failed function is there")
		}
		return nil
	}))
	must(t, c.Done(t.Context(), []effect.Key{k}, write))
	checkUnfinished(t, s, 0)
}

// What was handed over is recorded although nobody waits for the answer any more; nothing new is begun.
func TestEndedContext(t *testing.T) {
	r, _, _ := register(t)
	a, b := key("e", "a@x"), key("e", "b@x")
	c := claim(t, r, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Prepare(ctx, artefact(t, a)); !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare: %v, want Canceled", err)
	}
	if _, err := r.Claim(ctx, keys("e", "c@x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Claim: %v, want Canceled", err)
	}
	must(t, c.Done(ctx, []effect.Key{a}, nil))
	c.Release(ctx)
	if again := claim(t, r, a, b, key("e", "c@x")); len(again.Finished) != 1 || len(again.Free) != 2 {
		t.Errorf("afterwards: %+v, want one finished and two free", again)
	}
}

func checkUnfinished(t *testing.T, s store.Store, want int) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		found, err := effect.FindUnfinished(tx, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
		if len(found) != want {
			t.Errorf("%d unfinished effects, want %d", len(found), want)
		}
		return err
	}))
}

func TestFindUnfinished(t *testing.T) {
	r, s, clock := register(t)
	a, b := key("e", "a@x"), key("e", "b@x")
	c := claim(t, r, a, b)
	at := clock.Now()
	must(t, c.Prepare(t.Context(), artefact(t, a)))
	clock.pass(time.Hour)
	must(t, c.Prepare(t.Context(), artefact(t, b)))
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		found, err := effect.FindUnfinished(tx, at.Add(time.Minute))
		if diff := same([]effect.Unfinished{{Prepared: artefact(t, a), Since: at}}, found); diff != "" {
			t.Errorf("prepared before (-want +got):\n%s", diff)
		}
		for _, u := range found {
			want := "The e for a@x was prepared at 2026-11-22T10:00:00Z and is not known to have arrived."
			if got := u.Sentence(); got != want {
				t.Errorf("the sentence is %q, want %q", got, want)
			}
		}
		return err
	}))
}

func TestWrongKeys(t *testing.T) {
	r, _, _ := register(t)
	k := key("e", "a@x")
	c := claim(t, r, k)
	must(t, c.Prepare(t.Context(), artefact(t, k)))
	nul, empty := k, k
	nul.Recipient, empty.Identifier = "a\x00b", ""
	_, nulErr := r.Claim(t.Context(), []effect.Key{nul})
	_, emptyErr := r.Claim(t.Context(), []effect.Key{empty})
	must(t, c.Done(t.Context(), []effect.Key{k}, nil))
	for name, err := range map[string]error{
		"a NUL": nulErr, "no identifier": emptyErr,
		"prepared twice": func() error {
			o := key("e", "twice@x")
			d := claim(t, r, o)
			must(t, d.Prepare(t.Context(), artefact(t, o)))
			return d.Prepare(t.Context(), artefact(t, o))
		}(),
		"twice in one call": func() error {
			o := key("e", "both@x")
			return claim(t, r, o).Prepare(t.Context(), artefact(t, o), artefact(t, o))
		}(),
		"prepare of another": c.Prepare(t.Context(), artefact(t, key("e", "other@x"))),
		"done of another":    c.Done(t.Context(), keys("e", "other@x"), nil),
		"done again":         c.Done(t.Context(), []effect.Key{k}, nil),
	} {
		if !errors.Is(err, effect.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", name, err)
		}
	}
}

// Keys that would be one row if their parts were only joined.
func TestKeysDoNotRunTogether(t *testing.T) {
	r, _, _ := register(t)
	one := effect.Key{Signer: "a", Identifier: "bc", Effect: "d", Recipient: "e"}
	two := effect.Key{Signer: "ab", Identifier: "c", Effect: "d", Recipient: "e"}
	three := effect.Key{Signer: "a", Identifier: "bc", Effect: "de"}
	must(t, claim(t, r, one).Done(t.Context(), []effect.Key{one}, nil))
	if c := claim(t, r, two, three); len(c.Free) != 2 {
		t.Errorf("%d free keys, want 2: %+v", len(c.Free), c)
	}
}

// The first presentation counts, over releases, over runs of the program, and over lost leases.
func TestFirstPresentation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	clock := newClock()
	start := clock.Now()
	k := key("e", "a@x")
	s := open(t, path)
	r := effect.New(s, clock, nil)
	claim(t, r, k).Release(t.Context())
	clock.pass(time.Hour)
	if got := claim(t, r, k).First(k); !got.Equal(start) {
		t.Errorf("first instant at the second presentation: %v, want %v", got, start)
	}
	must(t, s.Close())
	s = open(t, path)
	r = effect.New(s, clock, nil) // the lease of the earlier process is void
	c := claim(t, r, k)
	if got := c.First(k); !got.Equal(start) {
		t.Errorf("first instant in another process: %v, want %v", got, start)
	}
	must(t, c.Prepare(t.Context(), artefact(t, k)))
	clock.pass(time.Hour)
	if got := claim(t, r, k).First(k); !got.Equal(start) {
		t.Errorf("first instant of what is prepared: %v, want %v", got, start)
	}
	other := key("e", "b@x")
	claim(t, r, other)
	lost := clock.Now()
	clock.pass(time.Hour)
	if got := claim(t, r, other).First(other); !got.Equal(lost) {
		t.Errorf("first instant after a lost lease: %v, want %v", got, lost)
	}
}

func TestForgetLeavesNothing(t *testing.T) {
	r, _, clock := register(t)
	k := key("e", "a@x")
	claim(t, r, k).Forget()
	clock.pass(time.Hour)
	if got, want := claim(t, r, k).First(k), clock.Now(); !got.Equal(want) {
		t.Errorf("first instant after Forget: %v, want %v", got, want)
	}
	if known, err := r.Known(t.Context(), k.Signer, k.Identifier); err != nil || known != nil {
		t.Errorf("Known after Forget: %v, %v; want none", known, err)
	}
}

// A lone good path costs two flushes of the disk, and a claim none.
func TestFlushes(t *testing.T) {
	var commits atomic.Int32
	s := open(t, filepath.Join(t.TempDir(), "store"), store.OnCommit(func(int) { commits.Add(1) }))
	r := effect.New(s, newClock(), nil)
	c := claim(t, r, keys("take-charge", "a@x", "b@x")...)
	if got := commits.Load(); got != 0 {
		t.Errorf("a claim made %d commits, want none", got)
	}
	must(t, c.Prepare(t.Context(), artefact(t, c.Free[0]), artefact(t, c.Free[1])))
	must(t, c.Done(t.Context(), c.Free, nil))
	c.Release(t.Context())
	if got := commits.Load(); got != 2 {
		t.Errorf("prepare and done made %d commits, want 2", got)
	}
}

func TestSameIdentifierOtherDigest(t *testing.T) {
	r, _, clock := register(t)
	honest, fake := key("e", "a@x"), key("e", "a@x")
	fake.Digest = [32]byte{9}
	want := []effect.Key{{Signer: honest.Signer, Identifier: honest.Identifier, Digest: honest.Digest}}

	first := claim(t, r, honest)
	clock.pass(time.Second)
	second := claim(t, r, fake)
	if diff := same(want, second.Others); diff != "" {
		t.Errorf("others while the first works (-want +got):\n%s", diff)
	}
	second.Forget()
	first.Release(t.Context())
	clock.pass(time.Second)
	third := claim(t, r, fake)
	if diff := same(want, third.Others); diff != "" {
		t.Errorf("others after the first was only seen (-want +got):\n%s", diff)
	}
	third.Release(t.Context()) // it should have forgotten
	clock.pass(time.Second)
	again := claim(t, r, honest)
	if again.Others != nil {
		t.Errorf("the first of two has others: %v", again.Others)
	}
	must(t, again.Done(t.Context(), []effect.Key{honest}, nil))
	elsewhere := honest
	elsewhere.Signer = "Beta"
	if c := claim(t, r, elsewhere); c.Others != nil {
		t.Errorf("another provider's message has others: %v", c.Others)
	}
	known, err := r.Known(t.Context(), honest.Signer, honest.Identifier)
	if err != nil || !slices.Contains(known, honest.Digest) {
		t.Errorf("Known: %v, %v; want the digest", known, err)
	}
}

// Workers compete for the same keys, some of them with leases that run out: each effect happens once, and what is
// written with it too.
func TestCompetingWorkers(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"))
	clock := newClock()
	r := effect.New(s, clock, nil)
	effect.SetLease(r, time.Minute)
	const messages, workers = 20, 8
	done := make([]atomic.Int32, messages)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := range messages {
				k := key("e", strings.Repeat("a", n+1)+"@x")
				for !attempt(t, r, clock, k, &done[n], worker) {
				}
			}
		})
	}
	group.Wait()
	records := 0
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("log", nil, func(_, _ []byte) error { records++; return nil })
	}))
	for n := range done {
		if got := done[n].Load(); got != 1 {
			t.Errorf("effect %d was recorded %d times, want once", n, got)
		}
	}
	if records != messages {
		t.Errorf("%d records, want %d", records, messages)
	}
	checkUnfinished(t, s, 0)
}

// attempt tries to make an effect happen, and says whether it is done.
func attempt(t *testing.T, r *effect.Register, clock *manual, k effect.Key, done *atomic.Int32, worker int) bool {
	c, err := r.Claim(t.Context(), []effect.Key{k})
	if errors.Is(err, effect.ErrHeld) {
		return false
	}
	must(t, err)
	defer c.Release(t.Context())
	if len(c.Finished) == 1 {
		return true
	}
	if len(c.Prepared) == 0 {
		if err := c.Prepare(t.Context(), artefact(t, k)); err != nil {
			return false
		}
	}
	if worker%3 == 0 {
		clock.pass(2 * time.Minute) // everybody's leases run out
	}
	err = c.Done(t.Context(), []effect.Key{k}, func(tx store.Tx) error {
		_, err := tx.Append("log", []byte(k.Recipient))
		return err
	})
	if err != nil && !errors.Is(err, effect.ErrFenced) {
		t.Error(err)
	}
	if err == nil {
		done.Add(1)
	}
	return err == nil
}

// What is known not to have arrived is free again, with its first instant, and leaves nothing behind.
func TestWithdraw(t *testing.T) {
	r, s, clock := register(t)
	both := keys("delivery", "a@x", "b@x")
	c := claim(t, r, both...)
	first := c.First(both[0])
	if err := c.Withdraw(t.Context(), both[:1]); !errors.Is(err, effect.ErrKey) {
		t.Errorf("withdrawing what is not prepared: got %v, want ErrKey", err)
	}
	must(t, c.Prepare(t.Context(), artefact(t, both...)))
	if !c.IsPrepared(both[1]) {
		t.Error("what was prepared is not")
	}
	must(t, c.Withdraw(t.Context(), both[:1]))
	if c.IsPrepared(both[0]) || c.IsPrepared(both[1]) {
		t.Error("what was withdrawn is prepared")
	}
	c.Release(t.Context())
	clock.pass(time.Hour)
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		left, err := effect.FindUnfinished(tx, clock.Now())
		if len(left) != 0 {
			t.Errorf("unfinished: got %v, want nothing", left)
		}
		return err
	}))
	again := claim(t, r, both...)
	if len(again.Free) != 2 || len(again.Prepared) != 0 || !again.First(both[0]).Equal(first) {
		t.Errorf("after it: got free %v, prepared %v, first %s; want all free since %s", again.Free, again.Prepared, again.First(both[0]), first)
	}
	must(t, again.Prepare(t.Context(), artefact(t, both...)))
	must(t, again.Done(t.Context(), both, nil))
}
