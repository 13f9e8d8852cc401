package lda

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/ceralacca/ceralacca/internal/conformance"
	"github.com/ceralacca/ceralacca/internal/effect"
	"github.com/ceralacca/ceralacca/internal/ledger"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/brief"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

const (
	aFile = "Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj"
	// ofTheFile is its SHA-1.
	ofTheFile = "a9993e364706816aba3e25717850c26c9cd0d89d"
)

// briefly is a message with a file that asks for brief receipts.
func briefly(file string) *message {
	return &message{
		from: anna, to: []string{mario}, cc: []string{luigi}, receipt: pec.ReceiptBrief,
		header: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
		body:   "preamble\r\n--b\r\n\r\nperché " + strings.Repeat("lungo ", 300) + "\r\n--b\r\n" + file + "\r\n--b--\r\n",
	}
}

func hashFile(sum string) string {
	return "Content-Type: text/plain;\r\n name=\"x.pdf.hash\"\r\nContent-Transfer-Encoding: 7bit\r\nContent-Disposition: attachment;\r\n" +
		" filename=\"x.pdf.hash\"\r\n\r\n" + sum
}

// receipts are the delivery receipts that went out, by recipient.
func (w *world) receipts() map[string]receiptOf {
	w.t.Helper()
	out := map[string]receiptOf{}
	for _, s := range w.out.take() {
		r := receiptOf{text: s.text}
		r.parts = must(pec.ReadParts(must(signer.Open(pec.Bytes(s.text)))(w.t).Content))(w.t)
		r.data = must(pec.ParseCertData(r.parts.CertData))(w.t)
		if r.data.Kind != pec.KindDelivery {
			continue
		}
		if earlier, twice := out[r.data.Delivery.String()]; twice && !bytes.Equal(earlier.text, r.text) {
			w.t.Errorf("two different receipts for %s", r.data.Delivery)
		}
		out[r.data.Delivery.String()] = r
	}
	return out
}

type receiptOf struct {
	text  []byte
	parts *pec.Parts
	data  *pec.CertData
}

// wants holds a receipt to its kind, its title and its original, "" being none.
func (r receiptOf) wants(t *testing.T, what string, kind pec.ReceiptKind, title, original string) {
	t.Helper()
	if r.data == nil {
		t.Errorf("%s: there is no receipt", what)
		return
	}
	if r.data.Receipt != kind {
		t.Errorf("%s: the data state the kind %q, want %q", what, r.data.Receipt, kind)
	}
	if text := string(bytesOf(t, r.parts.Text)); !strings.Contains(text, "\r\n\r\n"+title+"\r\n") {
		t.Errorf("%s: the text is not a %q:\n%s", what, title, text)
	}
	got := ""
	if r.parts.Original != nil {
		got = string(bytesOf(t, r.parts.Original))
	}
	if got != original {
		t.Errorf("%s: the original is\n%q, want\n%q", what, got, original)
	}
}

func originalOf(t *testing.T, envelope []byte) string {
	t.Helper()
	return string(bytesOf(t, must(pec.ReadParts(must(signer.Open(pec.Bytes(envelope)))(t).Content))(t).Original))
}

// The titles of the three receipts.
const (
	titleComplete = "Ricevuta di avvenuta consegna"
	titleBrief    = "Ricevuta breve di avvenuta consegna"
	titleConcise  = "Ricevuta sintetica di avvenuta consegna"
)

func TestBriefReceipts(t *testing.T) {
	conformance.Covers(t, "C168", "C170", "C171", "C172", "C177")
	w := newWorld(t)
	text, r, envelope := w.incoming(briefly(aFile), mario, luigi)
	same(t, "answers", w.present(text, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
	got := w.receipts()
	want := strings.Replace(originalOf(t, envelope), aFile, hashFile(ofTheFile), 1)
	got[mario].wants(t, "a primary recipient", pec.ReceiptBrief, titleBrief, want)
	got[luigi].wants(t, "a copy recipient", pec.ReceiptBrief, titleConcise, "")
	for _, l := range w.records(r.Identifier) {
		if l.Event == ledger.EventDeliveryReceipt && l.Detail != "" {
			t.Errorf("the log says %q of a brief receipt", l.Detail)
		}
	}
}

// TestBriefReceiptOfOpaqueMail: what cannot be looked into is in the brief receipt whole.
func TestBriefReceiptOfOpaqueMail(t *testing.T) {
	conformance.Covers(t, "C170", "C176")
	w := newWorld(t)
	m := briefly("")
	m.header, m.body = "Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n", "YWJj\r\n"
	text, _, envelope := w.incoming(m, mario)
	same(t, "answers", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.receipts()[mario].wants(t, "opaque S/MIME", pec.ReceiptBrief, titleBrief, originalOf(t, envelope))
}

// TestUncertainBriefReceiptIsComplete: nothing is lost, and both logs say why.
func TestUncertainBriefReceiptIsComplete(t *testing.T) {
	conformance.Covers(t, "C170", "C171")
	w := newWorld(t)
	text, r, envelope := w.incoming(briefly(strings.Replace(aFile, "YWJj", "no base64!", 1)), mario, luigi)
	same(t, "answers", w.present(text, anna, mario, luigi), []string{"250 2.0.0", "250 2.0.0"})
	got := w.receipts()
	got[mario].wants(t, "a primary recipient", pec.ReceiptComplete, titleComplete, originalOf(t, envelope))
	got[luigi].wants(t, "a copy recipient", pec.ReceiptBrief, titleConcise, "")
	if log := w.log.String(); strings.Count(log, "a brief receipt was asked for, and the complete one is sent") != 1 || !strings.Contains(log, "base64") {
		t.Error("the log does not say why, once")
	}
	for _, l := range w.records(r.Identifier) {
		if l.Event == ledger.EventDeliveryReceipt && strings.Contains(l.Detail, "base64") != (l.Covered[0].String() == mario) {
			t.Errorf("the legal log says %q of the receipt for %v", l.Detail, l.Covered)
		}
	}
}

// TestBriefReceiptAfterADeath: the agent dies at each step of a receipt, and the configuration changes before it is
// there again. What was prepared comes out with the hash of before, byte for byte; what was not has that of now.
func TestBriefReceiptAfterADeath(t *testing.T) {
	conformance.Covers(t, "C165", "C170", "C173")
	w := newWorld(t)
	long := sha256.Sum256([]byte("YWJj"))
	before, after := w.config.Receipts, w.config.Receipts
	after.BriefHash, after.BriefAlgorithm = brief.OverEncoded, brief.SHA256
	prepared := false
	for _, step := range around([]string{effect.StepClaim, effect.StepPrepared, effect.StepHandOver, effect.StepDone}) {
		if step == "after "+effect.StepPrepared {
			prepared = true
		}
		w.config.Receipts = before
		w.restart()
		text, _, envelope := w.incoming(briefly(aFile), mario)
		dead := w.killAt(step, effectOutcome)
		same(t, step, w.present(text, anna, mario), []string{"451 4.3.0"})
		if !dead.Load() {
			t.Fatalf("%s: nobody died", step)
		}
		w.config.Receipts = after
		w.restart()
		for range 2 {
			same(t, step, w.present(text, anna, mario), []string{"250 2.0.0"})
		}
		sum := hex.EncodeToString(long[:])
		if prepared {
			sum = ofTheFile
		}
		w.receipts()[mario].wants(t, step, pec.ReceiptBrief, titleBrief, strings.Replace(originalOf(t, envelope), aFile, hashFile(sum), 1))
	}
}

// TestReceiptPreparedBeforeThereWereBriefOnes: the version before this one prepared a complete receipt, with nothing
// about hashes in its row; it comes out as it was prepared.
func TestReceiptPreparedBeforeThereWereBriefOnes(t *testing.T) {
	conformance.Covers(t, "C170")
	w := newWorld(t)
	text, r, envelope := w.incoming(briefly(aFile), mario)
	signed := must(signer.Open(pec.Bytes(envelope)))(t)
	data := *must(pec.ParseCertData(must(pec.ReadParts(signed.Content))(t).CertData))(t)
	at, recipient := w.clock.Now().Truncate(time.Second), addr(t, mario)
	data.Kind, data.Time, data.Provider, data.Receipt, data.Delivery = pec.KindDelivery, at, w.alfa.provider.Name, pec.ReceiptComplete, &recipient
	complete := must(compose.NotificationMessage(w.alfa.provider, compose.Notification{
		Data: data, To: data.Sender, Original: []pec.Source{pec.Bytes([]byte(originalOf(t, envelope)))},
	}))(t)
	sealed := must(must(signer.NewDraft(complete))(t).SealTo(t.Context(), nil, w.alfa.key, at))(t)
	key := effect.Key{Signer: w.beta.provider.Name, Identifier: string(r.Identifier), Digest: signed.Digest, Effect: effectOutcome, Recipient: mario}
	claim := must(effect.New(w.store, w.clock, nil).Claim(t.Context(), []effect.Key{key}))(t)
	if err := claim.Prepare(t.Context(), effect.Prepared{
		Keys: []effect.Key{key}, Instant: at, MessageID: compose.MessageID(w.alfa.provider, &data), CMS: sealed.CMS(), Digest: sealed.Digest(),
		Certificate: sha256.Sum256(w.alfa.key.Certificates()[0].Raw), To: data.Sender,
		Data: encode(outcome{Recipient: mario, Delivered: true, At: at}),
	}); err != nil {
		t.Fatal(err)
	}
	claim.Release(t.Context())
	same(t, "answer", w.present(text, anna, mario), []string{"250 2.0.0"})
	w.receipts()[mario].wants(t, "a receipt of before", pec.ReceiptComplete, titleComplete, originalOf(t, envelope))
	if sum := sha1.Sum([]byte("abc")); hex.EncodeToString(sum[:]) != ofTheFile {
		t.Error("the hash of these tests is wrong")
	}
}
