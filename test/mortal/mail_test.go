package mortal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/deploy/lab"
	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/plugins/host"
)

// hosts of the lab: users of alfa submit, beta gets ordinary mail from the network.
var hosts = []string{"alfa", "beta"}

// clients of each host at a time.
const clients = 5

// virus is what the plug-in finds.
const virus = "MORTAL-VIRUS"

// post is a lab whose milters ask a plug-in that is killed, and what its clients heard. Alfa's agent tells two that are
// killed, and is killed itself.
type post struct {
	lab     *lab.Lab
	env     client.Env
	scan    []*reaper // of each host
	told    []*reaper
	program string // ceralacca

	mu     sync.Mutex
	heard  map[string]*letter   // by token
	before map[string]footprint // of the milters, by host
}

// letter is one message that was sent.
type letter struct {
	host, token string
	sum         string // of its bytes
	infected    bool
	code        int // what the client heard
}

func newPost(t *testing.T, dir string) *post {
	t.Helper()
	p := &post{program: filepath.Join(dir, "ceralacca"), heard: map[string]*letter{}, before: map[string]footprint{}}
	sections := map[string]string{}
	add := func(name, kind, more string) *reaper {
		r := newReaper(t, name+"-"+kind, filepath.Join(dir, name+"-"+kind))
		sections[name] += section(t, filepath.Join(dir, "bin", kind), r.socket, more)
		return r
	}
	for _, name := range hosts {
		p.scan = append(p.scan, add(name, "antivirus", ""))
	}
	for _, kind := range tellable {
		p.told = append(p.told, add("alfa", kind, "deadline = \"1m\"\nconcurrency = 2\n")) // fewer than mailboxes
	}
	var err error
	p.lab, err = lab.Start(t.Context(), lab.Options{
		Dir: filepath.Join(dir, "lab"), Bin: p.program, Daemons: true,
		Config: func(name, toml string) string {
			return strings.Replace(toml, `mode = "none"`, `mode = "plugins"`, 1) + sections[name]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.lab.Stop() })
	p.env = client.ParseEnv(p.lab.Env())
	for i, name := range hosts {
		p.scan[i].died = func() (int, error) { return p.died(strings.ToUpper(name), "MILTER_METRICS_PORT", "antivirus") }
	}
	for i, kind := range tellable {
		p.told[i].died = func() (int, error) { return p.diedAtAgent(kind) }
	}
	return p
}

// section is that of a plug-in, which has the name of its program, in the configuration.
func section(t *testing.T, program, socket, more string) string {
	t.Helper()
	sum, err := host.Checksum(program)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("\n[plugins.%s]\npath = %q\nsha256 = %q\nnetwork = true\n%s[plugins.%[1]s.config]\ntell = %[5]q\n",
		filepath.Base(program), program, sum, more, socket)
}

// died asks the metrics at a port of a host.
func (p *post) died(host, port, plugin string) (int, error) {
	page, err := p.env.Metrics(host, port)
	return diedIn(page, plugin), err
}

// send is one client: it sends until ctx ends, and opens a new session after each refusal.
func (p *post) send(ctx context.Context, host string) error {
	for ctx.Err() == nil {
		if err := p.session(ctx, host); err != nil {
			return err
		}
	}
	return nil
}

// session sends in one session until something is refused.
func (p *post) session(ctx context.Context, host string) error {
	users := p.env.Users(host)
	port, who, to := "MX_PORT", p.env.Users("GAMMA")[0], users[mathrand.N(len(users))].Address
	if host == "ALFA" {
		port, who = "SUBMISSION_PORT", users[mathrand.N(len(users))]
	}
	c, err := p.env.Dial(host, port)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if host == "ALFA" {
		if err := c.Auth(sasl.NewPlainClient("", who.Address, who.Password)); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		l, raw := p.write(host, who.Address, to)
		err := client.Transact(c, client.Mail{From: who.Address, To: []string{to}, Data: bytes.NewReader(raw)})
		reply, isReply := errors.AsType[*smtp.SMTPError](err)
		switch {
		case err == nil:
			l.code = 250
		case isReply:
			l.code = reply.Code
		default:
			return fmt.Errorf("%s: %w", host, err)
		}
		p.mu.Lock()
		p.heard[l.token] = l
		p.mu.Unlock()
		if err != nil {
			return nil
		}
		time.Sleep(mathrand.N(500 * time.Millisecond)) // what passes is carried to its end, which costs more than a scan
	}
	return nil
}

// write makes a message; one of eight is infected.
func (p *post) write(host, from, to string) (*letter, []byte) {
	token := rand.Text()
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: prova\r\nDate: %s\r\nMessage-ID: <%s@client.example>\r\n\r\n",
		from, to, time.Now().Format(time.RFC1123Z), token)
	infected := token[0] < 'A'+4
	if infected {
		b.WriteString(virus + "\r\n")
	}
	for range 1 + int(token[1]-'2')*2 { // up to some 5 KB
		b.WriteString("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n")
	}
	return &letter{host: host, token: token, infected: infected, sum: fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))}, b.Bytes()
}

// settle waits until all that was let through has arrived, and asks that it was scanned.
func (p *post) settle(t *testing.T) {
	t.Helper()
	scanned := map[string]map[string]bool{"clean": {}, "infected": {}}
	for _, r := range p.scan {
		for _, line := range r.all() {
			verdict, sum, _ := strings.Cut(line, " ")
			scanned[verdict][sum] = true
		}
	}
	codes, clean := map[string]int{}, 0
	for _, l := range p.heard {
		verdict := "clean"
		if l.infected {
			verdict = "infected"
		}
		codes[fmt.Sprintf("%s %s %d", l.host, verdict, l.code)]++
		final := l.code == 250 && (!l.infected || l.host == "ALFA") || l.code == 550 && l.infected && l.host == "BETA"
		switch {
		case !final && l.code != 451:
			t.Errorf("%s, %s: the client heard %d", l.host, verdict, l.code)
		case final && !scanned[verdict][l.sum]:
			t.Errorf("%s: a message that nobody found %s was answered %d", l.host, verdict, l.code)
		}
		if l.code == 250 && !l.infected {
			clean++
		}
	}
	t.Logf("what clients heard: %v", codes)
	if clean == 0 {
		t.Error("no message was let through")
	}
	p.arrived(t, clean)
}

// arrived: each message that was let through lies in its mailbox, once, and no other does.
func (p *post) arrived(t *testing.T, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for p.env.QueuesEmpty(ctx) != nil && ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
	}
	if err := p.env.QueuesEmpty(t.Context()); err != nil {
		t.Fatalf("something waits still: %v", err)
	}
	got := 0
	for _, host := range []string{"ALFA", "BETA"} {
		for _, user := range p.env.Users(host) {
			list, err := p.env.Fetch(host, user)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				if !slices.Contains(receipts, m.Kind()) {
					got += p.mayLie(t, user.Address, m)
				}
			}
		}
	}
	if got != want {
		t.Errorf("%d messages arrived, %d were let through", got, want)
	}
}

// receipts are what clients get for what they sent.
var receipts = []pec.Kind{pec.KindAcceptance, pec.KindNonAcceptance, pec.KindDelivery}

// mayLie is 1 for a message that was let through and has not been seen before.
func (p *post) mayLie(t *testing.T, mailbox string, m *client.Message) int {
	t.Helper()
	l := p.heard[token(m.Raw)]
	switch {
	case l == nil:
		t.Errorf("%s holds a message that nobody sent", mailbox)
	case l.infected || l.code != 250 || bytes.Contains(m.Raw, []byte(virus)):
		t.Errorf("%s holds a message whose client heard %d, infected: %t", mailbox, l.code, l.infected)
	default:
		l.code = 0 // it must not lie there twice
		return 1
	}
	return 0
}

// token is that of the Message-ID of the client, wherever it stands.
func token(raw []byte) string {
	at := bytes.Index(raw, []byte("@client.example>"))
	if at < 0 {
		return ""
	}
	begin := bytes.LastIndexByte(raw[:at], '<')
	return string(raw[begin+1 : at])
}
