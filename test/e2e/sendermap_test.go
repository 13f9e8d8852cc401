package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/pec"
)

// TestSenderMap gives a login another address of its provider: what it sends so is certified for that address, and the
// receipts go there.
func TestSenderMap(t *testing.T) {
	conformance.Covers(t, "C009", "C023", "C042")
	mario, luigi, bruno := env.Users("ALFA")[0], env.Users("ALFA")[1].Address, env.Users("BETA")[0].Address
	service := env.Login("ALFA_SERVICE_USER").Address
	l := write(t, luigi, []string{bruno}, nil)
	if got := login(t, "ALFA", mario).say("MAIL FROM:<%s>", luigi); got != "553 5.7.1" {
		t.Errorf("another's address without a map: got %s, want 553 5.7.1", got)
	}
	file := filepath.Join(filepath.Dir(env["ALFA_CONFIG"]), "senders")
	// bruno is another provider's: a map cannot make him ours.
	if err := os.WriteFile(file, []byte(mario.Address+" "+luigi+" "+bruno+" # on leave\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	reconfigure(t, "ALFA", "[antivirus]", "[submission]\nsender_map = \""+file+"\"\n\n[antivirus]")
	for _, refused := range []string{bruno, env.Users("ALFA")[2].Address, ""} {
		if got := login(t, "ALFA", mario).say("MAIL FROM:<%s>", refused); got != "553 5.7.1" {
			t.Errorf("MAIL FROM:<%s>: got %s, want 553 5.7.1", refused, got)
		}
	}
	login(t, "ALFA", mario).mustSend(l)
	found := settle(t, l.ref, map[string][]pec.Kind{
		luigi: {pec.KindAcceptance, pec.KindDelivery}, bruno: {pec.KindTransport}, service: {pec.KindTakeCharge},
	})
	if _, data := sealed(t, found[bruno][0]); data.Sender.String() != luigi {
		t.Errorf("the envelope certifies %s as the sender", data.Sender)
	}

	// The envelope is luigi's, the author is mario: a formal fault, told to luigi.
	batch := random(t)
	wrong := &fault{header: changedHead("From: SENDER", "From: "+mario.Address)}
	w := wrong.letter(t, batch, luigi, bruno)
	login(t, "ALFA", mario).mustSend(w)
	found = settle(t, batch, map[string][]pec.Kind{luigi: {pec.KindNonAcceptance}})
	wantNotice(t, found[luigi], w, &fault{
		reason: "mittente del messaggio (" + mario.Address + ") diverso da quello dichiarato al servizio",
	})
}
