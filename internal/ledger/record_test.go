package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

var equalAddresses = cmp.AllowUnexported(pec.Address{})

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

// instant is in summer, so that legal time is two hours ahead.
var instant = time.Date(2026, 7, 1, 22, 30, 15, 0, time.UTC)

func full(t testing.TB) ledger.Record {
	return ledger.Record{
		Identifier: "0123456789abcdef0123456789abcdef@alfa.example", Time: instant, Sender: address(t, "Mario@alfa.example"),
		Recipients: []pec.Recipient{{Address: address(t, "anna@beta.example"), Type: pec.Certified},
			{Address: address(t, "joe@gamma.example"), Type: pec.Ordinary}},
		Subject: "Perché <no>", Event: ledger.EventTakeCharge, Related: []string{"<a@b>", "<c@d>"}, Provider: "Alfa S.p.A.",
		Effect: "take-charge", QueueID: "4XyZ", Covered: []pec.Address{address(t, "anna@beta.example")},
		Kind: pec.KindTakeCharge, Reference: "<original@client>", Detail: "detail",
		Scan: transaction.Scan{Verdict: transaction.ScanInfected, Virus: "Eicar", Engine: "ClamAV 1.4.3", Signatures: "27812"},
	}
}

func appendAll(t testing.TB, s store.Store, records ...ledger.Record) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, r := range records {
			if err := ledger.Append(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, s store.Store, id pec.Identifier) []ledger.Record {
	t.Helper()
	var records []ledger.Record
	err := s.View(t.Context(), func(tx store.Tx) error {
		return ledger.Read(tx, id, func(r ledger.Record) error { records = append(records, r); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestRecordComesBack(t *testing.T) {
	conformance.Covers(t, "C241")
	s := open(t)
	want := full(t)
	appendAll(t, s, want)
	want.Sequence = 1
	got := read(t, s, want.Identifier)
	if diff := cmp.Diff([]ledger.Record{want}, got, equalAddresses, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

func TestRecordForPrograms(t *testing.T) {
	conformance.Covers(t, "C241", "C243")
	for name, test := range map[string]struct {
		record ledger.Record
		want   string
	}{
		"full": {full(t), `{"identifier":"0123456789abcdef0123456789abcdef@alfa.example","time":"2026-07-02T00:30:15+02:00",` +
			`"sender":"Mario@alfa.example","recipients":[{"address":"anna@beta.example","type":"certificato"},` +
			`{"address":"joe@gamma.example","type":"esterno"}],"subject":"Perché \u003cno\u003e","event":"take-charge",` +
			`"related":["\u003ca@b\u003e","\u003cc@d\u003e"],"provider":"Alfa S.p.A.","effect":"take-charge","queue_id":"4XyZ",` +
			`"covered":["anna@beta.example"],"kind":"presa-in-carico","reference":"\u003coriginal@client\u003e","detail":"detail","scan":{"verdict":"infected","virus":"Eicar","engine":"ClamAV 1.4.3","signatures":"27812"}}`},
		"the eight fields are always there": {
			ledger.Record{Identifier: "x@y.example", Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Event: ledger.EventKept},
			`{"identifier":"x@y.example","time":"2026-01-01T01:00:00+01:00","sender":"","recipients":[],"subject":"",` +
				`"event":"kept","related":[],"provider":"","effect":"","queue_id":""}`},
	} {
		got, err := json.Marshal(test.record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadByIdentifier(t *testing.T) {
	s := open(t)
	for n := range 30 {
		r := full(t)
		r.Identifier, r.Detail = pec.Identifier(fmt.Sprintf("id%d@a.example", n%3)), fmt.Sprint(n)
		appendAll(t, s, r)
	}
	longer := full(t)
	longer.Identifier = "id1@a.example.org" // begins like another
	appendAll(t, s, longer)
	got := read(t, s, "id1@a.example")
	if len(got) != 10 {
		t.Fatalf("%d records of one identifier, want 10", len(got))
	}
	for n, r := range got {
		if want := fmt.Sprint(3*n + 1); r.Detail != want || r.Sequence != uint64(3*n+2) {
			t.Errorf("record %d is %s with number %d, want %s", n, r.Detail, r.Sequence, want)
		}
	}
	if all := read(t, s, ""); len(all) != 31 {
		t.Errorf("%d records in all, want 31", len(all))
	}
	if none := read(t, s, "id1@a"); none != nil {
		t.Errorf("records of an unknown identifier: %v", none)
	}
}

func TestReadFrom(t *testing.T) {
	s := open(t)
	appendAll(t, s, full(t), full(t), full(t))
	enough := errors.New("enough")
	var got []uint64
	err := s.View(t.Context(), func(tx store.Tx) error {
		return ledger.ReadFrom(tx, 2, func(r ledger.Record) error { got = append(got, r.Sequence); return enough })
	})
	if !errors.Is(err, enough) || !cmp.Equal(got, []uint64{2}) {
		t.Errorf("read %v, error %v; want [2] and the error of the function", got, err)
	}
}

func TestIncompleteRecord(t *testing.T) {
	s := open(t)
	for name, spoil := range map[string]func(*ledger.Record){
		"no identifier": func(r *ledger.Record) { r.Identifier = "" },
		"no event":      func(r *ledger.Record) { r.Event = "" },
		"no time":       func(r *ledger.Record) { r.Time = time.Time{} },
		"a NUL":         func(r *ledger.Record) { r.Identifier = "a\x00b@c.example" },
	} {
		r := full(t)
		spoil(&r)
		err := s.Update(t.Context(), func(tx store.Tx) error { return ledger.Append(tx, r) })
		if !errors.Is(err, ledger.ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
	if got := read(t, s, ""); got != nil {
		t.Errorf("incomplete records are in the log: %v", got)
	}
}

// An update that fails leaves no record: the log says only what has happened.
func TestRecordGoesWithItsTransaction(t *testing.T) {
	s := open(t)
	failure := errors.New("failure")
	err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(ledger.Append(tx, full(t)), failure) })
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if got := read(t, s, full(t).Identifier); got != nil {
		t.Errorf("records: %v, want none", got)
	}
}

func FuzzRecord(f *testing.F) {
	good, err := json.Marshal(full(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"time":"2026-01-01T01:00:00+01:00"}`))
	for _, at := range []string{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00", "0026-07-06T23:20:11+00:49"} {
		f.Add([]byte(`{"time":"` + at + `","event":"accepted","identifier":"x"}`))
	}
	f.Add([]byte(`{"time":"x"}`))
	f.Add([]byte(`{"time":"2026-01-01T01:00:00+01:00","covered":["a@b@c"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r ledger.Record
		if json.Unmarshal(data, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var again ledger.Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("a second pass gives %s, want %s; %v", second, first, err)
		}
	})
}
