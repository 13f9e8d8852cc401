package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// halt ends a process of the lab until the function that it returns is called, or the test ends.
func halt(t *testing.T, name string) (resume func()) {
	t.Helper()
	if err := world.Processes().Halt(name); err != nil {
		t.Fatal(err)
	}
	down := true
	resume = func() {
		t.Helper()
		if !down {
			return
		}
		down = false
		if err := world.Resume(context.Background(), name); err != nil { // it serves clean-ups too
			t.Fatal(err)
		}
	}
	t.Cleanup(resume)
	return resume
}

// exchange is what the mailboxes hold after one message of alfa's first user to beta's first user.
func exchange() map[string][]pec.Kind {
	return map[string][]pec.Kind{
		env.Users("ALFA")[0].Address: {pec.KindAcceptance, pec.KindDelivery}, env.Users("BETA")[0].Address: {pec.KindTransport},
		env.Login("ALFA_SERVICE_USER").Address: {pec.KindTakeCharge},
	}
}

// tempfails makes a transaction, which must end with 451 at one of its steps.
func (d *dialogue) tempfails(l *letter) {
	d.t.Helper()
	steps := []string{"MAIL FROM:<" + l.from + ">", "RCPT TO:<" + l.to[0] + ">", "DATA", string(l.raw) + "."}
	for _, step := range steps {
		got := d.say("%s", step)
		if strings.HasPrefix(got, "451") {
			return
		}
		if !strings.HasPrefix(got, "2") && !strings.HasPrefix(got, "3") {
			d.t.Errorf("%.40q: got %s, want 451", step, got)
			return
		}
	}
	d.t.Error("the server took the message")
}

// TestMilterDown: without the milter both points say "try later", nothing is queued, and the retry is certified.
func TestMilterDown(t *testing.T) {
	conformance.Covers(t, "C023", "C025")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, nil)
	e := someone(t, "DELTA").envelope(t, mario.Address)
	open := login(t, "ALFA", mario)
	resume := halt(t, "alfa-milter")
	open.tempfails(l)
	if got := converse(t, "ALFA", "SUBMISSION_PORT").say("STARTTLS"); got != "454 4.3.0" {
		t.Errorf("a new session gets as far as STARTTLS: %s, want 454 4.3.0", got)
	}
	converse(t, "ALFA", "MX_PORT").tempfails(&letter{from: e.from, to: []string{mario.Address}, raw: e.raw})
	settle(t, l.ref, nil)
	settle(t, e.token, nil)
	resume()
	login(t, "ALFA", mario).mustSend(l)
	settle(t, l.ref, exchange())
}

// TestMilterDies: killed in the middle of a message it takes nothing with it and leaves nothing behind.
func TestMilterDies(t *testing.T) {
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	l := write(t, mario.Address, []string{bruno}, nil)
	d := login(t, "ALFA", mario)
	d.want("250", d.say("MAIL FROM:<%s>", l.from))
	d.want("250", d.say("RCPT TO:<%s>", bruno))
	d.want("354", d.say("DATA"))
	d.raw(l.raw)
	if err := world.Processes().Signal("alfa-milter", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := d.say("."); !strings.HasPrefix(got, "451") {
		t.Errorf("the end of the message: got %s, want 451", got)
	}
	if err := world.Ready(t.Context()); err != nil { // its supervisor starts it again
		t.Fatal(err)
	}
	settle(t, l.ref, nil)
	login(t, "ALFA", mario).mustSend(l)
	settle(t, l.ref, exchange())
}

// TestAgentDown: what was accepted waits in Postfix's queue and goes on, each thing once.
func TestAgentDown(t *testing.T) {
	conformance.Covers(t, "C165")
	mario, bruno := env.Users("ALFA")[0], env.Users("BETA")[0].Address
	for _, name := range []string{"alfa-lda", "beta-lda"} {
		t.Run(name, func(t *testing.T) {
			host := strings.ToUpper(strings.TrimSuffix(name, "-lda"))
			log := logFile(t, env[host+"_POSTFIX_LOG"])
			resume := halt(t, name)
			l := write(t, mario.Address, []string{bruno}, nil)
			login(t, "ALFA", mario).mustSend(l)
			eventually(t, log, "status=deferred")
			found := about(t, l.ref)
			if host == "ALFA" && len(found[mario.Address]) > 0 || host == "BETA" && len(found[bruno]) > 0 {
				t.Errorf("something was delivered without an agent: %d mailboxes hold something", len(found))
			}
			resume()
			settle(t, l.ref, exchange())
		})
	}
}

// TestDovecotDown: the provider has taken charge, the delivery waits; one copy and one receipt when the mailboxes are back.
func TestDovecotDown(t *testing.T) {
	conformance.Covers(t, "C115", "C124", "C159", "C165")
	mario, service := env.Users("ALFA")[0], env.Login("ALFA_SERVICE_USER")
	l := write(t, mario.Address, []string{env.Users("BETA")[0].Address}, nil)
	log := logFile(t, env["BETA_POSTFIX_LOG"])
	resume := halt(t, "beta-dovecot")
	login(t, "ALFA", mario).mustSend(l)
	eventually(t, log, "status=deferred")
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		taken, err := env.Holding("ALFA", service, l.ref)
		if err != nil {
			t.Fatal(err)
		}
		if len(taken) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d take-charges came while Dovecot was down, want 1", len(taken))
		}
	}
	list, err := env.Holding("ALFA", mario, l.ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Kind() != pec.KindAcceptance {
			t.Errorf("the sender got a message of kind %s before there was a delivery", m.Kind())
		}
	}
	resume()
	settle(t, l.ref, exchange())
}
