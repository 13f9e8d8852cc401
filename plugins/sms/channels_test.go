package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each value is escaped for where it stands, and what the answer means is what the configuration says.
func TestGatewayRequests(t *testing.T) {
	var got string
	status, said := 200, "OK"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		got = fmt.Sprintf("%s %s|%s|%s|%s|%s:%s", r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Key"), body, user, password)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, said)
	}))
	defer server.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s&\"3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := parcel{id: "id-a", to: "+39340", text: "a & \"b\"\u00e8"}
	try := func(s gatewaySettings, want answer) {
		t.Helper()
		g, err := newGateway(s)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := g.send(t.Context(), p, false); a != want || err != nil && strings.Contains(err.Error(), "39340") {
			t.Errorf("send = %d, %v; want %d", a, err, want)
		}
	}
	for _, c := range []struct {
		s    gatewaySettings
		want string
	}{
		{gatewaySettings{URL: server.URL + "/s/{to}?t={text}", Method: "GET", Headers: map[string]string{"X-Key": "{secret}"}, SecretFile: secret},
			`GET /s/%2B39340?t=a%20%26%20%22b%22%C3%A8|id-a|s&"3||:`},
		{gatewaySettings{URL: server.URL, Body: `{"to":"{to_digits}","text":"{text}"}`, ContentType: "application/json", User: "u", SecretFile: secret},
			"POST /|id-a||{\"to\":\"39340\",\"text\":\"a \\u0026 \\\"b\\\"\u00e8\"}|u:s&\"3"},
		{gatewaySettings{URL: server.URL, Body: "to={to}&text={text}&ref={id}"}, `POST /|id-a||to=%2B39340&text=a+%26+%22b%22%C3%A8&ref=id-a|:`},
		{gatewaySettings{URL: server.URL, Body: "<t>{text}</t>", ContentType: "text/xml"}, "POST /|id-a||<t>a &amp; &#34;b&#34;\u00e8</t>|:"},
	} {
		try(c.s, taken)
		if got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	plain := gatewaySettings{URL: server.URL, Body: "{text}"}
	for code, want := range map[int]answer{201: taken, 302: later, 400: never, 401: later, 404: later, 422: never, 429: later, 500: perhaps, 503: later, 504: perhaps} {
		status = code
		try(plain, want)
	}
	status, said = 200, "ERR 7: no such number"
	plain.DoneBody, plain.RefusedBody = "^OK", "^ERR 7"
	try(plain, never)
	said = "ERR 1: no credit"
	try(plain, later)
	server.Close()
	try(plain, later)
}

func TestGatewayConfigurationsThatAreWrong(t *testing.T) {
	for want, s := range map[string]gatewaySettings{
		"travel in the clear":  {URL: "http://gateway.example/{to}"},
		"{number} is no place": {URL: "https://gateway.example/{number}"},
		"stands in the host":   {URL: "https://{user}.gateway.example/"},
		"nobody knows how":     {URL: "https://gateway.example/", ContentType: "application/pdf"},
		"secret_file":          {URL: "https://gateway.example/", SecretFile: "/nowhere"},
	} {
		if _, err := newGateway(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

// The smsd of Debian, which has a modem in its imagination, takes what we hand over, and sends it.
func TestRealSmsdTakesTheFile(t *testing.T) {
	program, err := exec.LookPath("/usr/sbin/smsd")
	if err != nil {
		t.Skip("no smsd: make deps")
	}
	dir := t.TempDir()
	for _, f := range []string{"outgoing", "staging", "checked", "incoming", "failed", "sent", "report"} {
		if err := os.Mkdir(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := strings.ReplaceAll("devices = GSM1\noutgoing = D/outgoing\nchecked = D/checked\nincoming = D/incoming\nfailed = D/failed\nsent = D/sent\n"+
		"report = D/report\nlogfile = D/log\ninfofile = D/running\npidfile = D/pid\nstats = D/\nloglevel = 7\ndelaytime = 1\n"+
		"[GSM1]\ndevice = D/modem\nmodem_disabled = yes\nincoming = no\n", "D/", dir+"/")
	for name, text := range map[string]string{"conf": conf, "modem": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-c"+filepath.Join(dir, "conf"), "-t")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group that it made, and nothing else
		_ = cmd.Wait()
		_ = os.Remove(fmt.Sprintf("/tmp/mm_smsd_%d.sem", cmd.Process.Pid)) // which only an smsd that ends by itself removes
	})
	s, err := newSpool(spoolSettings{filepath.Join(dir, "outgoing"), filepath.Join(dir, "staging")})
	if err != nil {
		t.Fatal(err)
	}
	p := parcel{id: "x-a", to: "+393401234567", text: "Hai un nuovo messaggio: perch\u00e9 \u4f60"}
	if err := s.prepare(p); err != nil {
		t.Fatal(err)
	}
	if a, err := s.send(t.Context(), p, false); a != taken || err != nil {
		t.Fatalf("send = %d, %v", a, err)
	}
	if a, err := s.send(t.Context(), p, true); a != taken || err != nil {
		t.Errorf("again: send = %d, %v", a, err)
	}
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(dir, "sent", "ceralacca-x-a"))
		if err == nil && strings.Contains(string(data), "To: 393401234567") {
			break
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			failed, _ := os.ReadDir(filepath.Join(dir, "failed"))
			t.Fatalf("smsd did not send it; failed: %v\n%s", failed, log)
		}
	}
}
