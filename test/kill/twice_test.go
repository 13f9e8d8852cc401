package kill

import (
	"bytes"
	"io"
	"net"
	"os/exec"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// One genuine message, presented to alfa's agent four times at the same time, while the first presentation is in the
// middle of its delivery: every client hears 250, and there is one of everything.
func TestManyPresentAtOnce(t *testing.T) {
	conformance.Covers(t, "C125", "C159", "C165")
	ref, want, raw, to := captured(t)
	const clients = 4
	ended := make(chan error, clients)
	client := func() { ended <- present(raw, env.Users("ALFA")[0].Address, to) }
	held(t, "alfa before handover delivery", func() { go client() }, func() {
		for range clients - 1 {
			go client()
		}
		until(t, "all presentations are in hand", func() bool {
			return metric(t, world.Alfa, "ceralacca_transactions_in_hand") == clients
		})
	})
	for range clients {
		if err := <-ended; err != nil {
			t.Errorf("a client hears %v", err)
		}
	}
	settle(t, ref, want)
}

// The same with nobody held: they race.
func TestManyPresentInARace(t *testing.T) {
	conformance.Covers(t, "C125", "C159", "C165")
	ref, want, raw, to := captured(t)
	const clients = 8
	ended := make(chan error, clients)
	for range clients {
		go func() { ended <- present(raw, env.Users("ALFA")[0].Address, to) }()
	}
	for range clients {
		if err := <-ended; err != nil {
			t.Errorf("a client hears %v", err)
		}
	}
	settle(t, ref, want)
}

// captured is what Postfix holds of a message within alfa for the agent, which was away, and its recipients. Postfix
// forgets it.
func captured(t *testing.T) (ref string, want map[string][]pec.Kind, raw []byte, to []string) {
	t.Helper()
	if err := world.Processes().Halt("alfa-lda"); err != nil {
		t.Fatal(err)
	}
	ref, want = local(t)
	waiting := deferred(t, "ALFA_POSTFIX_CONFIG", "connect to")
	raw, err := exec.CommandContext(t.Context(), "postcat", "-c", env["ALFA_POSTFIX_CONFIG"], "-qbh", waiting.ID).Output()
	if err != nil {
		t.Fatalf("postcat: %v", err)
	}
	for _, r := range waiting.Recipients {
		to = append(to, r.Address)
	}
	if out, err := exec.CommandContext(t.Context(), "postsuper", "-c", env["ALFA_POSTFIX_CONFIG"], "-d", waiting.ID).CombinedOutput(); err != nil {
		t.Fatalf("postsuper: %v: %s", err, out)
	}
	if err := world.Resume(t.Context(), "alfa-lda"); err != nil {
		t.Fatal(err)
	}
	return ref, want, bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")), to
}

// present makes one LMTP transaction with alfa's agent; the error is that of any recipient.
func present(raw []byte, from string, to []string) error {
	conn, err := net.Dial("unix", world.Alfa.AgentSocket)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer func() { _ = c.Close() }()
	if err := c.Mail(from, nil); err != nil {
		return err
	}
	for _, one := range to {
		if err := c.Rcpt(one, nil); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(raw)); err != nil {
		return err
	}
	_, err = w.CloseWithLMTPResponse()
	return err
}
