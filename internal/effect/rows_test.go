package effect

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/pec"
)

// What stands in the store may be damaged: nothing that decodes differs from what would be written again.
func FuzzArtefact(f *testing.F) {
	to, err := pec.ParseAddress("anna@beta.example")
	if err != nil {
		f.Fatal(err)
	}
	row, err := store.Encode(artefactRow{Keys: []Key{{Signer: "Alfa", Identifier: "i@a", Effect: "e"}}, At: time.Unix(1, 2),
		Instant: time.Unix(3, 4), MessageID: "<m@a>", CMS: []byte{1}, To: to.String(), Data: []byte("d")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add([]byte("\x01{}"))
	f.Add([]byte("\x01{\"to\":\"a@b@c\"}"))
	f.Add([]byte("\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, at, err := decodeArtefact(data)
		if err != nil {
			if !errors.Is(err, store.ErrRow) {
				t.Errorf("decodeArtefact: %v, want ErrRow", err)
			}
			return
		}
		tx := &capture{}
		if _, err := writeArtefact(tx, p, at); err != nil {
			t.Fatalf("what was decoded cannot be written: %v", err)
		}
		again, since, err := decodeArtefact(tx.row)
		if diff := cmp.Diff(p, again, cmp.AllowUnexported(pec.Address{}), cmp.Comparer(time.Time.Equal), cmpopts.EquateEmpty()); diff != "" || err != nil || !since.Equal(at) {
			t.Errorf("a second pass: %v, %v (-first +second):\n%s", since, err, diff)
		}
	})
}

// capture is a transaction that keeps what is appended.
type capture struct {
	store.Tx
	row []byte
}

func (c *capture) Append(_ string, value []byte) (uint64, error) {
	c.row = value
	return 1, nil
}

func TestKeyRows(t *testing.T) {
	seen := map[string]Key{}
	for _, k := range []Key{
		{Identifier: "i", Effect: "e"}, {Signer: "i", Identifier: "", Effect: "e"}, {Identifier: "i", Effect: "e", Recipient: "r"},
		{Identifier: "ie", Effect: ""}, {Identifier: "i", Effect: "er"}, {Identifier: "i", Digest: [32]byte{'e'}, Effect: "e"},
		{Signer: "s", Identifier: "i", Effect: "e"},
	} {
		if other, found := seen[string(k.row())]; found {
			t.Errorf("%+v and %+v have the same row", k, other)
		}
		seen[string(k.row())] = k
	}
}
