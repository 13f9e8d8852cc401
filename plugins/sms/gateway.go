package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/internal/secret"
)

// gatewaySettings are the request that sends an SMS, as the provider of the gateway describes it.
type gatewaySettings struct {
	URL         string            `json:"url"`
	Method      string            `json:"method"`
	Headers     map[string]string `json:"headers"`
	Body        string            `json:"body"`
	ContentType string            `json:"content_type"`
	User        string            `json:"user"`
	SecretFile  string            `json:"secret_file"`
	CAFile      string            `json:"ca_file"`
	Insecure    bool              `json:"insecure"`
	Timeout     string            `json:"timeout"`
	Refused     []string          `json:"refused"`
	DoneBody    string            `json:"done_body"`
	RefusedBody string            `json:"refused_body"`
	WhenUnknown string            `json:"when_unknown"`
}

// gateway sends by HTTP.
type gateway struct {
	s          gatewaySettings
	secret     string
	escape     func(string) string // of the body
	client     *http.Client
	timeout    time.Duration
	done, nope *regexp.Regexp // of the body of an answer; nil when it does not matter
}

var _ channel = (*gateway)(nil)

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// placeholders are all that there are.
const placeholders = "{to} {to_digits} {text} {id} {secret} {user}"

func newGateway(s gatewaySettings) (*gateway, error) {
	s.Method, s.ContentType = or(s.Method, http.MethodPost), or(s.ContentType, "application/x-www-form-urlencoded")
	if s.Refused == nil {
		s.Refused = []string{"400", "410", "422"}
	}
	g := &gateway{s: s}
	if err := g.checkTemplates(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var err error
	if s.SecretFile != "" {
		content, err := secret.Read(s.SecretFile, 4096)
		if err != nil {
			return nil, fmt.Errorf("gateway: secret_file: %w", err)
		}
		g.secret = strings.TrimRight(string(content), "\r\n")
	}
	if g.escape, err = escaper(s.ContentType); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.timeout, err = duration("gateway: timeout", s.Timeout, 20*time.Second); err != nil {
		return nil, err
	}
	for _, e := range []struct {
		key, text string
		into      **regexp.Regexp
	}{{"done_body", s.DoneBody, &g.done}, {"refused_body", s.RefusedBody, &g.nope}} {
		if e.text == "" {
			continue
		}
		if *e.into, err = regexp.Compile(e.text); err != nil {
			return nil, fmt.Errorf("gateway: %s: %w", e.key, err)
		}
	}
	g.client, err = newClient(s.CAFile, g.once())
	return g, err
}

func (g *gateway) checkTemplates() error {
	all := []string{g.s.URL, g.s.Body}
	for _, h := range g.s.Headers {
		all = append(all, h)
	}
	for _, found := range placeholder.FindAllString(strings.Join(all, " "), -1) {
		if !strings.Contains(placeholders, found) {
			return fmt.Errorf("%s is no placeholder; write of %s", found, placeholders)
		}
	}
	u, err := url.Parse(placeholder.ReplaceAllString(g.s.URL, "x"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("url: %q is none; write https://…", g.s.URL)
	}
	if before, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(g.s.URL, "https://"), "http://"), "/"); strings.Contains(before, "{") {
		return errors.New("url: a placeholder stands in the host; it may stand after it")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && !g.s.Insecure && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("url: number and secret would travel in the clear; write https://, or insecure = true")
	}
	for name := range g.s.Headers {
		if strings.ContainsAny(name, " :\r\n") || name == "" {
			return fmt.Errorf("headers: %q is no name", name)
		}
	}
	for _, code := range g.s.Refused {
		if len(code) != 3 || !digits(code) {
			return fmt.Errorf("refused: %q is no status; write 400", code)
		}
	}
	return nil
}

// newClient makes the client. With fresh every request has a connection of its own: on one that was used before, net/http
// repeats a GET whose answer it did not hear, and nobody could say whether it was sent once.
func newClient(caFile string, fresh bool) (*http.Client, error) {
	t := &http.Transport{DisableKeepAlives: fresh, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("gateway: ca_file: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("gateway: ca_file: %s holds no certificate", caFile)
		}
	}
	// Another address is not the one that the secret is for.
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// escaper is what a value passes on its way into a body.
func escaper(contentType string) (func(string) string, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return nil, fmt.Errorf("content_type: %q is none; write application/json", contentType)
	case kind == "application/x-www-form-urlencoded":
		return url.QueryEscape, nil
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return func(s string) string {
			quoted, _ := json.Marshal(s) // a string always can
			return string(quoted[1 : len(quoted)-1])
		}, nil
	case kind == "text/xml" || kind == "application/xml" || strings.HasSuffix(kind, "+xml"):
		return func(s string) string {
			var b bytes.Buffer
			_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
			return b.String()
		}, nil
	case kind == "text/plain":
		return func(s string) string { return s }, nil
	}
	return nil, fmt.Errorf("content_type: nobody knows how to escape in %q; write one of form, JSON, XML, or text/plain", contentType)
}

func (g *gateway) name() string         { return "gateway" }
func (g *gateway) prepare(parcel) error { return nil }
func (g *gateway) before() legState     { return trying }
func (g *gateway) once() bool           { return g.s.WhenUnknown == "stop" }

// fill puts values in the places of placeholders.
func (g *gateway) fill(template string, p parcel, escape func(string) string) string {
	values := map[string]string{"{to}": p.to, "{to_digits}": strings.TrimPrefix(p.to, "+"), "{text}": p.text, "{id}": p.id,
		"{secret}": g.secret, "{user}": g.s.User}
	return placeholder.ReplaceAllStringFunc(template, func(name string) string { return escape(values[name]) })
}

// inURL escapes for a path and for a query alike.
func inURL(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func inHeader(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func (g *gateway) request(ctx context.Context, p parcel) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, g.s.Method, g.fill(g.s.URL, p, inURL), strings.NewReader(g.fill(g.s.Body, p, g.escape)))
	if err != nil {
		return nil, errors.New("the request cannot be made of the template") // the cause holds number and secret
	}
	if g.s.Body != "" {
		r.Header.Set("Content-Type", g.s.ContentType)
	}
	r.Header.Set("Idempotency-Key", p.id)
	r.Header.Set("User-Agent", "ceralacca-sms/"+version)
	for name, value := range g.s.Headers {
		r.Header.Set(name, g.fill(value, p, inHeader))
	}
	if g.s.User != "" && r.Header.Get("Authorization") == "" {
		r.SetBasicAuth(g.s.User, g.secret)
	}
	r.GetBody = nil // net/http must not repeat by itself what may have arrived
	return r, nil
}

// send implements channel.
func (g *gateway) send(ctx context.Context, p parcel, _ bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	// A connection is there when its certificate was believed: before that nothing of the request has left.
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	r, err := g.request(ctx, p)
	if err != nil {
		return later, err
	}
	resp, err := g.client.Do(r)
	switch {
	case err != nil && connected:
		return perhaps, g.cause(err, p)
	case err != nil:
		return later, g.cause(err, p)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return perhaps, g.cause(err, p)
	}
	return g.judge(resp.StatusCode, body)
}

// cause says why there is no answer, without what must not be in a log: the address of a request may hold the number and the
// secret, and so may what the other side sent in the place of an answer.
func (g *gateway) cause(err error, p parcel) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if c := disbelieved("gateway", err); c != nil {
		err = c
	}
	return hide(err, g.secret, p.to, strings.TrimPrefix(p.to, "+"), p.text)
}

// judge says what an answer means.
func (g *gateway) judge(status int, body []byte) (answer, error) {
	said := fmt.Errorf("the gateway answers %d", status)
	switch {
	case g.nope != nil && g.nope.Match(body):
		return never, fmt.Errorf("%w, and refused_body matches", said)
	case status/100 == 2 && (g.done == nil || g.done.Match(body)):
		return taken, nil
	case status/100 == 2:
		return later, fmt.Errorf("%w, but done_body does not match", said)
	case strings.Contains(strings.Join(g.s.Refused, " "), strconv.Itoa(status)):
		return never, said
	case status == 500 || status == 502 || status == 504:
		return perhaps, said // what stood before it did not hear its answer
	}
	return later, said
}
