package tracking_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

func watch(id string, hour int) tracking.Watch {
	return tracking.Watch{Transaction: id, Sent: start, Due: start.Add(time.Duration(hour) * time.Hour)}
}

// Watches come in the order in which they are due, are replaced as a whole, and are counted.
func TestWatches(t *testing.T) {
	s := open(t)
	check := func(hour, limit, count int, want ...tracking.Watch) {
		t.Helper()
		update(t, s, func(tx store.Tx) error {
			got, err := tracking.WatchesDue(tx, start.Add(time.Duration(hour)*time.Hour), limit)
			if diff := cmp.Diff(want, got, options); diff != "" || tracking.Watched(tx) != count {
				t.Errorf("due at hour %d, at most %d (-want +got):\n%s; %d in all, want %d", hour, limit, diff, tracking.Watched(tx), count)
			}
			first, found, failed := tracking.FirstDue(tx)
			if found != (count > 0) || len(want) > 0 && !cmp.Equal(first, want[0], options) {
				t.Errorf("the first is %+v, %v", first, found)
			}
			return errors.Join(err, failed)
		})
	}
	check(99, 9, 0)
	for _, w := range []tracking.Watch{watch("b", 12), watch("a", 13), watch("c", 11), watch("b", 12)} {
		update(t, s, func(tx store.Tx) error { return tracking.PutWatch(tx, w) })
	}
	check(10, 9, 3)
	check(12, 9, 3, watch("c", 11), watch("b", 12))
	check(99, 1, 3, watch("c", 11))
	moved := watch("b", 23)
	moved.Last, moved.PutOff = true, true
	update(t, s, func(tx store.Tx) error { return tracking.MoveWatch(tx, watch("b", 12), moved) })
	update(t, s, func(tx store.Tx) error { return tracking.MoveWatch(tx, watch("b", 12), watch("b", 30)) }) // not there any more
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tracking.EndWatch(tx, watch("c", 11)), tracking.EndWatch(tx, watch("c", 11)))
	})
	check(99, 9, 2, watch("a", 13), moved)
	var got []tracking.Watch
	update(t, s, func(tx store.Tx) error {
		got = nil
		return tracking.WatchesFrom(tx, watch("a", 14), func(w tracking.Watch) error { got = append(got, w); return nil })
	})
	if diff := cmp.Diff([]tracking.Watch{moved}, got, options); diff != "" {
		t.Errorf("from the second on (-want +got):\n%s", diff)
	}
	// A transaction that fails leaves neither rows nor a count.
	_ = s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tracking.PutWatch(tx, watch("z", 1)), errors.New("no"))
	})
	check(99, 9, 2, watch("a", 13), moved)
}

func TestIncompleteWatch(t *testing.T) {
	s := open(t)
	for name, w := range map[string]tracking.Watch{"transaction": watch("", 1), "due": {Transaction: "a", Sent: start}, "sent": {Transaction: "a", Due: start}} {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tracking.PutWatch(tx, w) }); !errors.Is(err, tracking.ErrWatch) {
			t.Errorf("without %s: %v, want ErrWatch", name, err)
		}
	}
}

// What is open of a message, and which notice comes next, by what is known of each recipient.
func TestOpenRecipients(t *testing.T) {
	s := open(t)
	anna, bruno, carla := address(t, "anna@beta.example"), address(t, "bruno@beta.example"), address(t, "carla@beta.example")
	sub := tracking.Submission{Identifier: "id@alfa.example", Sender: address(t, "mario@alfa.example"), Time: start, Recipients: []pec.Recipient{
		{Address: anna, Type: pec.Certified}, {Address: address(t, "Anna@beta.example"), Type: pec.Certified}, {Address: bruno, Type: pec.Certified},
		{Address: carla, Type: pec.Certified}, {Address: address(t, "joe@x.example"), Type: pec.Ordinary}}}
	first, last := watch("t", 12), watch("t", 23)
	last.Last = true
	update(t, s, func(tx store.Tx) error {
		_, taken := tracking.Record(tx, fact(t, tracking.Taken, bruno.String(), 1))
		_, final := tracking.Record(tx, fact(t, tracking.Delivered, carla.String(), 2))
		return errors.Join(taken, final, tracking.PutSubmission(tx, "t", sub))
	})
	at := start.Add(time.Hour)
	limit := start.Add(23*time.Hour + 15*time.Minute)
	open := func(to string, taken *time.Time, notice string, next time.Time) tracking.Open {
		return tracking.Open{Identifier: "id@alfa.example", Transaction: "t", Sender: "mario@alfa.example", Recipient: to, Since: start,
			Taken: taken, Notice: notice, Next: next}
	}
	for _, test := range []struct {
		watch tracking.Watch
		want  []tracking.Open
	}{
		{first, []tracking.Open{open("anna@beta.example", nil, "12h", first.Due), open("bruno@beta.example", &at, "24h", limit)}},
		{last, []tracking.Open{open("anna@beta.example", nil, "24h", last.Due), open("bruno@beta.example", &at, "24h", last.Due)}},
	} {
		update(t, s, func(tx store.Tx) error {
			got, err := tracking.OpenOf(tx, "Alfa", test.watch)
			if diff := cmp.Diff(test.want, got, options); diff != "" {
				t.Errorf("of %+v (-want +got):\n%s", test.watch, diff)
			}
			return err
		})
	}
	err := s.View(t.Context(), func(tx store.Tx) error { _, err := tracking.OpenOf(tx, "Alfa", watch("none", 1)); return err })
	if !errors.Is(err, store.ErrRow) {
		t.Errorf("a watch of nothing: %v, want ErrRow", err)
	}
}
