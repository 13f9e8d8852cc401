package host

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ceralacca/ceralacca/plugins"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// FuzzDescription: whatever a plug-in says of itself, what is said to fit does.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(`{"name":"a","kind":"antivirus","version":"1","protocols":[1,2],"needs":["content"],"schema":{"type":"object"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := understandDescription(text)
		if err != nil || fits(d) != nil {
			return
		}
		if _, known := Table()[d.Kind]; !known || len(speaks(d)) == 0 || d.Version == "" || !nameForm.MatchString(d.Name) {
			t.Errorf("%+v is said to fit", d)
		}
		CheckConfig(d, map[string]any{"a": int64(1)}) // does not panic
	})
}

// FuzzSchema: a schema that was taken judges any configuration, and one that was not taken takes none.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(`{"type":"object","additionalProperties":false}`), []byte(`{"a":[1,{"b":null}]}`))
	f.Fuzz(func(t *testing.T, schema, config []byte) {
		var values map[string]any
		if json.Unmarshal(config, &values) != nil {
			return
		}
		misfits := CheckConfig(plugins.Description{Schema: schema}, values)
		if checkSchema(schema) != nil && len(misfits) == 0 {
			t.Errorf("the schema %q is wrong and takes %q", schema, config)
		}
		for _, m := range misfits {
			if m.What == "" {
				t.Errorf("a misfit of %q in %q says nothing", config, schema)
			}
		}
	})
}

// sink collects what go-plugin would read.
type sink struct {
	strings.Builder
	done chan struct{}
}

var _ io.WriteCloser = (*sink)(nil)

// Close implements io.Closer.
func (s *sink) Close() error { close(s.done); return nil }

// FuzzHandshake: go-plugin sees one line in the form of a handshake, or nothing, however the bytes come.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("hello\n1|2|unix|/run/x|grpc|MIIB\nmore"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		end := &sink{done: make(chan struct{})}
		out := newStdout(end)
		for part := range slices.Chunk(text, int(piece)+1) {
			if _, err := out.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if out.found {
			<-end.done
		}
		if got := end.String(); got != "" && (strings.Count(got, "\n") != 1 || !handshakeLine.MatchString(got) || !strings.HasPrefix(got, "1|")) {
			t.Errorf("of %q go-plugin sees %q", text, got)
		}
	})
}

// FuzzAnswer: what is taken of an answer keeps every rule of the contract, whatever came.
func FuzzAnswer(f *testing.F) {
	f.Add(int32(1), "", "e 1", "7", int64(100), int64(1e9))
	f.Fuzz(func(t *testing.T, verdict int32, virus, engine, signatures string, read, at int64) {
		const size = 100
		r, err := judge(answered{&contractv2.ScanResponse{Virus: virus, Engine: engine, Signatures: signatures, BytesRead: read, SignaturesTime: at}, verdict}, size)
		switch {
		case err != nil && r != (plugins.Result{}):
			t.Errorf("an error, and %+v", r)
		case err != nil:
		case r.Engine == "" || strings.ContainsAny(r.Engine+r.Virus+r.Signatures, "\r\n\x00"):
			t.Errorf("%+v is taken", r)
		case r.Verdict == plugins.Infected && r.Virus == "", r.Verdict != plugins.Infected && read != size:
			t.Errorf("%+v is taken after %d of %d bytes", r, read, size)
		}
	})
}
