package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/pec"
)

// Messages without an outcome are listed once each, in the order of their notices, also when they are more than a page.
func TestPendingInPages(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for _, n := range []int{0, 1, pageSize, pageSize + 1, 2*pageSize + 3} {
		r := testRecords(t)
		err := r.store.Update(t.Context(), func(tx store.Tx) error {
			for i := range n {
				if err := putPending(tx, fmt.Sprintf("t%05d", n-i), now.Add(-time.Duration(i)*time.Second)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for older, want := range map[time.Duration]int{0: n, 10 * time.Second: max(n-10, 0), time.Hour * 24: 0} {
			got, before := 0, time.Time{}
			err := r.Pending(t.Context(), older, func(line json.RawMessage) error {
				var o tracking.Open
				err := json.Unmarshal(line, &o)
				if o.Next.Before(before) {
					t.Errorf("%s comes after %s", o.Next, before)
				}
				got, before = got+1, o.Next
				return err
			})
			if err != nil || got < want || got > want+10 { // seconds pass in a test
				t.Errorf("%d of %d older than %s, %v; want %d", got, n, older, err, want)
			}
		}
	}
}

func putPending(tx store.Tx, transaction string, sent time.Time) error {
	mario, err := pec.ParseAddress("mario@alfa.example")
	if err != nil {
		return err
	}
	return errors.Join(
		tracking.PutSubmission(tx, transaction, tracking.Submission{Identifier: pec.Identifier(transaction + "@alfa.example"), Sender: mario,
			Recipients: []pec.Recipient{{Address: mario, Type: pec.Certified}}, Time: sent}),
		tracking.PutWatch(tx, tracking.Watch{Transaction: transaction, Sent: sent, Due: sent.Add(12 * time.Hour)}))
}
