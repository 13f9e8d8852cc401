package main

import (
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/plugins"
	"github.com/ceralacca/ceralacca/plugins/host"
)

func TestJudge(t *testing.T) {
	for answer, want := range map[string]plugins.Verdict{
		"stream: OK":                                        plugins.Clean,
		"stream: Win.Test FOUND":                            plugins.Infected,
		"stream: Heuristics.Encrypted.RAR FOUND":            plugins.Encrypted,
		"stream: Heuristics.Phishing.Email FOUND":           plugins.Infected,
		"stream: Heuristics.Limits.Exceeded FOUND":          plugins.Unscanned,
		"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND": plugins.Unscanned,
		"stream: Can't allocate memory ERROR":               plugins.Unscanned,
		"INSTREAM size limit exceeded. ERROR":               plugins.Unscanned,
		"stream:  FOUND":                                    plugins.Unscanned,
		"stream: OK ":                                       plugins.Unscanned,
		"OK":                                                plugins.Unscanned,
		"":                                                  plugins.Unscanned,
		"UNKNOWN COMMAND":                                   plugins.Unscanned,
		"stream: not found":                                 plugins.Unscanned,
		"stream: Heuristics.Limits.Exceeded.MaxScanTime ERROR": plugins.Unscanned,
	} {
		got, _, err := judge(answer)
		if got != want || (err == nil) == (want == plugins.Unscanned) {
			t.Errorf("judge(%q) = %v, %v; want %v", answer, got, err, want)
		}
	}
	if _, name, _ := judge("stream: a\nb\x01" + strings.Repeat("x", 300) + " FOUND"); len(name) != 256 || strings.ContainsAny(name, "\n\x01") {
		t.Errorf("the name is %q", name)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]release{
		"ClamAV 1.4.6": {engine: "ClamAV 1.4.6"},
		"ClamAV 1.4.6/27000/Sun Nov  1 21:44:36 2026":  {"ClamAV 1.4.6", "27000", time.Date(2026, 11, 1, 21, 44, 36, 0, time.Local)},
		"ClamAV 0.103.8-rc/1/Mon Jan 12 01:02:03 2026": {"ClamAV 0.103.8-rc", "1", time.Date(2026, 1, 12, 1, 2, 3, 0, time.Local)},
	} {
		if got, err := parseVersion(text); err != nil || got.engine != want.engine || got.signatures != want.signatures || !got.made.Equal(want.made) {
			t.Errorf("parseVersion(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "PONG", "ClamAV", "ClamAV 1/2", "ClamAV 1/2/yesterday", "ClamAV 1\n"} {
		if got, err := parseVersion(text); err == nil {
			t.Errorf("parseVersion(%q) = %+v, want an error", text, got)
		}
	}
}

func TestConfig(t *testing.T) {
	c, err := settings{Addresses: []string{"tcp:[::1]:3310"}, MaxSize: json.RawMessage(`"30 MB"`), MaxSignatureAge: "5d", AnswerTimeout: "300ms"}.config()
	if err != nil || c.addresses[0] != (address{"tcp", "[::1]:3310"}) || c.maxSize != 30<<20 || c.oldest != 120*time.Hour || c.answer != 300*time.Millisecond || c.connect != 5*time.Second {
		t.Errorf("config = %+v, %v", c, err)
	}
	for _, wrong := range []settings{{MaxSize: json.RawMessage(`"99999999999 GB"`)}, {MaxSize: json.RawMessage(`0`)}, {ConnectTimeout: "soon"}} {
		if _, err := wrong.config(); err == nil {
			t.Errorf("config of %+v: no error", wrong)
		}
	}
}

// Whatever a thing at the address says that is no clamd, nothing becomes clean by it.
func TestWhatIsNoClamdFindsNothingClean(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"", "stream: OK", "stream: OK\n", "HTTP/1.1 400 Bad Request\r\n\r\n", strings.Repeat("x", 10000), "stream: OK\x00"} {
		path := filepath.Join(shortDir(t), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(says)) // before anything was asked
				_ = conn.Close()
			}
		}()
		chmod(t, path)
		a, err := plugged(t, nil, "unix:"+path)
		if err != nil {
			continue
		}
		if r, err := a.Scan(t.Context(), content(message(head))); !errors.Is(err, host.ErrUnable) {
			t.Errorf("%.20q: Scan = %v, %v; want %v", says, r.Verdict, err, host.ErrUnable)
		}
	}
}
