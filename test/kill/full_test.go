package kill

import (
	"bytes"
	"encoding/json"
	"syscall"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/internal/admin"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// The sender's mailbox is full: the message goes its way, its receipts wait and can be listed, and nothing bounces.
// When there is room they arrive within a minute, each once.
func TestSenderIsFull(t *testing.T) {
	conformance.Covers(t, "C009", "C165")
	from, to := env.Login("ALFA_FULL_USER"), env.Users("BETA")[0].Address
	ref, raw := letter(t, from.Address, to)
	if err := env.Submit("ALFA", from, client.Mail{From: from.Address, To: []string{to}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]pec.Kind{to: {pec.KindTransport}, service("ALFA"): {pec.KindTakeCharge}}
	settle(t, ref, want)
	waiting := undelivered(t)
	if len(waiting) != 2 || !waiting[pec.KindAcceptance] || !waiting[pec.KindDelivery] {
		t.Errorf("what waits for the sender: %v, want an acceptance and a delivery receipt", waiting)
	}

	empty(t, from)
	set(t, "clock", "1m")
	t.Cleanup(func() { unset("clock") })
	restart(t, "alfa-lda", func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }) // it looks at what is due when it starts
	want[from.Address] = []pec.Kind{pec.KindAcceptance, pec.KindDelivery}
	settle(t, ref, want)
	until(t, "nothing waits any more", func() bool { return len(undelivered(t)) == 0 })
}

// undelivered are the kinds of what waits at alfa, as its agent says.
func undelivered(t *testing.T) map[pec.Kind]bool {
	t.Helper()
	kinds := map[pec.Kind]bool{}
	err := admin.NewClient(world.Alfa.AdminSocket).Undelivered(t.Context(), func(line json.RawMessage) error {
		var row struct{ Kind pec.Kind }
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		kinds[row.Kind] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// empty deletes all that lies in a mailbox of alfa.
func empty(t *testing.T, user client.Login) { emptyAt(t, "ALFA", user) }

// clearOut takes all messages out of the mailboxes that want names: every later look at the lab would read them again.
func clearOut(t *testing.T, want map[string][]pec.Kind) {
	t.Helper()
	for _, box := range env.Mailboxes() {
		if _, named := want[box.Login.Address]; named {
			emptyAt(t, box.Host, box.Login)
		}
	}
}

func emptyAt(t *testing.T, host string, user client.Login) {
	t.Helper()
	c, err := env.IMAP(host, user)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if box.NumMessages == 0 {
		return
	}
	every := imap.SeqSet{}
	every.AddRange(1, 0)
	if err := c.Store(every, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
}
