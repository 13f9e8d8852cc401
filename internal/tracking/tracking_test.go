package tracking_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

var options = cmp.Options{cmp.AllowUnexported(pec.Address{}), cmp.Comparer(time.Time.Equal)}

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func address(t testing.TB, s string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func open(t testing.TB) store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func update(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func fact(t testing.TB, kind tracking.FactKind, recipient string, hour int) tracking.Fact {
	return tracking.Fact{Sender: "Alfa", Identifier: "id@alfa.example", Recipient: address(t, recipient), Kind: kind,
		Time: start.Add(time.Duration(hour) * time.Hour), Provider: fmt.Sprint("P", hour), MessageID: fmt.Sprintf("<%d@p>", hour)}
}

// The first final fact stands; what says the opposite is told, what says the same again is not.
func TestFirstFinalFactWins(t *testing.T) {
	type step struct {
		fact        tracking.Fact
		contradicts int // the hour of the fact that is returned, or -1
	}
	taken := func(hour int) tracking.Fact { return fact(t, tracking.Taken, "anna@beta.example", hour) }
	delivered := func(hour int) tracking.Fact { return fact(t, tracking.Delivered, "Anna@beta.example", hour) }
	refused := func(hour int) tracking.Fact { return fact(t, tracking.NotDelivered, "anna@BETA.example", hour) }
	for name, test := range map[string]struct {
		steps        []step
		taken, final int // the hours of what stands, or -1
	}{
		"in order":         {[]step{{taken(1), -1}, {delivered(2), -1}}, 1, 2},
		"out of order":     {[]step{{refused(2), -1}, {taken(1), -1}}, 1, 2},
		"the same again":   {[]step{{delivered(1), -1}, {delivered(2), -1}, {taken(3), -1}, {taken(4), -1}}, 3, 1},
		"not, then yes":    {[]step{{refused(1), -1}, {delivered(2), 1}, {refused(3), -1}}, -1, 1},
		"yes, then no":     {[]step{{delivered(1), -1}, {refused(2), 1}, {refused(3), 1}}, -1, 1},
		"nothing is known": {nil, -1, -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for _, step := range test.steps {
				update(t, s, func(tx store.Tx) error {
					got, err := tracking.Record(tx, step.fact)
					if hour := hourOf(got); hour != step.contradicts {
						t.Errorf("%s at %v contradicts that of hour %d, want %d", step.fact.Kind, step.fact.Time, hour, step.contradicts)
					}
					return err
				})
			}
			err := s.View(t.Context(), func(tx store.Tx) error {
				state, err := tracking.Outcome(tx, "Alfa", "id@alfa.example", address(t, "ANNA@beta.example"))
				if hourOf(state.Taken) != test.taken || hourOf(state.Final) != test.final {
					t.Errorf("taken at hour %d, final at %d; want %d and %d", hourOf(state.Taken), hourOf(state.Final), test.taken, test.final)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func hourOf(f *tracking.Fact) int {
	if f == nil {
		return -1
	}
	return int(f.Time.Sub(start).Hours())
}

func TestFactComesBack(t *testing.T) {
	s := open(t)
	want := fact(t, tracking.Delivered, "anna@beta.example", 3)
	update(t, s, func(tx store.Tx) error { _, err := tracking.Record(tx, want); return err })
	update(t, s, func(tx store.Tx) error {
		state, err := tracking.Outcome(tx, want.Sender, want.Identifier, want.Recipient)
		if diff := cmp.Diff(tracking.State{Final: &want}, state, options); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		other, _ := tracking.Outcome(tx, want.Sender, "other@alfa.example", want.Recipient)
		if other != (tracking.State{}) {
			t.Errorf("another message has a state: %+v", other)
		}
		return err
	})
}

func TestIncompleteFact(t *testing.T) {
	s := open(t)
	for name, spoil := range map[string]func(*tracking.Fact){
		"identifier": func(f *tracking.Fact) { f.Identifier = "" },
		"recipient":  func(f *tracking.Fact) { f.Recipient = pec.Address{} },
		"time":       func(f *tracking.Fact) { f.Time = time.Time{} },
		"kind":       func(f *tracking.Fact) { f.Kind = "maybe" },
	} {
		f := fact(t, tracking.Taken, "anna@beta.example", 1)
		spoil(&f)
		err := s.Update(t.Context(), func(tx store.Tx) error { _, err := tracking.Record(tx, f); return err })
		if !errors.Is(err, tracking.ErrFact) {
			t.Errorf("a fact with a wrong %s: %v, want ErrFact", name, err)
		}
	}
}

func TestSubmission(t *testing.T) {
	s := open(t)
	empty := ""
	want := tracking.Submission{Identifier: "id@alfa.example", Sender: address(t, "Mario@alfa.example"),
		Recipients: []pec.Recipient{{Address: address(t, "anna@beta.example"), Type: pec.Certified},
			{Address: address(t, "joe@gamma.example"), Type: pec.Ordinary}},
		Subject: &empty, MessageID: "<m@client>", ReplyTo: "reply@x", Receipt: pec.ReceiptConcise, Time: start}
	second := want
	second.Identifier, second.Subject = "other@alfa.example", nil
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tracking.PutSubmission(tx, "t1", want), tracking.PutSubmission(tx, "t1", second), tracking.PutSubmission(tx, "t2", second))
	})
	update(t, s, func(tx store.Tx) error {
		for id, want := range map[string]tracking.Submission{"t1": want, "t2": second} {
			got, found, err := tracking.GetSubmission(tx, id)
			if diff := cmp.Diff(want, got, options); diff != "" || !found || err != nil {
				t.Errorf("submission %s: found %v, %v (-want +got):\n%s", id, found, err, diff)
			}
		}
		if _, found, err := tracking.GetSubmission(tx, "t"); found || err != nil {
			t.Errorf("an unknown transaction: %v, %v", found, err)
		}
		return nil
	})
}

func due(t testing.TB, id string, hour int) tracking.Due {
	return tracking.Due{ID: id, Identifier: "id@alfa.example", Kind: pec.KindDelivery, To: address(t, "Mario@alfa.example"),
		File: id + ".eml", Since: start, Next: start.Add(time.Duration(hour) * time.Hour), Attempts: 2, LastError: "552 5.2.2 full",
		Data: []byte{1}}
}

func ids(list []tracking.Due) string {
	var out []string
	for _, d := range list {
		out = append(out, d.ID)
	}
	return strings.Join(out, " ")
}

func TestDue(t *testing.T) {
	s := open(t)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tracking.PutDue(tx, due(t, "c", 3)), tracking.PutDue(tx, due(t, "a", 1)),
			tracking.PutDue(tx, due(t, "b", 2)), tracking.PutDue(tx, due(t, "b2", 2)))
	})
	check := func(hour, limit int, want string) {
		t.Helper()
		update(t, s, func(tx store.Tx) error {
			got, err := tracking.DueBefore(tx, start.Add(time.Duration(hour)*time.Hour), limit)
			if ids(got) != want {
				t.Errorf("due at hour %d, at most %d: %q, want %q", hour, limit, ids(got), want)
			}
			return err
		})
	}
	check(0, 10, "")
	check(2, 10, "a b b2")
	check(9, 2, "a b")
	update(t, s, func(tx store.Tx) error {
		got, found, err := tracking.GetDue(tx, "b")
		if diff := cmp.Diff(due(t, "b", 2), got, options); diff != "" || !found || err != nil {
			t.Errorf("GetDue: found %v, %v (-want +got):\n%s", found, err, diff)
		}
		later, given := due(t, "a", 8), due(t, "b", 2)
		given.GaveUp = true
		return errors.Join(tracking.PutDue(tx, later), tracking.PutDue(tx, given), tracking.DeleteDue(tx, "b2"), tracking.DeleteDue(tx, "none"))
	})
	check(9, 10, "c a")
	var all []tracking.Due
	update(t, s, func(tx store.Tx) error {
		return tracking.Undelivered(tx, func(d tracking.Due) error { all = append(all, d); return nil })
	})
	if got := ids(all); got != "a b c" || !all[1].GaveUp {
		t.Errorf("undelivered: %s, given up %v; want a b c, of which b is given up", got, all)
	}
}

func TestIncompleteDue(t *testing.T) {
	s := open(t)
	for name, spoil := range map[string]func(*tracking.Due){
		"id":   func(d *tracking.Due) { d.ID = "" },
		"to":   func(d *tracking.Due) { d.To = pec.Address{} },
		"next": func(d *tracking.Due) { d.Next = time.Time{} },
	} {
		d := due(t, "a", 1)
		spoil(&d)
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tracking.PutDue(tx, d) }); !errors.Is(err, tracking.ErrDue) {
			t.Errorf("without %s: %v, want ErrDue", name, err)
		}
	}
}

func TestDueForOperators(t *testing.T) {
	got, err := json.Marshal(due(t, "a", 1))
	want := `{"id":"a","identifier":"id@alfa.example","kind":"avvenuta-consegna","to":"Mario@alfa.example","file":"a.eml",` +
		`"since":"2026-11-22T10:00:00Z","next":"2026-11-22T11:00:00Z","attempts":2,"last_error":"552 5.2.2 full"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
