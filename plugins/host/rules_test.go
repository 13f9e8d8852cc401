package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Whatever breaks a rule of the contract is no verdict: nothing passes that was not looked at.
func TestJudge(t *testing.T) {
	const size = 100
	good := func() *contractv2.ScanResponse {
		return &contractv2.ScanResponse{Verdict: contractv2.Verdict_VERDICT_CLEAN, Engine: "e 1", BytesRead: size}
	}
	infected := func(r *contractv2.ScanResponse) { r.Verdict, r.Virus = contractv2.Verdict_VERDICT_INFECTED, "Eicar" }
	tests := []struct {
		name   string
		change func(*contractv2.ScanResponse)
		want   plugins.Verdict
		err    error
	}{
		{"clean", func(*contractv2.ScanResponse) {}, plugins.Clean, nil},
		{"infected", infected, plugins.Infected, nil},
		{"infected early", func(r *contractv2.ScanResponse) { infected(r); r.BytesRead = 1 }, plugins.Infected, nil},
		{"encrypted", func(r *contractv2.ScanResponse) { r.Verdict = contractv2.Verdict_VERDICT_ENCRYPTED }, plugins.Encrypted, nil},
		{"nothing", func(r *contractv2.ScanResponse) { r.Reset() }, 0, ErrWrong},
		{"unknown verdict", func(r *contractv2.ScanResponse) { r.Verdict = 17 }, 0, ErrWrong},
		{"negative verdict", func(r *contractv2.ScanResponse) { r.Verdict = -1 }, 0, ErrWrong},
		{"failed", func(r *contractv2.ScanResponse) { r.Verdict = contractv2.Verdict_VERDICT_FAILED }, 0, ErrUnable},
		{"clean too early", func(r *contractv2.ScanResponse) { r.BytesRead = size - 1 }, 0, ErrWrong},
		{"clean beyond the end", func(r *contractv2.ScanResponse) { r.BytesRead = size + 1 }, 0, ErrWrong},
		{"encrypted too early", func(r *contractv2.ScanResponse) {
			r.Verdict, r.BytesRead = contractv2.Verdict_VERDICT_ENCRYPTED, 0
		}, 0, ErrWrong},
		{"clean with a virus", func(r *contractv2.ScanResponse) { r.Virus = "Eicar" }, 0, ErrWrong},
		{"infected by nothing", func(r *contractv2.ScanResponse) { infected(r); r.Virus = "" }, 0, ErrWrong},
		{"infected by a line", func(r *contractv2.ScanResponse) { infected(r); r.Virus = "a\r\nBcc: b" }, 0, ErrWrong},
		{"infected by a book", func(r *contractv2.ScanResponse) { infected(r); r.Virus = strings.Repeat("x", 257) }, 0, ErrWrong},
		{"no engine", func(r *contractv2.ScanResponse) { r.Engine = "" }, 0, ErrWrong},
		{"engine with control characters", func(r *contractv2.ScanResponse) { r.Engine = "e\x1b[2J" }, 0, ErrWrong},
		{"signatures with control characters", func(r *contractv2.ScanResponse) { r.Signatures = "1\n2" }, 0, ErrWrong},
	}
	for _, test := range tests {
		r := good()
		test.change(r)
		got, err := judge(answered{r, int32(r.Verdict)}, size)
		if got.Verdict != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %s, %v; want %s, %v", test.name, got.Verdict, err, test.want, test.err)
		}
	}
}

func TestEffectOf(t *testing.T) {
	for _, test := range []struct {
		answer *contractv2.DepositResponse
		want   plugins.Outcome
		err    error
	}{
		{&contractv2.DepositResponse{Outcome: contractv2.Outcome_OUTCOME_DONE, Reference: "r"}, plugins.Done, nil},
		{&contractv2.DepositResponse{Outcome: contractv2.Outcome_OUTCOME_REFUSED}, plugins.Refused, nil},
		{&contractv2.DepositResponse{Outcome: contractv2.Outcome_OUTCOME_LATER}, plugins.Later, nil},
		{&contractv2.DepositResponse{Outcome: contractv2.Outcome_OUTCOME_DONE}, 0, ErrWrong},
		{&contractv2.DepositResponse{}, 0, ErrWrong},
		{&contractv2.DepositResponse{Outcome: 9, Reference: "r"}, 0, ErrWrong},
	} {
		got, err := effectOf(test.answer)
		if got.Outcome != test.want || !errors.Is(err, test.err) {
			t.Errorf("%v: %d, %v; want %d, %v", test.answer, got.Outcome, err, test.want, test.err)
		}
	}
}

func TestFits(t *testing.T) {
	good := func() plugins.Description {
		return plugins.Description{Name: "a", Kind: plugins.KindAntivirus, Version: "1", Protocols: []int{1, 2, 3},
			Needs: []plugins.Need{plugins.NeedContent}, Capabilities: []plugins.Capability{"unheard-of"}, Schema: json.RawMessage(`{}`)}
	}
	if err := fits(good()); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*plugins.Description){
		"name is":    func(d *plugins.Description) { d.Name = "A b" },
		"kind is":    func(d *plugins.Description) { d.Kind = "oracle" },
		"version is": func(d *plugins.Description) { d.Version = "" },
		"protocols are [3], and of the contract for this kind this host speaks the versions [1 2]": func(d *plugins.Description) { d.Protocols = []int{3} },
		"this host speaks the versions [2]":                           func(d *plugins.Description) { d.Kind, d.Protocols = plugins.KindKey, []int{1} },
		"needs has \"money\"":                                         func(d *plugins.Description) { d.Needs = append(d.Needs, "money") },
		"needs has no content, which every plug-in of kind antivirus": func(d *plugins.Description) { d.Needs = nil },
		"needs has no content, which every plug-in of kind conservation": func(d *plugins.Description) {
			d.Kind, d.Needs = plugins.KindConservation, nil
		},
		"needs has \"content\", which no plug-in of kind notification is given": func(d *plugins.Description) {
			d.Kind = plugins.KindNotification
		},
		"needs has \"headers\", which no plug-in of kind key is given": func(d *plugins.Description) {
			d.Kind, d.Needs = plugins.KindKey, []plugins.Need{plugins.NeedHeaders}
		},
		"schema: there is none":       func(d *plugins.Description) { d.Schema = nil },
		"schema: ":                    func(d *plugins.Description) { d.Schema = json.RawMessage(`{"type": 3}`) },
		"a schema must be whole":      func(d *plugins.Description) { d.Schema = json.RawMessage(`{"$ref": "file:///etc/passwd"}`) },
		"must be whole in itself":     func(d *plugins.Description) { d.Schema = json.RawMessage(`{"$ref": "https://alfa.example/x"}`) },
		"; version is \"\"; protocol": func(d *plugins.Description) { d.Name, d.Version, d.Protocols = "", "", nil },
	} {
		d := good()
		change(&d)
		if err := fits(d); !errors.Is(err, ErrDescription) || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%+v: %v; want one that says %q", d, err, says)
		}
	}
}

// pipeEnd collects what go-plugin would read.
type pipeEnd struct{ got chan string }

func (p pipeEnd) Write(b []byte) (int, error) { p.got <- string(b); return len(b), nil }
func (p pipeEnd) Close() error                { close(p.got); return nil }

// Whatever a plug-in prints, go-plugin sees the handshake and nothing else.
func TestStdoutLetsOnlyTheHandshakeThrough(t *testing.T) {
	const line = "1|2|unix|/run/x/plugin123|grpc|MIIB+/a"
	for _, text := range []string{
		line + "\n", "hello\n\n" + line + "\n", "loading ... " + line + "\nand\nmore\n", line + "\r\n",
		strings.Repeat("x", 1<<20) + "\n" + line + "\n" + line + "\n", "1|2|3\n|||||\n1|x|unix|/p|grpc\n" + line + "\n",
	} {
		end := pipeEnd{make(chan string, 9)}
		s := newStdout(end)
		for len(text) > 0 { // in pieces, as a pipe gives them
			n := min(len(text), 7000)
			if _, err := io.WriteString(s, text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		got := ""
		for part := range end.got {
			got += part
		}
		if got != line+"\n" {
			t.Errorf("got %.80q, want the handshake", got)
		}
	}
}

func TestLinesAreCutNotKept(t *testing.T) {
	var got []int
	l := &lines{each: func(line []byte) { got = append(got, len(line)) }}
	for range 100 {
		_, _ = l.Write([]byte(strings.Repeat("x", 1<<16))) // never fails
	}
	_, _ = l.Write([]byte("\nab\n\n")) // never fails
	if fmt.Sprint(got) != fmt.Sprint([]int{maxLine, 2, 0}) || cap(l.rest) > 2*maxLine {
		t.Errorf("lines of %v bytes, %d kept", got, cap(l.rest))
	}
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1e9, 0)
	var b breaker
	for n := range breakAfter {
		if !b.allow(now) {
			t.Fatalf("open after %d failures", n)
		}
		if opened := b.note(false, now); opened != (n == breakAfter-1) {
			t.Errorf("failure %d: opened %t", n, opened)
		}
	}
	if b.allow(now) || b.allow(now.Add(breakFor-1)) {
		t.Error("open, it lets calls pass")
	}
	now = now.Add(breakFor)
	if first, second := b.allow(now), b.allow(now); !first || second {
		t.Error("after a while it lets one call pass")
	}
	b.note(true, now)
	for range 2 {
		if !b.allow(now) {
			t.Error("after a good call it is open still")
		}
	}
}

func TestBackOff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: firstBackOff, 1: 2 * firstBackOff, 3: 8 * firstBackOff, 9: lastBackOff, 1 << 20: lastBackOff} {
		if got := backOff(failures); got != want {
			t.Errorf("backOff(%d) = %s, want %s", failures, got, want)
		}
	}
}

func TestNumbersThatJSONDoesNotHave(t *testing.T) {
	d := plugins.Description{Schema: json.RawMessage(`{}`)}
	zero := 0.0
	if got := CheckConfig(d, map[string]any{"a": []any{1 / zero}}); len(got) != 1 {
		t.Errorf("infinity: %v; want one misfit", got)
	}
}
