package e2e

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// scripted is what delta's server answers to a recipient whose address says it: "reply-550-5.7.1@…", or without a status
// "reply-550@…". nil is no such address.
func scripted(to string) error {
	local, _, _ := strings.Cut(to, "@")
	rest, ok := strings.CutPrefix(local, "reply-")
	if !ok {
		return nil
	}
	code, status, stated := strings.Cut(rest, "-")
	reply := &smtp.SMTPError{EnhancedCode: smtp.NoEnhancedCode, Message: "mailbox unavailable"}
	reply.Code, _ = strconv.Atoi(code) // the tests write them
	if stated {
		for i, n := range strings.SplitN(status, ".", 3) {
			reply.EnhancedCode[i], _ = strconv.Atoi(n)
		}
	}
	return reply
}

// coded is a recipient at delta, and the notice that his failure must be.
type coded struct {
	to, code, cause string
	class           pec.ErrorCode
}

// wantCoded submits one message to all, and checks the notice for each: text and certification data, code, provider, cause.
func wantCoded(t *testing.T, list ...coded) {
	t.Helper()
	from := env.Users("ALFA")[0]
	var to []string
	kinds := []pec.Kind{pec.KindAcceptance}
	for _, c := range list {
		to, kinds = append(to, c.to), append(kinds, pec.KindNonDelivery)
	}
	l := write(t, from.Address, to, nil)
	submit(t, "ALFA", from, l)
	for _, m := range settle(t, l.ref, map[string][]pec.Kind{from.Address: kinds})[from.Address] {
		if m.Kind() != pec.KindNonDelivery {
			continue
		}
		parts, data := sealed(t, m)
		i := slices.IndexFunc(list, func(c coded) bool { return c.to == data.Delivery.String() })
		if i < 0 {
			t.Errorf("a notice for %s", data.Delivery)
			continue
		}
		want := list[i].code + " - " + env["ALFA_PROVIDER"] + " - " + list[i].cause
		if data.Detail != want || data.Error != list[i].class || !data.ErrorFits() {
			t.Errorf("the notice for %s says %s %q, want %s %q", data.Delivery, data.Error, data.Detail, list[i].class, want)
		}
		if text := plain(t, parts.Text); !strings.Contains(text, want) {
			t.Errorf("the text for %s does not say %q:\n%s", data.Delivery, want, text)
		}
	}
}

func atDelta(reply string) string { return reply + "@" + env["DELTA_DOMAIN"] }

// The causes that the notices give.
const (
	causeAddress   = "indirizzo non valido"
	causeDomain    = "dominio non valido"
	causeDisabled  = "casella disabilitata"
	causeFull      = "casella piena"
	causeTooLarge  = "dimensione del messaggio superiore a quella ammessa"
	causeLoop      = "percorso di consegna circolare"
	causeExpired   = "tempo massimo di consegna superato"
	causeForbidden = "consegna non autorizzata dal sistema di destinazione"
	causeRefused   = "messaggio rifiutato dal sistema di destinazione"
)

// TestCodes: each answer of another provider's server comes back through Postfix's report as the certified notice that the
// table has for it.
func TestCodes(t *testing.T) {
	conformance.Covers(t, "C101", "C180", "C181", "C199", "C200", "C252")
	wantCoded(t,
		coded{atDelta("reply-550-5.1.1"), "5.1.1", causeAddress, pec.ErrorRecipient},
		coded{atDelta("reply-553-5.1.3"), "5.1.1", causeAddress, pec.ErrorRecipient},
		coded{atDelta("reply-551-5.1.6"), "5.1.1", causeAddress, pec.ErrorRecipient},
		coded{atDelta("reply-550-5.1.2"), "5.1.2", causeDomain, pec.ErrorDomain},
		coded{atDelta("reply-556-5.1.10"), "5.1.2", causeDomain, pec.ErrorDomain},
		coded{atDelta("reply-550-5.2.1"), "5.2.1", causeDisabled, pec.ErrorOther},
		coded{atDelta("reply-552-5.2.2"), "5.2.2", causeFull, pec.ErrorOther},
		coded{atDelta("reply-552-5.2.3"), "5.2.3", causeTooLarge, pec.ErrorOther},
		coded{atDelta("reply-554-5.3.4"), "5.2.3", causeTooLarge, pec.ErrorOther},
		coded{atDelta("reply-554-5.4.6"), "5.4.6", causeLoop, pec.ErrorOther},
		coded{atDelta("reply-550-5.7.1"), "5.7.1", causeForbidden, pec.ErrorOther},
		coded{atDelta("reply-554-5.7.1"), "5.7.1", causeForbidden, pec.ErrorOther},
		coded{atDelta("reply-550-5.7.26"), "5.7.1", causeForbidden, pec.ErrorOther},
		coded{atDelta("reply-550"), "5.0.0", causeRefused, pec.ErrorOther},
		coded{atDelta("reply-552"), "5.0.0", causeRefused, pec.ErrorOther},
		coded{atDelta("reply-554-5.5.1"), "5.0.0", causeRefused, pec.ErrorOther}, // not a virus
		coded{atDelta("reply-550-5.4.1"), "5.0.0", causeRefused, pec.ErrorOther}, // not the 24 hours
	)
}

// TestCodesOfPostfix: what Postfix finds out before it speaks with anybody, or from what a server announces.
func TestCodesOfPostfix(t *testing.T) {
	conformance.Covers(t, "C181", "C252")
	restartSink(t, func() { post.limit = 500 })
	wantCoded(t, coded{dora(), "5.2.3", causeTooLarge, pec.ErrorOther})
	maps, err := exec.Command("postconf", "-c", env["ALFA_OUT_CONFIG"], "-h", "transport_maps").Output()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "inline:{ { " + env["DELTA_DOMAIN"] + " = smtp:[nessuno.invalid] } }, "
	postfixSet(t, "ALFA_OUT_CONFIG", "ALFA_OUT_LOG", "transport_maps="+nowhere+strings.TrimSpace(string(maps)))
	wantCoded(t, coded{dora(), "5.1.2", causeDomain, pec.ErrorDomain})
}

// TestCodesOfTime: what stays temporary until the time of the queue is over says so, whatever the reason was.
func TestCodesOfTime(t *testing.T) {
	conformance.Covers(t, "C101", "C102", "C181", "C252")
	postfixSet(t, "ALFA_OUT_CONFIG", "ALFA_OUT_LOG", "maximal_queue_lifetime=1s", "bounce_queue_lifetime=1s")
	wantCoded(t,
		coded{atDelta("reply-450-4.2.1"), "5.4.7", causeExpired, pec.ErrorOther},
		coded{atDelta("reply-452-4.2.2"), "5.4.7", causeExpired, pec.ErrorOther},
		coded{atDelta("reply-451"), "5.4.7", causeExpired, pec.ErrorOther},
	)
	restartSink(t, func() { post.tls = nil }) // certified mail goes nowhere without TLS
	wantCoded(t, coded{dora(), "5.4.7", causeExpired, pec.ErrorOther})
}

// restartSink starts delta's server with another setting; when the test ends it is what it was.
func restartSink(t *testing.T, change func()) {
	t.Helper()
	limit, tls := post.limit, post.tls
	again := func(change func()) {
		post.close()
		change()
		if err := post.open(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { again(func() { post.limit, post.tls = limit, tls }) })
	again(change)
}
