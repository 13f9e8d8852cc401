package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
	"github.com/ceralacca/ceralacca/pec/compose"
	"github.com/ceralacca/ceralacca/signer"
)

// maker makes messages as the milter of a provider leaves them in the queue.
type maker struct {
	provider pec.Provider
	key      signer.Key
	hmac     transaction.Key // of the host; unused by seal
}

// newMaker takes the provider's name, its address and the PEM files with which it seals.
func newMaker(name, address, cert, key string) (*maker, error) {
	a, err := pec.ParseAddress(address)
	if err != nil {
		return nil, err
	}
	m := &maker{provider: pec.Provider{Name: name, Address: a}}
	m.key, err = signer.LoadKey(cert, key)
	return m, err
}

// original is a message of about size bytes that a user of the lab might send.
func original(from, to pec.Address, size int) (compose.Original, error) {
	var text bytes.Buffer
	if err := mail(from.String(), to.String(), size)(&text, 1); err != nil {
		return compose.Original{}, err
	}
	return readOriginal(pec.Bytes(text.Bytes()))
}

func readOriginal(src pec.Source) (compose.Original, error) {
	header, body, err := pec.ReadHeader(src, 1<<20)
	return compose.Original{Header: header, Body: pec.Section(src, body, src.Size()-body)}, err
}

// seal writes the transport envelope of a message.
func (m *maker) seal(w io.Writer, o compose.Original, c *pec.CertData) error {
	a, err := compose.TransportEnvelope(m.provider, o, c)
	if err != nil {
		return err
	}
	return m.write(w, a, c.Time)
}

// write seals a message and writes it in one pass.
func (m *maker) write(w io.Writer, a *pec.Artefact, at time.Time) error {
	draft, err := signer.NewDraft(a)
	if err != nil {
		return err
	}
	if _, err := a.Header.WriteTo(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	_, err = draft.SealTo(context.Background(), w, m.key, at)
	return err
}

func (m *maker) certData(from, to pec.Address, at time.Time) *pec.CertData {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the process instead
	subject := "bench"
	return &pec.CertData{
		Kind: pec.KindTransport, Error: pec.ErrorNone, Sender: from, ReplyTo: from.String(), Subject: &subject,
		Provider: m.provider.Name, Time: at, Identifier: pec.NewIdentifier(random, m.provider.Address.Domain()),
		MessageID: "<1@bench.example>", Receipt: pec.ReceiptComplete,
		Recipients: []pec.Recipient{{Address: to, Type: pec.Certified}},
	}
}

// submitted is an envelope as the access point left it.
func (m *maker) submitted(o compose.Original, from, to pec.Address) ([]byte, error) {
	at := time.Now().Truncate(time.Second)
	c := m.certData(from, to, at)
	var text bytes.Buffer
	if err := m.seal(&text, o, c); err != nil {
		return nil, err
	}
	return m.queued(text.Bytes(), &transaction.Record{
		Point: transaction.PointSubmission, Verdict: transaction.VerdictEnvelope, Kind: pec.KindTransport,
		ID: newID(), Identifier: c.Identifier, Instant: at, Sender: from, Subject: *c.Subject, HasSubject: true,
		MessageID: c.MessageID, Recipients: []pec.Address{to}, Types: []pec.RecipientType{pec.Certified},
	})
}

// wrapped is an anomaly envelope as the incoming point left it, and the same without the record.
func (m *maker) wrapped(o compose.Original, from, to pec.Address) (queued, plain []byte, err error) {
	at, id := time.Now().Truncate(time.Second), newID()
	a, err := compose.AnomalyEnvelope(m.provider, o, compose.Anomaly{
		Sender: from, Recipients: []pec.Address{to}, Reason: pec.ProblemNoSignature.Italian(), Time: at, ID: id,
	})
	if err != nil {
		return nil, nil, err
	}
	var text bytes.Buffer
	if err := m.write(&text, a, at); err != nil {
		return nil, nil, err
	}
	queued, err = m.queued(text.Bytes(), &transaction.Record{
		Point: transaction.PointIncoming, Verdict: transaction.VerdictAnomaly, ID: id, Instant: at, Sender: from,
		Recipients: []pec.Address{to}, Kind: pec.KindNone,
	})
	return queued, text.Bytes(), err
}

// queued puts a record above a message.
func (m *maker) queued(text []byte, r *transaction.Record) ([]byte, error) {
	header, body, err := pec.ReadHeader(pec.Bytes(text), 1<<20)
	if err != nil {
		return nil, err
	}
	if r.Digest, err = transaction.Digest(header, pec.Bytes(text[body:])); err != nil {
		return nil, err
	}
	fields, err := m.hmac.Seal(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, _ = pec.Header(fields).WriteTo(&b) // a buffer does not fail
	b.Write(text)
	return b.Bytes(), nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return fmt.Sprintf("%x", b)
}

// sealFile is a process that seals one file, as openssl cms -sign does: PROVIDER ADDRESS CERT KEY IN OUT.
func sealFile(args []string) error {
	if len(args) != 6 {
		return errors.New("usage: seal PROVIDER ADDRESS CERT KEY IN OUT")
	}
	m, err := newMaker(args[0], args[1], args[2], args[3])
	if err != nil {
		return err
	}
	in, err := os.Open(args[4])
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	o, err := readOriginal(io.NewSectionReader(in, 0, info.Size()))
	if err != nil {
		return err
	}
	out, err := os.Create(args[5])
	if err != nil {
		return err
	}
	from := m.provider.Address
	return errors.Join(m.seal(out, o, m.certData(from, from, time.Now().Truncate(time.Second))), out.Close())
}
