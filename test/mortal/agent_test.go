package mortal

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/events"
	"github.com/ceralacca/ceralacca/internal/ledger"
)

// tellable are the kinds of the plug-ins that alfa's agent tells of events, which are their names too.
var tellable = []string{"conservation", "notification"}

// agentKills are those of the agent itself, while its plug-ins are killed.
const agentKills = 10

// diedAtAgent asks the metrics of alfa's agent, which may be about to start.
func (p *post) diedAtAgent(plugin string) (int, error) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		n, err := p.died("ALFA", "METRICS_PORT", plugin)
		if err == nil || time.Now().After(end) {
			return n, err
		}
	}
}

// reapAgent kills alfa's agent now and then, while its plug-ins are killed.
func (p *post) reapAgent(ctx context.Context) error {
	const agent = "alfa-lda"
	for n := 1; n <= agentKills; n++ {
		begin := n * len(p.told) * killsAtAgent / (agentKills + 1)
		err := poll(ctx, "kills at the agent", func() bool { return total(p.told, func(r *reaper) int { return r.kills }) >= begin })
		if err != nil {
			return err
		}
		pid := p.lab.Processes().PID(agent)
		if err := p.lab.Processes().Signal(agent, syscall.SIGKILL); err != nil {
			return err
		}
		err = poll(ctx, "the next agent", func() bool { now := p.lab.Processes().PID(agent); return now != 0 && now != pid })
		if err != nil {
			return err
		}
	}
	return nil
}

// poll waits until something is so.
func poll(ctx context.Context, what string, is func() bool) error {
	for end := time.Now().Add(2 * patience); !is(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("waiting for %s", what)
		}
	}
	return nil
}

// happening is an event of a mailbox: what it is called, and the message that it is about, by where it lies.
type happening struct {
	name events.Name
	lies place
}

// place is a message in a mailbox.
type place struct{ mailbox, messageID string }

// allTold: each plug-in of alfa's agent was told of all that the legal log says, and of nothing else; the log knows of all
// that lies in the mailboxes.
func (p *post) allTold(t *testing.T) {
	t.Helper()
	if err := poll(t.Context(), "the last event", func() bool { return len(p.ask(t, "plugin", "events")) == 0 }); err != nil {
		t.Errorf("events wait still: %v\n%s", err, p.ask(t, "plugin", "events"))
	}
	happened, lying := p.happened(t), p.lying(t)
	all, receipts := 0, 0
	for _, user := range p.env.Users("ALFA") {
		for _, h := range happened[user.Address] {
			if all++; h.name != events.Submitted {
				receipts++
			}
		}
		keep, notify := p.told[0].of(user.Address), p.told[1].of(user.Address)
		keys := toldAll(t, user.Address+", conservation", keep, happened[user.Address], lying)
		if again := toldAll(t, user.Address+", notification", notify, happened[user.Address], lying); fmt.Sprint(again) != fmt.Sprint(keys) {
			t.Errorf("%s: the plug-ins were told of different keys", user.Address)
		}
	}
	if receipts != len(lying) {
		t.Errorf("the legal log has %d messages in alfa's mailboxes, where %d lie", receipts, len(lying))
	}
	t.Logf("%d events at alfa's agent, which was killed %d times, each for %d plug-ins", all, agentKills, len(p.told))
}

// toldAll: everything was told, in order; again only as long as the next was not, and in the same way. It returns the keys.
func toldAll(t *testing.T, who string, said []told, happened []happening, lying map[place][]byte) []string {
	t.Helper()
	var keys []string
	seen, last := map[string]bool{}, told{}
	for _, one := range said {
		if one == last {
			continue
		}
		last = one
		left := happened[len(keys):]
		if seen[one.key] || len(left) == 0 || !left[0].is(one, lying) {
			t.Errorf("%s: event %d of %d is told as %v, again: %t, want %v", who, len(keys), len(happened), one, seen[one.key], left[:min(len(left), 1)])
			return keys
		}
		seen[one.key] = true
		keys = append(keys, one.key)
	}
	if len(keys) != len(happened) {
		t.Errorf("%s: %d events of %d were told", who, len(keys), len(happened))
	}
	return keys
}

// is says whether this is what a plug-in was told. What is deposited lies in the mailbox as it is: Postfix and Dovecot add
// fields at the top only. A submitted envelope lies in the mailbox of its recipient.
func (h happening) is(one told, lying map[place][]byte) bool {
	raw, found := lying[h.lies]
	if !found || one.event != string(h.name) {
		return false
	}
	return one.sum == "-" || one.size > 0 && one.size <= len(raw) && fmt.Sprintf("%x", sha256.Sum256(raw[len(raw)-one.size:])) == one.sum
}

// happened is what the legal log says of each mailbox of alfa, in order.
func (p *post) happened(t *testing.T) map[string][]happening {
	t.Helper()
	out := map[string][]happening{}
	for _, line := range p.ask(t, "log", "list") {
		var r ledger.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		sender, envelope := r.Sender.String(), "<"+string(r.Identifier)+">"
		add := func(mailbox string, name events.Name, lies place) {
			out[mailbox] = append(out[mailbox], happening{name, lies})
		}
		switch r.Event {
		case ledger.EventAcceptance:
			add(sender, events.Submitted, place{r.Recipients[0].Address.String(), envelope})
			add(sender, events.Accepted, place{sender, r.Related[0]})
		case ledger.EventNonAcceptanceVirus:
			add(sender, events.NonAcceptance, place{sender, r.Related[0]})
		case ledger.EventDelivery:
			to := r.Covered[0].String()
			add(to, events.Delivered, place{to, envelope})
		case ledger.EventDeliveryReceipt:
			add(sender, events.Delivery, place{sender, r.Related[0]})
		}
	}
	return out
}

// lying are the messages in the mailboxes of alfa's users.
func (p *post) lying(t *testing.T) map[place][]byte {
	t.Helper()
	out := map[place][]byte{}
	for _, user := range p.env.Users("ALFA") {
		list, err := p.env.Fetch("ALFA", user)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			at := place{user.Address, m.Header.Get("Message-ID")}
			if out[at] != nil {
				t.Errorf("%v lies there twice", at)
			}
			out[at] = m.Raw
		}
	}
	return out
}

// ask are the lines of JSON that a command about alfa prints.
func (p *post) ask(t *testing.T, command ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), p.program, append(command, "--json", "--config", p.env["ALFA_CONFIG"])...).Output()
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}
