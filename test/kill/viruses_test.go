package kill

import (
	"bytes"
	bits "encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/deploy/lab/virus"
	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/quarantine"
	"github.com/ceralacca/ceralacca/pec"
)

// onlyBeta is a text that beta's antivirus takes for a virus, and alfa's does not.
const onlyBeta = "XKILL-ONLY-THE-ANTIVIRUS-OF-BETA-FINDS-THIS"

// teachBeta gives beta's clamd the signature.
func teachBeta(t *testing.T) {
	t.Helper()
	path := filepath.Join(env["BETA_CLAMD_DATABASE"], "kill.ndb")
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := os.WriteFile(path, []byte(virus.Signature("Only-Beta", onlyBeta)), 0o644); err != nil {
		t.Fatal(err)
	}
	stream := bits.BigEndian.AppendUint32([]byte("zINSTREAM\x00"), uint32(len(onlyBeta)))
	stream = append(append(stream, onlyBeta...), 0, 0, 0, 0)
	for end := time.Now().Add(90 * time.Second); !strings.Contains(clamd(t, stream), "Only-Beta"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("clamd does not learn the signature")
		}
		clamd(t, []byte("zRELOAD\x00"))
	}
}

// clamd asks beta's clamd.
func clamd(t *testing.T, command []byte) string {
	t.Helper()
	conn, err := net.Dial("unix", env["BETA_CLAMD_SOCKET"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write(command) // the answer says what became of it
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// carrying submits a letter with a text at its end.
func carrying(t *testing.T, text, to string) (ref string) {
	t.Helper()
	from := env.Users("ALFA")[0]
	ref, raw := letter(t, from.Address, to)
	raw = append(raw, text+"\r\n"...)
	if err := env.Submit("ALFA", from, client.Mail{From: from.Address, To: []string{to}, Data: bytes.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	return ref
}

// infected: alfa's own antivirus finds it; the sender is told, once, and it lies in the quarantine, once.
func infected(t *testing.T) (string, map[string][]pec.Kind) {
	conformance.Covers(t, "C027", "C061", "C067")
	ref := carrying(t, virus.Eicar, env.Users("BETA")[0].Address)
	t.Cleanup(func() { quarantined(t, "ALFA", ref) })
	return ref, map[string][]pec.Kind{env.Users("ALFA")[0].Address: {pec.KindNonAcceptance}}
}

// missed: alfa's antivirus lets through what beta's finds: the one provider tells the other, and that one the sender.
func missed(t *testing.T) (string, map[string][]pec.Kind) {
	conformance.Covers(t, "C120", "C121", "C143", "C144", "C153", "C157")
	teachBeta(t)
	ref := carrying(t, onlyBeta, env.Users("BETA")[0].Address)
	t.Cleanup(func() { quarantined(t, "BETA", ref) })
	return ref, map[string][]pec.Kind{
		env.Users("ALFA")[0].Address: {pec.KindAcceptance, pec.KindNonDelivery},
		service("ALFA"):              {pec.KindTakeCharge, pec.KindVirusDetection},
	}
}

// quarantined fails the test unless a host's quarantine has exactly one message that speaks of ref, and it is whole.
func quarantined(t *testing.T, host, ref string) {
	t.Helper()
	from, found := quarantine.In(env[host+"_STATE"]), 0
	entries, err := from.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var text bytes.Buffer
		if err := from.Copy(e, &text); err != nil {
			t.Error(err)
		}
		if strings.Contains(text.String(), strings.Trim(ref, "<>")) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the quarantine of %s has %d messages about %s, want one", host, found, ref)
	}
}
