package transaction

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ceralacca/ceralacca/pec"
)

// FuzzOpen: two fields and anything on top never panic, and what opens seals to the same again.
func FuzzOpen(f *testing.F) {
	key := testKey(f, "k")
	good := seal(f, key, testRecord(f))
	f.Add("Received", FieldName, good[0].Value, "Subject", " x")
	f.Add("X", FieldName, good[0].Value, FieldName, good[0].Value)
	f.Add("Received", FieldName, " 1/2;\r\n AAAA", FieldName, " 2/2;\r\n ====")
	f.Fuzz(func(t *testing.T, top, name1, value1, name2, value2 string) {
		header := pec.Header{{Name: top}, {Name: name1, Value: value1}, {Name: name2, Value: value2}}
		r, rest, err := key.Open(header)
		if err != nil {
			if r != nil || rest != nil {
				t.Errorf("an error and a result: %v", err)
			}
			return
		}
		if len(rest) >= len(header) {
			t.Errorf("rest still has %d fields", len(rest))
		}
		again, _, err := key.Open(seal(t, key, r))
		if err != nil || !cmp.Equal(r, again, records) {
			t.Errorf("sealed again it is another record: %v", err)
		}
	})
}

// FuzzDecode: a genuine record is trusted, but a fault of ours must be an error, not a panic.
func FuzzDecode(f *testing.F) {
	f.Add(goodText(f))
	f.Add(`{"v":1,"to":[""],"digest":"00"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := decode([]byte(text))
		if err == nil && r.check() != nil {
			t.Errorf("decode returned a record without sense: %+v", r)
		}
	})
}
