package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/clock"
	"github.com/ceralacca/ceralacca/internal/config"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

func testRecords(t *testing.T) *records {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := &config.Config{}
	c.Provider.Domains = []string{"alfa.example"}
	return newRecords(s, nil, clock.System{}, func() *config.Config { return c })
}

// Questions about a log longer than a page get every record, once and in order.
func TestLogInPages(t *testing.T) {
	for _, records := range []int{0, 1, pageSize - 1, pageSize, pageSize + 1, 2*pageSize + 5} {
		r := testRecords(t)
		err := r.store.Update(t.Context(), func(tx store.Tx) error {
			for n := range records {
				id := pec.Identifier(fmt.Sprintf("id%d@alfa.example", n%2))
				if err := ledger.Append(tx, ledger.Record{Identifier: id, Time: time.Unix(1e9, 0), Event: ledger.EventKept}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]int{"": records, "id0@alfa.example": (records + 1) / 2, "none@alfa.example": 0} {
			got, last := 0, uint64(0)
			err := r.Log(t.Context(), id, func(line json.RawMessage) error {
				var record ledger.Record
				err := json.Unmarshal(line, &record)
				if record.Sequence <= last {
					t.Errorf("record %d comes after %d", record.Sequence, last)
				}
				got, last = got+1, record.Sequence
				return err
			})
			if err != nil || got != want {
				t.Errorf("%d records of %d for %q, %v; want %d", got, records, id, err, want)
			}
		}
	}
}

// What the log says lies in the quarantine lies there, whole, until the log says that it was removed.
func TestAuditLooksIntoTheQuarantine(t *testing.T) {
	conformance.Covers(t, "C067")
	r, state := testRecords(t), t.TempDir()
	r.quarantine = func() *quarantine.Store { return quarantine.In(state) }
	const id = "0123456789abcdef0123456789abcdef"
	at := time.Unix(1e9, 0)
	tell := func(e ledger.Event) {
		t.Helper()
		err := r.store.Update(t.Context(), func(tx store.Tx) error {
			return ledger.Append(tx, ledger.Record{Identifier: "id@alfa.example", Time: at, Event: e, Related: []string{id}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	faults := func(what string, want string) {
		t.Helper()
		got := auditOf(t, r, 0)
		if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || !got[0].Fault || got[0].Rule != 8 || !strings.Contains(got[0].Text, want)) {
			t.Errorf("%s: %+v, want one fault with %q", what, got, want)
		}
	}
	if _, err := r.quarantine().Put(quarantine.Entry{ID: id, Time: at}, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }); err != nil {
		t.Fatal(err)
	}
	tell(ledger.EventQuarantined)
	faults("all is there", "")
	file := filepath.Join(r.quarantine().Folder(), id)
	if err := os.WriteFile(file+".eml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	faults("a message that was cut", "0 bytes, and 1")
	if err := errors.Join(os.Remove(file+".eml"), os.Remove(file+".json")); err != nil {
		t.Fatal(err)
	}
	faults("a message that is gone", "no such message")
	tell(ledger.EventQuarantineRemoved)
	faults("one that was removed in time", "")
}

// An effect that was prepared and never done is a fault, once it is older than the grace.
func TestAuditFindsTheUnfinished(t *testing.T) {
	r := testRecords(t)
	key := effect.Key{Signer: "Alfa", Identifier: "id@alfa.example", Effect: "outcome", Recipient: "mario@alfa.example"}
	claim, err := effect.New(r.store, r.clock, nil).Claim(t.Context(), []effect.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Prepare(t.Context(), effect.Prepared{Keys: []effect.Key{key}}); err != nil {
		t.Fatal(err)
	}
	if got := auditOf(t, r, time.Hour); got != nil {
		t.Errorf("within the grace: %+v, want nothing", got)
	}
	got := auditOf(t, r, 0)
	if len(got) != 1 || !got[0].Fault || got[0].Identifier != "id@alfa.example" || !strings.Contains(got[0].Text, "outcome for mario@") {
		t.Errorf("after it: %+v, want one fault about the outcome", got)
	}
	if err := claim.Done(context.Background(), []effect.Key{key}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ledger.Finding(nil), auditOf(t, r, 0)); diff != "" {
		t.Errorf("when done (-want +got):\n%s", diff)
	}
}

func auditOf(t *testing.T, r *records, grace time.Duration) []ledger.Finding {
	t.Helper()
	var findings []ledger.Finding
	err := r.Audit(t.Context(), grace, func(line json.RawMessage) error {
		var f ledger.Finding
		err := json.Unmarshal(line, &f)
		findings = append(findings, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return findings
}
