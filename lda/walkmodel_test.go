package lda

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/signer"
	"github.com/ceralacca/ceralacca/test/property"
)

// read is what an arrival says of itself; its signature verifies.
type arrived struct {
	digest [32]byte
	data   *pec.CertData // nil of an anomaly envelope
}

func readArrival(text []byte) (*arrived, error) {
	s, err := signer.Open(pec.Bytes(text))
	if err != nil {
		return nil, err
	}
	parts, err := pec.ReadParts(s.Content)
	if err != nil || parts.CertData == nil {
		return &arrived{digest: s.Digest}, err
	}
	data, err := pec.ParseCertData(parts.CertData)
	return &arrived{s.Digest, data}, err
}

// truth is what lies in people's hands, in the order in which it came there.
type truth struct {
	copies    map[string]int                 // by mailbox and digest
	contents  map[string][32]byte            // certified under an identifier
	delivered map[string]bool                // identifier and mailbox
	told      map[string]map[string][32]byte // by identifier and recipient: kind and digest
	accepted  map[string]bool                // identifiers
	toldFirst map[string]bool                // a notice came when nothing else was known
}

func newTruth() *truth {
	return &truth{copies: map[string]int{}, contents: map[string][32]byte{}, delivered: map[string]bool{},
		told: map[string]map[string][32]byte{}, accepted: map[string]bool{}, toldFirst: map[string]bool{}}
}

// look judges what has arrived since.
func (w *walker) look() {
	w.boxes.mu.Lock()
	list := w.boxes.arrivals
	w.boxes.arrivals = nil
	w.boxes.mu.Unlock()
	for _, a := range list {
		read, err := readArrival(a.text)
		if err != nil {
			w.violate("what arrived does not open: %v", err)
			return
		}
		w.judge(a.place, read)
	}
}

func (w *walker) judge(place string, a *arrived) {
	if place != "" {
		if key := place + string(a.digest[:]); w.truth.copies[key] > 0 {
			w.violate("in the mailbox twice: %s", place)
		} else {
			w.truth.copies[key]++
		}
	}
	if a.data == nil || a.data.Kind != pec.KindTransport && a.data.Provider != w.alfa.provider.Name {
		return // an anomaly envelope, or what another provider certifies
	}
	id := string(a.data.Identifier)
	if a.data.Kind == pec.KindAcceptance {
		w.truth.accepted[id] = true
	} else if strings.HasSuffix(id, "@alfa.example") && !w.truth.accepted[id] && !w.waitsAside(a.data.Identifier, pec.KindAcceptance) {
		w.violate("before the acceptance: %s", a.data.Kind)
	}
	switch a.data.Kind {
	case pec.KindTransport:
		w.judgeDelivery(place, id, a)
	case pec.KindTakeCharge:
		for _, r := range a.data.Taken {
			w.judgeTold(id, r.String(), "taken", a)
		}
	case pec.KindTimeout:
		notice := timeoutFirst
		if strings.Contains(a.data.Detail, lastCode) {
			notice = timeoutLast
		}
		w.judgeTold(id, a.data.Delivery.String(), notice, a)
	case pec.KindDelivery, pec.KindNonDelivery:
		w.judgeTold(id, a.data.Delivery.String(), string(a.data.Kind), a)
		w.judgeOutcome(id, a)
	}
}

func (w *walker) judgeDelivery(place, id string, a *arrived) {
	if other, seen := w.truth.contents[id]; seen && other != a.digest {
		w.violate("two contents delivered under one identifier")
	}
	w.truth.contents[id] = a.digest
	w.truth.delivered[id+" "+place] = true
	if _, told := w.truth.told[id+" "+place][string(pec.KindNonDelivery)]; told {
		w.violate("delivered after the sender was told that it is not: %s", place)
	}
}

// judgeTold holds every artefact about a recipient to the first of its kind.
func (w *walker) judgeTold(id, recipient, kind string, a *arrived) {
	key := id + " " + recipient
	if w.truth.told[key] == nil {
		w.truth.told[key] = map[string][32]byte{}
	}
	if first, seen := w.truth.told[key][kind]; seen && first != a.digest {
		w.violate("made twice: %s for %s", kind, recipient)
	}
	w.truth.told[key][kind] = a.digest
}

func (w *walker) judgeOutcome(id string, a *arrived) {
	recipient := a.data.Delivery.String()
	told := w.truth.told[id+" "+recipient]
	if _, yes := told[string(pec.KindDelivery)]; yes {
		if _, no := told[string(pec.KindNonDelivery)]; no {
			w.violate("receipt and notice for %s", recipient)
		}
	}
	has := !slices.ContainsFunc(placesFor(recipient), func(box string) bool { return !w.truth.delivered[id+" "+box] })
	if a.data.Kind == pec.KindDelivery && !has {
		w.violate("a receipt that lies: %s has nothing", recipient)
	}
	if a.data.Kind == pec.KindNonDelivery && has {
		w.violate("a notice that lies: %s has the message", recipient)
	}
	if a.data.Kind == pec.KindNonDelivery {
		w.truth.toldFirst[id+" "+recipient] = true
	}
}

// placesFor are the mailboxes of an address. The rule for aliases stands here and nowhere else in the model: an alias has
// the message when all of them have it.
func placesFor(recipient string) []string {
	if recipient == info {
		return []string{mario, luigi}
	}
	return []string{recipient}
}

// waitsAside says whether a notification stands in a row that waits for its mailbox.
func (w *walker) waitsAside(id pec.Identifier, kind pec.Kind) (found bool) {
	w.view(func(tx store.Tx) error {
		return tracking.Undelivered(tx, func(d tracking.Due) error {
			found = found || d.Identifier == id && d.Kind == kind
			return nil
		})
	})
	return found
}

func (w *walker) view(fn func(store.Tx) error) {
	if err := w.disk.View(w.t.Context(), fn); err != nil {
		w.violate("the store does not read: %v", err)
	}
}

// answered looks, at a 250, whether what Postfix forgets now is written.
func (w *walker) answered(n int, r recipient) {
	q := w.mail[n]
	if q.record == nil || q.record.Verdict != transaction.VerdictEnvelope && q.record.Verdict != transaction.VerdictValidEnvelope {
		return
	}
	if strings.HasSuffix(r.raw, internal) || w.isAnomaly(n) {
		return
	}
	if w.final(q.record.Identifier, r.original) == "" {
		w.violate("250 too early: nothing is written of %s", r.original)
	}
}

// isAnomaly says whether a message has the identifier of one with other content, that came before.
func (w *walker) isAnomaly(n int) bool {
	q := w.mail[n]
	known, err := w.agent.o.Register.Known(w.t.Context(), w.senderOf(q.record.Identifier), string(q.record.Identifier))
	if err != nil {
		w.violate("the store does not read: %v", err)
	}
	return !slices.Contains(known, q.content)
}

func (w *walker) final(id pec.Identifier, recipient pec.Address) (kind tracking.FactKind) {
	w.view(func(tx store.Tx) error {
		s, err := tracking.Outcome(tx, w.senderOf(id), id, recipient)
		if s.Final != nil {
			kind = s.Final.Kind
		}
		return err
	})
	return kind
}

// settle lets all end without faults, and says what is missing.
func (w *walker) settle() {
	w.killIn, w.life.fails = 0, false
	w.boxes.mu.Lock()
	w.boxes.dovecot, w.boxes.out, w.boxes.blind = handTakes, handTakes, false
	w.boxes.mu.Unlock()
	for round := 0; round < 5 && w.violated == ""; round++ {
		w.clock.pass(20 * time.Minute)
		for n := range w.mail {
			if w.waiting[n] != nil {
				w.present(n, 0)
			}
		}
		w.clock.pass(6 * time.Hour)
		w.retry()
		w.look()
	}
	for n, waits := range w.waiting {
		if slices.Contains(waits, true) {
			w.violate("never answered: %s %v", w.mail[n].name, waits)
		}
	}
	if w.violated == "" {
		w.complete()
	}
}

// complete holds the end against the model: nothing is unfinished, whoever has a message or has not was certified to, and
// the log agrees with itself.
func (w *walker) complete() {
	for n, q := range w.mail {
		if w.waiting[n] == nil || q.record == nil || q.record.Kind != pec.KindTransport && q.name != "submission" || w.isAnomaly(n) {
			continue
		}
		for _, r := range q.recipients {
			w.certified(q, r.original)
		}
		if n == 0 {
			w.watched(q, addr(w.t, anna))
		}
	}
	w.view(func(tx store.Tx) error {
		unfinished, err := effect.FindUnfinished(tx, w.clock.Now().Add(time.Hour))
		for _, u := range unfinished {
			w.violate("unfinished: %s", u.Sentence())
		}
		if err != nil {
			return err
		}
		if err := tracking.Undelivered(tx, func(d tracking.Due) error {
			w.violate("still waits: %s for %s", d.Kind, d.To)
			return nil
		}); err != nil {
			return err
		}
		ours := func(domain string) bool { return domain == "alfa.example" }
		findings, err := ledger.Audit{Ours: ours, Settled: w.clock.Now(), Now: w.clock.Now()}.Run(tx)
		for _, f := range findings {
			if f.Fault && !w.writtenLate(f) {
				w.violate("the audit: rule %d: %s", f.Rule, f.Text)
			}
		}
		return err
	})
}

// The two time notices, as kinds of their own.
const timeoutFirst, timeoutLast = string(pec.KindTimeout) + " 12 h", string(pec.KindTimeout) + " 24 h"

// watched asks, more than a day later, that a recipient of another provider has an outcome, or that the sender was told that
// none came; the rest of it is for the audit. Nobody waits any more.
func (w *walker) watched(q queuedMail, recipient pec.Address) {
	w.view(func(tx store.Tx) error {
		return tracking.WatchesFrom(tx, tracking.Watch{}, func(one tracking.Watch) error {
			if one.Transaction == q.record.ID {
				w.violate("still watched after a day: %+v", one)
			}
			return nil
		})
	})
	_, told := w.truth.told[string(q.record.Identifier)+" "+recipient.String()][timeoutLast]
	if w.final(q.record.Identifier, recipient) == "" && !told {
		w.violate("vanished: nothing is known of %s, and the sender was not told", recipient)
	}
}

// certified looks for the outcome of a recipient of ours, in the hands of who is to be told.
func (w *walker) certified(q queuedMail, recipient pec.Address) {
	if strings.HasSuffix(recipient.String(), internal) {
		return
	}
	kind := string(pec.KindDelivery)
	if w.final(q.record.Identifier, recipient) == tracking.NotDelivered {
		kind = string(pec.KindNonDelivery)
	}
	told := w.truth.told[string(q.record.Identifier)+" "+recipient.String()]
	for _, want := range []string{kind, "taken"} {
		if _, there := told[want]; !there {
			w.violate("nobody was told of %s of %s: %s, there is %d", recipient, q.name, want, len(told))
		}
	}
}

// writtenLate knows the finding that is no fault: our notice arrived first and was written last, see package property.
func (w *walker) writtenLate(f ledger.Finding) bool {
	return f.Text == "The sender was told that "+anna+" has no message, after its provider had said that it has." &&
		w.truth.toldFirst[string(f.Identifier)+" "+anna]
}

// randomWalk is the walk of a seed.
func randomWalk(seed uint64) []walkStep {
	r := rand.New(rand.NewPCG(seed, 9))
	var all []walkStep
	if seed%4 == 3 { // of every fourth the sender hears what the clocks tell him, and nothing else
		all = append(all, walkStep{"silent", 0, 0})
	}
	for range 30 {
		s := walkStep{"present", r.IntN(9), r.IntN(32)}
		switch n := r.IntN(100); {
		case n < 20:
			s = walkStep{"kill", r.IntN(24), 0}
		case n < 32:
			s = walkStep{"dovecot", r.IntN(5), 0}
		case n < 38:
			s = walkStep{"out", r.IntN(5), 0}
		case n < 41:
			s = walkStep{"blind", 0, 0}
		case n < 46:
			s = walkStep{"disk", 0, 0}
		case n < 50:
			s = walkStep{"hours", r.IntN(6), r.IntN(2)}
		case n < 54:
			s = walkStep{"retry", 0, 0}
		case n < 55:
			s = walkStep{"reload", 0, 0}
		case n < 58:
			s = walkStep{"again", r.IntN(9), 0}
		}
		all = append(all, s)
	}
	return all
}

func (s *stage) play(dir string, list []walkStep, ways walkWays) string {
	dir, err := os.MkdirTemp(dir, "w")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // the next walk has another one
	w := s.newWalker(dir, ways)
	defer w.end()
	for _, step := range list {
		if w.do(step); w.violated != "" {
			return w.violated
		}
	}
	w.settle()
	return w.violated
}

// shortWalk shows the shortest walk found that fails.
func (s *stage) shortWalk(dir string, list []walkStep, ways walkWays) []walkStep {
	simpler := func(one walkStep) (forms []walkStep) {
		if one.a != 0 || one.b != 0 {
			forms = append(forms, walkStep{one.op, one.a, 0}, walkStep{one.op, 0, 0})
		}
		return forms
	}
	return property.Shrink(list, func(l []walkStep) bool { return s.play(dir, l, ways) != "" }, simpler, 400)
}

func walkText(list []walkStep) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// walkSteps is how many random steps a run takes; LDA_WALK_STEPS asks for more, LDA_WALK names a file with one walk.
const walkSteps = 12_000

func walkFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "walk")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Random presentations, faults of Dovecot, of the outbound instance and of the disk, deaths at every point, notifications
// of another provider, bounces and reloads, through the whole agent, are held against what people have in their hands:
// nothing arrives twice, nothing lies, nothing contradicts, the acceptance is first, 250 means written, all ends with an
// outcome, and the audit of the log is clean.
func TestWalksThroughTheAgent(t *testing.T) {
	t.Parallel()
	dir := walkFolder(t)
	if file := os.Getenv("LDA_WALK"); file != "" {
		var list []walkStep
		for line := range strings.Lines(string(must(os.ReadFile(file))(t))) {
			var s walkStep
			if _, err := fmt.Sscan(line, &s.op, &s.a, &s.b); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			list = append(list, s)
		}
		if violated := newStage(t).play(dir, list, walkWays{}); violated != "" {
			t.Error(violated)
		}
		return
	}
	steps := int64(walkSteps)
	if raced {
		steps = 300 // enough to see goroutines meet
	}
	if text := os.Getenv("LDA_WALK_STEPS"); text != "" {
		must(fmt.Sscan(text, &steps))(t)
	}
	var next, taken atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		s := newStage(t)
		running.Go(func() {
			for taken.Load() < steps && !t.Failed() {
				n := uint64(next.Add(1))
				list := randomWalk(n)
				if violated := s.play(dir, list, walkWays{}); violated != "" {
					list = s.shortWalk(dir, list, walkWays{})
					t.Errorf("seed %d: %s\nshortest walk: %s\n%s", n, violated, s.play(dir, list, walkWays{}), walkText(list))
				}
				taken.Add(int64(len(list)))
			}
		})
	}
	running.Wait()
	t.Logf("%d steps in %d walks", taken.Load(), next.Load())
}

// Each seeded fault is found, and shown as a short walk that does no harm without it.
func TestWalksFindSeededFaults(t *testing.T) {
	if raced {
		t.Skip("it asks nothing of goroutines")
	}
	t.Parallel()
	s := newStage(t)
	for name, test := range map[string]struct {
		ways walkWays
		want string
	}{
		"nobody looks before repeating": {walkWays{noLook: true}, "in the mailbox twice"},
		"a commit is lost":              {walkWays{losesCommit: true}, ""},
		"receipts vanish on their way":  {walkWays{seesNothing: true}, "nobody was told"},
		"nobody looks at the clocks":    {walkWays{noClocks: true}, "still watched"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := walkFolder(t)
			for n := range uint64(200) {
				list := randomWalk(n)
				if s.play(dir, list, test.ways) == "" {
					continue
				}
				list = s.shortWalk(dir, list, test.ways)
				violated := s.play(dir, list, test.ways)
				t.Logf("seed %d, %d steps: %s\n%s", n, len(list), violated, walkText(list))
				if !strings.Contains(violated, test.want) || len(list) > 10 {
					t.Errorf("found %q in %d steps, want %q in 10 at most", violated, len(list), test.want)
				}
				if harm := s.play(dir, list, walkWays{}); harm != "" {
					t.Errorf("the walk fails without the fault too: %s", harm)
				}
				return
			}
			t.Error("200 walks did not find it")
		})
	}
}

// Walks that failed once, when the agent was wrong.
func TestWalksThatFailedOnce(t *testing.T) {
	s := newStage(t)
	for name, list := range map[string][]walkStep{
		// A bounce was interrupted while its notice was handed over, and the recipient's provider certified an outcome before
		// it came again: what was prepared stayed so.
		"a notice that did not arrive":       {{"present", 0, 0}, {"dovecot", int(handDies), 0}, {"present", 4, 0}, {"present", 7, 0}},
		"a notice whose answer was lost":     {{"present", 0, 0}, {"dovecot", int(handTakesAndDies), 0}, {"present", 4, 0}, {"present", 6, 0}},
		"the agent died before the notice":   {{"present", 0, 0}, {"kill", 7, 0}, {"present", 4, 0}, {"present", 7, 0}},
		"a virus notice in the meantime":     {{"present", 0, 0}, {"dovecot", int(handDies), 0}, {"present", 4, 0}, {"present", 8, 0}},
		"nobody could look for it at first":  {{"present", 0, 0}, {"dovecot", int(handDies), 0}, {"present", 4, 0}, {"present", 6, 0}, {"blind", 0, 0}, {"present", 4, 0}},
		"the virus notice came interrupted":  {{"present", 0, 0}, {"dovecot", int(handDies), 0}, {"present", 8, 0}, {"present", 4, 0}},
		"the virus notice came, then it too": {{"present", 0, 0}, {"dovecot", int(handTakesAndDies), 0}, {"present", 8, 0}, {"present", 4, 0}},
	} {
		if violated := s.play(walkFolder(t), list, walkWays{}); violated != "" {
			t.Errorf("%s: %s", name, violated)
		}
	}
}
