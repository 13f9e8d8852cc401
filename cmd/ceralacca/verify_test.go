package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/app/apptest"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// receipt writes a delivery receipt and an ordinary message into the world.
func receipt(t *testing.T, w *apptest.World) {
	t.Helper()
	key, err := signer.LoadKey(w.Path("cert.pem"), w.Path("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	parse := func(s string) pec.Address {
		a, err := pec.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	sender, subject := parse("mario@alfa.example"), "Prova"
	a, err := compose.NotificationMessage(pec.Provider{Name: "Alfa PEC", Address: parse(apptest.Address)}, compose.Notification{To: sender, Data: pec.CertData{
		Kind: pec.KindAcceptance, Error: pec.ErrorNone, Sender: sender, ReplyTo: sender.String(), Subject: &subject,
		Recipients: []pec.Recipient{{Address: sender, Type: pec.Certified}}, Provider: "Alfa PEC", Time: time.Now().Truncate(time.Second),
		Identifier: idGood, MessageID: "<1@client>"}})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := signer.NewDraft(a)
	if err != nil {
		t.Fatal(err)
	}
	var body, whole bytes.Buffer
	if _, err := draft.SealTo(t.Context(), &body, key, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, _ = a.Header.WriteTo(&whole) // a buffer does not fail
	whole.WriteString("\r\n" + body.String())
	w.Write(t, "receipt.eml", whole.Bytes())
	w.Write(t, "bare.eml", bytes.ReplaceAll(whole.Bytes(), []byte("\r\n"), []byte("\n")))
	w.Write(t, "tampered.eml", bytes.Replace(whole.Bytes(), []byte("ACCETTAZIONE: "), []byte("CONSEGNA: "), 1))
	w.Write(t, "ordinary.eml", []byte("From: a@b.example\r\nSubject: x\r\n\r\nHello\r\n"))
}

func TestVerify(t *testing.T) {
	w := apptest.New(t)
	receipt(t, w)
	t.Chdir(w.Dir)
	trust := []string{"--ca", "ca.pem", "--crl=crl.pem", "--directory", "igpec.p7m"}
	late := time.Now().AddDate(3, 0, 0).Format(time.RFC3339)
	for _, test := range []struct {
		args      string
		code      int
		out, errs string
	}{
		{"receipt.eml", exitGood, "an acceptance receipt; everything that was checked holds", ""},
		{"bare.eml", exitGood, "bare LF", ""},
		{"receipt.eml bare.eml", exitGood, "bare.eml: ", ""},
		{"tampered.eml", exitWrong, "WRONG headers: Subject is", ""},
		{"ordinary.eml", exitWrong, "an ordinary message", ""},
		{"receipt.eml ordinary.eml", exitWrong, "receipt.eml: ", ""},
		{"none.eml", exitUsage, "none.eml: cannot be read", "not every file could be read"},
		{"tampered.eml none.eml receipt.eml", exitUsage, "receipt.eml: an acceptance", "not every file"},
		{"receipt.eml --at " + late, exitWrong, "WRONG chain", ""},
		{"--at=" + late + " receipt.eml", exitWrong, "dates", ""},
	} {
		words := strings.Fields(test.args)
		for name, args := range map[string][]string{
			"flags last":    append(append([]string{"verify"}, words...), trust...),
			"flags first":   append(append([]string{"verify"}, trust...), words...),
			"flags between": append(append([]string{"verify", "--ca", "ca.pem"}, words...), trust[2:]...),
		} {
			command(t, args...).says(t, test.args+", "+name, test.code, test.out, test.errs)
		}
	}
	command(t, "verify", "receipt.eml").says(t, "nothing asked", exitGood, "chain: not asked", "")
	command(t, "verify", "receipt.eml", "--crl", "crl.pem").says(t, "a list without authority", exitUsage, "", "--ca")
	w.Write(t, "--json", nil)
	command(t, "verify", "receipt.eml", "--", "--json").says(t, "a file called like a flag", exitUsage, "--json: cannot be read", "not every")
	command(t, "verify", "receipt.eml", "--ca").says(t, "a flag without value", exitUsage, "", "--ca")
	command(t, "verify", "receipt.eml", "--ca", "none.pem").says(t, "no authority", exitUsage, "", "none.pem")
	command(t, "verify", "receipt.eml", "--directory", "ca.pem").says(t, "no directory", exitUsage, "", "ca.pem")
}

// JSON Lines are in the order of the arguments, also of those that cannot be read.
func TestVerifyJSON(t *testing.T) {
	w := apptest.New(t)
	receipt(t, w)
	t.Chdir(w.Dir)
	r := command(t, "verify", "--json", "tampered.eml", "none.eml", "receipt.eml", "--ca", "ca.pem", "receipt.eml")
	if !strings.Contains(r.out, `"reference":"<1@client>"`) {
		t.Errorf("the reference is not written as it is: %s", r.out)
	}
	if r.code != exitUsage {
		t.Errorf("exit code %d, stderr %q, want %d", r.code, r.err, exitUsage)
	}
	var got []string
	for line := range strings.Lines(r.out) {
		var report struct {
			File, Kind, Error string
			OK                bool
		}
		if err := json.Unmarshal([]byte(line), &report); err != nil {
			t.Fatal(err)
		}
		word := "wrong"
		switch {
		case report.Error != "":
			word = "unreadable"
		case report.OK:
			word = report.Kind
		}
		got = append(got, report.File+" "+word)
	}
	if want := "tampered.eml wrong,none.eml unreadable,receipt.eml accettazione,receipt.eml accettazione"; strings.Join(got, ",") != want {
		t.Errorf("%s; want %s\n%+v", strings.Join(got, ","), want, r)
	}
}
