package tracking

import (
	"errors"
	"testing"

	"github.com/ceralacca/ceralacca/internal/store"
)

// What stands in the store may be damaged: it is read, or refused as a row.
func FuzzRows(f *testing.F) {
	f.Add([]byte("\x01" + `{"sender":"a@b.example","recipients":[{"address":"c@d.example","type":"esterno"}],"time":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte("\x01" + `{"to":"a@b.example","since":"2026-01-01T00:00:00Z","next":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte("\x01" + `{"final":{"kind":"delivered","time":"2026-01-01T00:00:00Z"}}`))
	f.Add([]byte("\x01" + `{"sent":"2026-01-01T00:00:00Z","last":true}`))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, submission := decodeSubmission(data)
		d, due := decodeDue("id", data)
		_, _, key := parseTimeKey(data)
		_, watch := decodeWatch([]byte("\x00\x00\x00\x00\x00\x00\x00\x01t"), data)
		var state stateJSON
		for name, err := range map[string]error{"submission": submission, "due": due, "time": key, "watch": watch, "state": store.Decode(data, &state)} {
			if err != nil && !errors.Is(err, store.ErrRow) {
				t.Errorf("%s: %v, want ErrRow", name, err)
			}
		}
		if due == nil && d.To.IsZero() {
			t.Error("a due notification without addressee")
		}
	})
}
