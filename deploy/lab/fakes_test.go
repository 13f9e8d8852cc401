package lab_test

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-milter"
	"github.com/emersion/go-smtp"
)

// The stand-ins here take the places of ceralacca's daemons, so that Postfix's part can be tested without them.

// fakeMilter accepts everything and remembers the macros of each MAIL.
type fakeMilter struct {
	milter.NoOpMilter
	macros chan map[string]string
}

func (f *fakeMilter) MailFrom(_ string, m *milter.Modifier) (milter.Response, error) {
	select {
	case f.macros <- m.Macros:
	default: // nobody looks
	}
	return milter.RespContinue, nil
}

// startMilter serves a fake milter at a socket of the lab and returns the macros that it sees.
func startMilter(socket string) (<-chan map[string]string, error) {
	l, err := listen(socket)
	if err != nil {
		return nil, err
	}
	macros := make(chan map[string]string, 100)
	s := &milter.Server{
		NewMilter: func() milter.Milter { return &fakeMilter{macros: macros} },
		Protocol:  milter.OptNoConnect | milter.OptNoHelo,
	}
	go func() { _ = s.Serve(l) }() // ends with the test program
	return macros, nil
}

// delivery is one LMTP transaction that a fake agent took.
type delivery struct {
	from, envelopeID string
	to               []string
	data             []byte
}

// fakeAgent takes everything that comes to one of the agent's sockets.
type fakeAgent struct {
	mu    sync.Mutex
	taken []delivery
}

func startAgent(socket string) (*fakeAgent, error) {
	l, err := listen(socket)
	if err != nil {
		return nil, err
	}
	a := &fakeAgent{}
	s := smtp.NewServer(a)
	s.LMTP, s.EnableDSN, s.Domain, s.MaxLineLength = true, true, "agent", 0
	go func() { _ = s.Serve(l) }() // ends with the test program
	return a, nil
}

// listen makes a socket that Postfix may use: a daemon's group would be Postfix's.
func listen(socket string) (net.Listener, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(socket, 0o666)
}

// NewSession implements smtp.Backend.
func (a *fakeAgent) NewSession(*smtp.Conn) (smtp.Session, error) { return &fakeSession{agent: a}, nil }

// await returns the first transaction for a recipient, and takes it out.
func (a *fakeAgent) await(t *testing.T, to string) delivery {
	t.Helper()
	var found delivery
	eventually(t, patience, "mail for "+to+" at the agent", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		i := slices.IndexFunc(a.taken, func(d delivery) bool { return slices.Contains(d.to, to) })
		if i < 0 {
			return false
		}
		found = a.taken[i]
		a.taken = slices.Delete(a.taken, i, i+1)
		return true
	})
	return found
}

type fakeSession struct {
	agent *fakeAgent
	d     delivery
}

func (s *fakeSession) Reset()        { s.d = delivery{} }
func (s *fakeSession) Logout() error { return nil }
func (s *fakeSession) Mail(from string, o *smtp.MailOptions) error {
	s.d = delivery{from: from, envelopeID: o.EnvelopeID}
	return nil
}
func (s *fakeSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.d.to = append(s.d.to, to)
	return nil
}
func (s *fakeSession) Data(r io.Reader) error {
	return errors.Join(s.LMTPData(r, nil))
}
func (s *fakeSession) LMTPData(r io.Reader, c smtp.StatusCollector) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.d.data = data
	s.agent.mu.Lock()
	s.agent.taken = append(s.agent.taken, s.d)
	s.agent.mu.Unlock()
	for _, to := range s.d.to {
		c.SetStatus(to, nil)
	}
	return nil
}

var _ smtp.LMTPSession = (*fakeSession)(nil)

// code is the reply code and enhanced code of a refusal, "" for success.
func code(err error) string {
	var refused *smtp.SMTPError
	if errors.As(err, &refused) {
		e := refused.EnhancedCode
		return textprotoCode(refused.Code, e)
	}
	var protocol *textproto.Error
	if errors.As(err, &protocol) {
		return protocol.Msg
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
