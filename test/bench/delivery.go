package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

// The variants of P11.
const (
	directName  = "Dovecot"
	passName    = "passed on"
	receiptName = "certified"
)

var deliveryVolume = volume{200, 8}

// delivery compares messages given to the agent with the same messages given to Dovecot: those that it passes on
// without a notification, and those for which it issues a delivery receipt into the sender's mailbox. Acceptance and
// take-charge of the latter are over before: what is measured is the second of two presentations by Postfix.
func delivery(b *bench) ([]row, error) {
	m, err := b.alfaMaker()
	if err != nil {
		return nil, err
	}
	o, err := b.interleave(
		variant{directName, func() (sample, error) { return b.passOn(m, b.lab.Alfa.LMTPSocket) }},
		variant{passName, func() (sample, error) { return b.passOn(m, b.lab.Alfa.AgentSocket) }},
		variant{receiptName, func() (sample, error) { return b.withReceipt(m) }})
	if err != nil {
		return nil, err
	}
	return []row{
		o.compare("10 KB passed on, messages done", rate, passName, directName, atLeast(0.75)),
		o.compare("10 KB with its delivery receipt, messages done", rate, receiptName, directName, atLeast(0.35)),
		o.compare("10 KB passed on, CPU of all servers", cpu, passName, directName, bound{}),
		o.compare("10 KB with its delivery receipt, CPU of all servers", cpu, receiptName, directName, bound{}),
	}, nil
}

// alfaMaker makes what alfa's milter makes: it knows the key that milter and agent share.
func (b *bench) alfaMaker() (*maker, error) {
	alfa := b.lab.Alfa
	m, err := newMaker(alfa.Provider, alfa.PECAddress, alfa.Cert, alfa.Key)
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(b.lab.Runtime(), alfa.Name, "etc", "hmac"))
	if err != nil {
		return nil, err
	}
	m.hmac, err = transaction.NewKey(bytes.TrimSpace(secret))
	return m, err
}

func (b *bench) addresses() (mario, luigi, gino pec.Address, err error) {
	var all [3]pec.Address
	for i, text := range []string{b.lab.Alfa.Users[0].Address, b.lab.Alfa.Users[1].Address, b.lab.Gamma.Users[0].Address} {
		if all[i], err = pec.ParseAddress(text); err != nil {
			return
		}
	}
	return all[0], all[1], all[2], nil
}

// passOn gives wrapped ordinary mail to a socket; Dovecot gets it without the record.
func (b *bench) passOn(m *maker, socket string) (sample, error) {
	_, luigi, gino, err := b.addresses()
	if err != nil {
		return sample{}, err
	}
	o, err := original(gino, luigi, 10_000)
	if err != nil {
		return sample{}, err
	}
	texts := make([][]byte, deliveryVolume.count)
	for i := range texts {
		queued, plain, err := m.wrapped(o, gino, luigi)
		if err != nil {
			return sample{}, err
		}
		texts[i] = queued
		if socket == b.lab.Alfa.LMTPSocket {
			texts[i] = plain
		}
	}
	return b.timed(len(texts), nil, expected{box(luigi.String()): len(texts)}, present(socket, gino, luigi.String(), texts))
}

// withReceipt gives envelopes of mario for luigi to the agent.
func (b *bench) withReceipt(m *maker) (sample, error) {
	mario, luigi, _, err := b.addresses()
	if err != nil {
		return sample{}, err
	}
	o, err := original(mario, luigi, 10_000)
	if err != nil {
		return sample{}, err
	}
	texts := make([][]byte, deliveryVolume.count)
	for i := range texts {
		if texts[i], err = m.submitted(o, mario, luigi); err != nil {
			return sample{}, err
		}
	}
	accepted := pec.AcceptanceMailbox + "@ceralacca.internal"
	before := expected{box(mario.String()): len(texts), box(b.lab.Alfa.ServiceUser.Address): len(texts)}
	if _, err := b.timed(len(texts), nil, before, present(b.lab.Alfa.AgentSocket, mario, accepted, texts)); err != nil {
		return sample{}, err
	}
	after := expected{box(mario.String()): len(texts), box(luigi.String()): len(texts)}
	return b.timed(len(texts), nil, after, present(b.lab.Alfa.AgentSocket, mario, luigi.String(), texts))
}

// present is a load that gives messages to a unix socket by LMTP, several over one connection.
func present(socket string, from pec.Address, to string, texts [][]byte) load {
	return load{
		network: "unix", address: socket, hello: "LHLO", from: from.String(), to: []string{to}, keep: true,
		count: len(texts), sessions: deliveryVolume.sessions,
		text: func(w io.Writer, n int) error {
			if n > len(texts) {
				return errors.New("no such message")
			}
			_, err := w.Write(bytes.ReplaceAll(texts[n-1], []byte("\r\n."), []byte("\r\n..")))
			return err
		},
	}
}
