package transaction

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/secret"
	"github.com/ceralacca/ceralacca/pec"
)

const testID = "00112233445566778899aabbccddeeff"

func testKey(t testing.TB, letter string) Key {
	t.Helper()
	key, err := NewKey([]byte(strings.Repeat(letter, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func address(t testing.TB, text string) pec.Address {
	t.Helper()
	a, err := pec.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func testRecord(t testing.TB) *Record {
	t.Helper()
	return &Record{
		Version: Version, Point: PointIncoming, Verdict: VerdictAnomaly, Reason: "unknown-signer",
		Detail: "perché \"<sì>\"\r\n", ID: testID, Identifier: "abc.def@beta.example",
		Instant: time.Date(2026, 11, 22, 16, 8, 27, 123456789, time.UTC),
		Sender:  address(t, "Anna@alfa.example"), Recipients: []pec.Address{address(t, "Bruno@beta.example")},
		Signer: "Beta S.p.A.", SignerCert: [32]byte{1, 2}, Kind: pec.KindTransport, Login: "anna", Client: "192.0.2.1",
		Digest: [32]byte{9, 8, 7}, Subject: "città", HasSubject: true, MessageID: "<x@y>",
		Scan: Scan{Verdict: ScanEncrypted, Engine: "ClamAV 1.4", Signatures: "27000"},
	}
}

var records = cmp.Options{cmp.Comparer(func(a, b pec.Address) bool { return a == b }), cmpopts.EquateEmpty()}

func seal(t testing.TB, k Key, r *Record) []pec.Field {
	t.Helper()
	fields, err := k.Seal(r)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestARecordComesBackAsItWas(t *testing.T) {
	key := testKey(t, "k")
	many := testRecord(t)
	for i := range 5000 {
		many.Recipients = append(many.Recipients, address(t, fmt.Sprintf("somebody.with.a.name.%d@beta.example", i)))
	}
	submission := testRecord(t)
	submission.Point, submission.Verdict, submission.Types = PointSubmission, VerdictEnvelope, []pec.RecipientType{pec.Ordinary}
	null := testRecord(t)
	null.Sender, null.Subject, null.HasSubject, null.SignerCert = pec.Address{}, "", false, [32]byte{}
	empty := testRecord(t)
	empty.Subject = ""
	for name, r := range map[string]*Record{
		"one": testRecord(t), "5000 recipients": many, "submission": submission, "null sender": null, "empty subject": empty,
	} {
		fields := seal(t, key, r)
		got, rest, err := key.Open(fields)
		if err != nil {
			t.Fatalf("%s: Open: %v", name, err)
		}
		if diff := cmp.Diff(r, got, records); diff != "" {
			t.Errorf("%s: the record changed (-sealed +opened):\n%s", name, diff)
		}
		if len(rest) != 0 {
			t.Errorf("%s: rest = %v, want nothing", name, rest)
		}
	}
}

// The limits of the mail system: lines of 78 characters, and Postfix cuts a field at 60,000 bytes without a word.
func TestFieldsAreFoldedAndSplit(t *testing.T) {
	r := testRecord(t)
	for range 5000 {
		r.Recipients = append(r.Recipients, address(t, "somebody.with.a.name@beta.example"))
	}
	fields := seal(t, testKey(t, "k"), r)
	if len(fields) < 5 {
		t.Errorf("%d fields for 5001 recipients, want several", len(fields))
	}
	for i, field := range fields {
		if field.Name != FieldName || !strings.HasPrefix(field.Value, fmt.Sprintf(" %d/%d;\r\n ", i+1, len(fields))) {
			t.Errorf("field %d begins with %s:%.20q", i, field.Name, field.Value)
		}
		if len(field.Value) > 33_000 {
			t.Errorf("field %d has %d bytes, want at most 33000", i, len(field.Value))
		}
		for _, line := range strings.Split(field.Name+":"+field.Value, "\r\n") {
			if len(line) > 78 || strings.TrimSpace(line) == "" {
				t.Fatalf("field %d has the line %q", i, line)
			}
		}
	}
}

func TestOpenTakesOursOutAndKeepsTheRest(t *testing.T) {
	key := testKey(t, "k")
	fields := seal(t, key, testRecord(t))
	// As it comes from a queue file: folded otherwise, the name in other letters.
	fields[0].Name = strings.ToUpper(FieldName)
	fields[0].Value = strings.ReplaceAll(fields[0].Value, "\r\n ", "\n\t")
	top := pec.Header{{Name: "Return-Path", Value: " <>"}, {Name: "Received", Value: " by here"}}
	below := pec.Header{{Name: "Received", Value: " by there"}, {Name: "From", Value: " a"}, {Name: "from", Value: " b"}}
	_, rest, err := key.Open(slices.Concat(top, fields, below))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Concat(top, below), rest); diff != "" {
		t.Errorf("rest (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(below, Following(slices.Concat(top, fields, below))); diff != "" {
		t.Errorf("Following (-want +got):\n%s", diff)
	}
}

func TestOpenRefusesWhatTheMilterDidNotWrite(t *testing.T) {
	key := testKey(t, "k")
	r := testRecord(t)
	for i := range 2000 {
		r.Recipients = append(r.Recipients, address(t, fmt.Sprintf("somebody.with.a.name.%d@beta.example", i)))
	}
	good := seal(t, key, r)
	if len(good) < 3 {
		t.Fatalf("%d fields, the test needs three", len(good))
	}
	one := seal(t, key, testRecord(t))
	foreign := pec.Field{Name: "Subject", Value: " x"}
	flipped := slices.Clone(one)
	i := strings.LastIndex(flipped[0].Value, "\r\n ") + 3
	flipped[0].Value = flipped[0].Value[:i] + "////" + flipped[0].Value[i+4:]
	tests := []struct {
		name   string
		header pec.Header
		want   error
	}{
		{"nothing", nil, ErrNone},
		{"no field of ours", pec.Header{foreign}, ErrNone},
		{"another key", seal(t, testKey(t, "x"), testRecord(t)), ErrForged},
		{"a changed byte", flipped, ErrForged},
		{"a field missing at the end", good[:len(good)-1], ErrForged},
		{"a field missing at the beginning", good[1:], ErrForged},
		{"fields swapped", pec.Header{good[1], good[0], good[2]}, ErrForged},
		{"a field twice", slices.Concat(one, one), ErrForged},
		{"two records", slices.Concat(one, good), ErrForged},
		{"a foreign field within", slices.Concat(good[:1], pec.Header{foreign}, good[1:]), ErrForged},
		{"a second field far below", slices.Concat(one, pec.Header{foreign}, one), ErrForged},
		{"an empty field", pec.Header{{Name: FieldName}}, ErrForged},
		{"no number", pec.Header{{Name: FieldName, Value: " YWJj"}}, ErrForged},
		{"not base64", pec.Header{{Name: FieldName, Value: " 1/1; !!!"}}, ErrForged},
		{"too short", pec.Header{{Name: FieldName, Value: " 1/1; YWJj"}}, ErrForged},
		{"too many fields", slices.Repeat(pec.Header{one[0]}, 101), ErrForged},
		{"a field on top that nobody vouches for", slices.Concat(pec.Header{foreign}, one), ErrUncovered},
		{"a record of a later version", pec.Header{sealedText(key, `{"v":2,"surprise":1}`)}, ErrVersion},
	}
	for _, test := range tests {
		got, rest, err := key.Open(test.header)
		if !errors.Is(err, test.want) || got != nil || rest != nil {
			t.Errorf("%s: Open = %v, %v, %v; want the error %v", test.name, got, rest, err, test.want)
		}
	}
}

// sealedText is a genuine field with any text in it.
func sealedText(k Key, text string) pec.Field {
	raw := append(k.mac(purposeRecord, []byte(text)), text...)
	return pec.Field{Name: FieldName, Value: " 1/1; " + base64.StdEncoding.EncodeToString(raw)}
}

// A record that is genuine but makes no sense is neither forged nor believed: the fault is ours.
func TestOpenDoesNotBelieveARecordWithoutSense(t *testing.T) {
	key := testKey(t, "k")
	for _, text := range []string{
		``, `null`, `{"v":1}`, `{"v":1,"point":"submission"}`, `{"v":1,"to":7}`,
		strings.Replace(goodText(t), `"Anna@alfa.example"`, `"nobody"`, 1),
		strings.Replace(goodText(t), `"Bruno@beta.example"`, `""`, 1),
		strings.Replace(goodText(t), testID, "x", 1),
		strings.Replace(goodText(t), `"digest":"09`, `"digest":"9`, 1),
		strings.Replace(goodText(t), `"cert":"01`, `"cert":"zz`, 1),
	} {
		_, _, err := key.Open(pec.Header{sealedText(key, text)})
		if err == nil || errors.Is(err, ErrForged) || errors.Is(err, ErrNone) {
			t.Errorf("Open of the genuine text %q: %v; want an error of its own", text, err)
		}
	}
}

func goodText(t testing.TB) string {
	t.Helper()
	text, err := encode(testRecord(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSealRefusesARecordWithoutSense(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"no point":                       func(r *Record) { r.Point = "" },
		"no verdict":                     func(r *Record) { r.Verdict = "" },
		"verdict of the other point":     func(r *Record) { r.Verdict = VerdictEnvelope },
		"no id":                          func(r *Record) { r.ID = "" },
		"an id in capitals":              func(r *Record) { r.ID = strings.ToUpper(testID) },
		"no instant":                     func(r *Record) { r.Instant = time.Time{} },
		"no recipient":                   func(r *Record) { r.Recipients = nil },
		"a virus without a name":         func(r *Record) { r.Verdict, r.Scan = VerdictVirus, Scan{Verdict: ScanInfected} },
		"a virus that passes":            func(r *Record) { r.Scan = Scan{Verdict: ScanInfected, Virus: "Eicar"} },
		"types that match no recipients": func(r *Record) { r.Types = []pec.RecipientType{pec.Certified, pec.Certified} },
		"a record beyond all measure":    func(r *Record) { r.Detail = strings.Repeat("x", 3_000_000) },
	} {
		r := testRecord(t)
		change(r)
		if fields, err := testKey(t, "k").Seal(r); err == nil {
			t.Errorf("Seal of a record with %s = %d fields, want an error", name, len(fields))
		}
	}
}

// The digest, seen from outside: printf 'From: a\r\nTo: b\r\n c\r\n\r\nbody\r\n' | sha256sum.
func TestDigestCoversHeaderEmptyLineAndBody(t *testing.T) {
	header := pec.Header{{Name: "From", Value: " a"}, {Name: "To", Value: " b\r\n c"}}
	const want = "8333c07656c19e3a0d56f1bb05d313c793719bad176f5989cf678f49665f0bf1"
	got, err := Digest(header, pec.Bytes([]byte("body\r\n")))
	if err != nil || fmt.Sprintf("%x", got) != want {
		t.Errorf("Digest = %x, %v; want %s", got, err, want)
	}
	digest := NewDigest(header)
	if _, err := digest.Write([]byte("body\r\n")); err != nil {
		t.Fatal(err)
	}
	if streamed := fmt.Sprintf("%x", digest.Sum(nil)); streamed != want {
		t.Errorf("NewDigest = %s, want %s", streamed, want)
	}
}

func TestEnvelopeID(t *testing.T) {
	key := testKey(t, "k")
	envid := key.EnvelopeID(testID)
	if len(envid) > 100 || strings.Trim(envid, "0123456789abcdef.") != "" {
		t.Errorf("EnvelopeID = %q: longer than 100, or it needs encoding", envid)
	}
	for _, good := range []string{envid, strings.ToUpper(envid)} {
		if id, ok := key.CheckEnvelopeID(good); !ok || id != testID {
			t.Errorf("CheckEnvelopeID(%q) = %q, %v; want %q", good, id, ok, testID)
		}
	}
	other := "f" + testID[1:]
	for name, bad := range map[string]string{
		"nothing": "", "the id alone": testID, "another key": testKey(t, "x").EnvelopeID(testID),
		"another id": other + envid[32:], "cut": envid[:len(envid)-1], "longer": envid + "0",
		"a proof made for a record": testID + "." + fmt.Sprintf("%x", key.mac(purposeRecord, []byte(testID)))[:32],
	} {
		if id, ok := key.CheckEnvelopeID(bad); ok || id != "" {
			t.Errorf("CheckEnvelopeID of %s = %q, %v; want false", name, id, ok)
		}
	}
}

func TestLoadKey(t *testing.T) {
	write := func(content string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("k", 32)
	key, err := LoadKey(write(long+"\n", 0o600))
	if err != nil || key.EnvelopeID(testID) != testKey(t, "k").EnvelopeID(testID) {
		t.Errorf("LoadKey = %v; want the key without its line end", err)
	}
	if _, err := LoadKey(write(long, 0o644)); !errors.Is(err, secret.ErrMode) {
		t.Errorf("LoadKey of a file open to all: %v; want %v", err, secret.ErrMode)
	}
	for _, short := range []string{"\n", long[1:], long[1:] + "\n"} {
		if _, err := LoadKey(write(short, 0o600)); err == nil {
			t.Errorf("LoadKey of %d bytes: no error", len(short))
		}
	}
}

func TestAKeyIsNotPrinted(t *testing.T) {
	var log strings.Builder
	key := testKey(t, "k")
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "keys", []Key{key})
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x %d", key, key, key, key, key, key, key), log.String()} {
		if strings.Contains(text, "kkkk") || strings.Contains(text, "6b6b") || strings.Contains(text, "107 107") {
			t.Errorf("the key is in %q", text)
		}
	}
}

// Ids are in the order of the seconds, and of one second they differ by what was drawn, whatever the clock says. [C032]
func TestNewID(t *testing.T) {
	conformance.Covers(t, "C032")
	at := time.Unix(0x6a1b2c3d, 999).In(time.FixedZone("", 3600))
	id := NewID(at, [11]byte{0: 0xab, 10: 1})
	if got := hex.EncodeToString(id[:]); got != "006a1b2c3dab00000000000000000001" {
		t.Errorf("got %s", got)
	}
	if later := NewID(at.Add(time.Second), [11]byte{}); bytes.Compare(id[:], later[:]) >= 0 {
		t.Errorf("%x is not before %x", id, later)
	}
	for i := range 11 {
		random := [11]byte{0: 0xab, 10: 1}
		random[i] ^= 0xff
		if NewID(at, random) == id {
			t.Errorf("byte %d of what was drawn is not in the id", i)
		}
	}
}
