package lda

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/mailbox"
	"github.com/ceralacca/ceralacca/pec"
)

// unknowing does not find some mailboxes out.
type unknowing struct {
	Mailboxes
	of []string
}

func (u unknowing) Lookup(ctx context.Context, a pec.Address) (mailbox.Result, error) {
	for _, address := range u.of {
		if a.String() == address {
			return mailbox.Result{}, errors.New("the userdb does not answer")
		}
	}
	return u.Mailboxes.Lookup(ctx, a)
}

// lose makes an agent that runs lose sight of some mailboxes, and of no other.
func (w *world) lose(addresses ...string) {
	w.t.Helper()
	if err := w.agent.Reload(w.config, w.alfa.key, unknowing{w.agent.o.Mailboxes, addresses}); err != nil {
		w.t.Fatal(err)
	}
}

// TestReloadTakesMailboxes: what a reload says of the mailboxes holds for the next message.
func TestReloadTakesMailboxes(t *testing.T) {
	w := newWorld(t)
	w.lose(mario)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario, luigi}})
	same(t, "answers", w.present(text, anna, mario, luigi), []string{"451 4.3.0", "250 2.0.0"})
	w.lose()
	same(t, "answer again", w.present(text, anna, mario), []string{"250 2.0.0"})
}

// TestClockStartsBeforeTheTakeCharge: the 22 hours run from the first presentation, whatever fails first.
func TestClockStartsBeforeTheTakeCharge(t *testing.T) {
	conformance.Covers(t, "C179")
	w := newWorld(t)
	text, _, _ := w.incoming(&message{from: anna, to: []string{mario}})
	w.out.setRefuse(errors.New("out is down"))
	same(t, "answer without out", w.present(text, anna, mario), []string{"451 4.3.0"})
	w.out.setRefuse(nil)
	w.dovecot.Down()
	w.restart()
	w.clock.shift.Store(int64(22*time.Hour + time.Minute))
	same(t, "answer after 22 h", w.present(text, anna, mario), []string{"250 2.0.0"})
	same(t, "out after 22 h", w.outgoing(), []string{
		anna + ": errore-consegna " + mario + " 5.4.7", betaService + ": presa-in-carico " + mario,
	})
}

// TestClockStartsBeforeTheAcceptance: the same when it is the sender's mailbox that cannot be had.
func TestClockStartsBeforeTheAcceptance(t *testing.T) {
	conformance.Covers(t, "C179")
	w := newWorld(t)
	text, r, _ := w.submission(&message{from: mario, to: []string{luigi}})
	recipients := []string{luigi, "accettazione" + internal}
	w.lose(mario)
	same(t, "answers without the sender's mailbox", w.present(text, mario, recipients...), []string{"451 4.3.0", "451 4.3.0"})
	w.lose(luigi)
	w.clock.shift.Store(int64(21 * time.Hour))
	same(t, "answers after 21 h", w.present(text, mario, recipients...), []string{"451 4.3.0", "250 2.0.0"})
	w.clock.shift.Store(int64(22*time.Hour + time.Minute))
	same(t, "answers after 22 h", w.present(text, mario, recipients...), []string{"250 2.0.0", "250 2.0.0"})
	same(t, "mario", w.in(mario), []string{"accettazione", "errore-consegna " + luigi + " 5.4.7"})
	same(t, "fact", []string{w.fact(r.Identifier, luigi)}, []string{"taken not-delivered"})
}
