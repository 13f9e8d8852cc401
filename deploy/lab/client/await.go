package client

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ceralacca/ceralacca/pec"
)

// Mailbox is one mailbox of a lab.
type Mailbox struct {
	Host  string // "ALFA", "BETA", "GAMMA"
	Login Login
}

// Mailboxes are all mailboxes of the lab that can be read.
func (e Env) Mailboxes() []Mailbox {
	var out []Mailbox
	for _, host := range []string{"ALFA", "BETA", "GAMMA"} {
		for _, u := range e.Users(host) {
			out = append(out, Mailbox{host, u})
		}
		for _, name := range []string{"_SERVICE_USER", "_FULL_USER"} {
			if e[host+name] != "" {
				out = append(out, Mailbox{host, e.Login(host + name)})
			}
		}
	}
	for f := range strings.FieldsSeq(e["ALFA_SECOND_USERS"] + " " + e["ALFA_ORDINARY_USERS"]) {
		out = append(out, Mailbox{"ALFA", ParseLogin(f)})
	}
	return out
}

// About is what lies in all mailboxes of the lab about the message that its sender's program called ref (with angle
// brackets): by address of the mailbox. A message is about ref when its Message-ID or its reference is ref.
func (e Env) About(ref string) (map[string][]*Message, error) { return e.aboutIn(ref, e.Mailboxes()) }

func (e Env) aboutIn(ref string, boxes []Mailbox) (map[string][]*Message, error) {
	lists, errs := make([][]*Message, len(boxes)), make([]error, len(boxes))
	var reading sync.WaitGroup
	for i, box := range boxes { // each session waits for Dovecot more than it works
		reading.Go(func() { lists[i], errs[i] = e.Fetch(box.Host, box.Login) })
	}
	reading.Wait()
	out := map[string][]*Message{}
	for i, box := range boxes {
		if errs[i] != nil {
			return nil, fmt.Errorf("mailbox %s: %w", box.Login.Address, errs[i])
		}
		for _, m := range lists[i] {
			if isAbout(m, ref) {
				out[box.Login.Address] = append(out[box.Login.Address], m)
			}
		}
	}
	return out, nil
}

func isAbout(m *Message, ref string) bool {
	return m.Header.Get(pec.FieldReference) == ref || m.Header.Get("Message-ID") == ref ||
		m.Kind() == pec.KindAnomaly && bytes.Contains(m.Raw, []byte(ref))
}

// Kinds are the kinds of list, sorted; an ordinary message is "ordinary".
func Kinds(list []*Message) []string {
	var out []string
	for _, m := range list {
		k := string(m.Kind())
		if k == "" {
			k = "ordinary"
		}
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Await waits until the mailboxes hold exactly what want says about ref, address by address, and all queues of the lab
// are empty; then it looks once more, and into those too that want does not name, so that nothing can come after. The
// error says what was there instead.
func (e Env) Await(ctx context.Context, ref string, want map[string][]pec.Kind) (map[string][]*Message, error) {
	goal := map[string][]string{}
	for address, kinds := range want {
		for _, k := range kinds {
			if k == "" {
				k = "ordinary"
			}
			goal[address] = append(goal[address], string(k))
		}
		slices.Sort(goal[address])
	}
	named := slices.DeleteFunc(e.Mailboxes(), func(m Mailbox) bool { return goal[m.Login.Address] == nil })
	for last := false; ; {
		boxes := named // a session for every mailbox of the lab at every look would be most of the work of the tests
		if last {
			boxes = e.Mailboxes()
		}
		found, err := e.arrived(ctx, ref, boxes)
		if err != nil {
			return nil, err
		}
		same := found != nil && maps.EqualFunc(goal, kindsOf(found), slices.Equal)
		if same && last {
			return found, nil
		}
		if last = same; last {
			continue
		}
		select {
		case <-ctx.Done():
			return e.tooLate(ref, goal)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// arrived is what lies in some mailboxes once all queues are empty, nil before: a look into every mailbox costs much more than one at the
// queues.
func (e Env) arrived(ctx context.Context, ref string, boxes []Mailbox) (map[string][]*Message, error) {
	if e.QueuesEmpty(ctx) != nil {
		return nil, nil
	}
	return e.aboutIn(ref, boxes)
}

// tooLate says what there is instead of what was waited for.
func (e Env) tooLate(ref string, goal map[string][]string) (map[string][]*Message, error) {
	found, err := e.About(ref)
	if err != nil {
		return nil, err
	}
	return found, fmt.Errorf("about %s the mailboxes hold %v, want %v; queues: %v", ref, kindsOf(found), goal,
		e.QueuesEmpty(context.Background()))
}

func kindsOf(found map[string][]*Message) map[string][]string {
	got := map[string][]string{}
	for address, list := range found {
		got[address] = Kinds(list)
	}
	return got
}

// QueuesEmpty returns an error that lists what waits in the queues of the lab's Postfix instances.
func (e Env) QueuesEmpty(ctx context.Context) error {
	for _, name := range []string{"ALFA_POSTFIX_CONFIG", "ALFA_OUT_CONFIG", "BETA_POSTFIX_CONFIG", "BETA_OUT_CONFIG", "GAMMA_POSTFIX_CONFIG"} {
		if e[name] == "" {
			continue
		}
		out, err := exec.CommandContext(ctx, "postqueue", "-c", e[name], "-j").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: postqueue: %w: %s", name, err, out)
		}
		if len(strings.TrimSpace(string(out))) > 0 {
			return fmt.Errorf("%s: %s", name, out)
		}
	}
	return nil
}
