package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ceralacca/ceralacca/deploy/lab/client"
	"github.com/ceralacca/ceralacca/pec"
)

// story is one run of the demo: who writes to whom, what must arrive where, and what did.
type story struct {
	env   client.Env
	out   io.Writer
	files string // folder where the messages are saved
	ref   string // Message-ID of the original
	want  map[string][]pec.Kind
	found map[string][]*client.Message
}

// tell sends the message, waits for all that must happen, and shows it. It returns false when something does not hold.
func (s *story) tell(ctx context.Context) (bool, error) {
	if err := s.send(); err != nil {
		return false, err
	}
	fmt.Fprintln(s.out, "\nWaiting for every receipt, and for the queues to be empty …")
	var err error
	if s.found, err = s.env.Await(ctx, s.ref, s.want); err != nil {
		return false, err
	}
	saved, err := s.save()
	if err != nil {
		return false, err
	}
	s.timeline(saved)
	return s.check(ctx, saved)
}

// send writes the message of the demo and submits it at alfa.
func (s *story) send() error {
	alfa, beta, gamma := s.env.Users("ALFA"), s.env.Users("BETA"), s.env.Users("GAMMA")
	from := alfa[0].Address
	to := []string{beta[0].Address, alfa[1].Address, gamma[0].Address}
	cc := []string{beta[1].Address}
	s.ref = fmt.Sprintf("<demo.%d@client.example>", time.Now().UnixNano())
	service := s.env.Login("ALFA_SERVICE_USER").Address
	s.want = map[string][]pec.Kind{
		from:    {pec.KindAcceptance, pec.KindDelivery, pec.KindDelivery, pec.KindDelivery},
		to[0]:   {pec.KindTransport},
		to[1]:   {pec.KindTransport},
		to[2]:   {pec.KindTransport},
		cc[0]:   {pec.KindTransport},
		service: {pec.KindTakeCharge, pec.KindTakeCharge},
	}
	fmt.Fprintf(s.out, "\n%s (certified, alfa) writes, with an attachment, to\n", from)
	fmt.Fprintf(s.out, "  To: %s (certified, beta)\n      %s (certified, alfa itself)\n      %s (ordinary)\n  Cc: %s (certified, beta)\n",
		to[0], to[1], to[2], cc[0])
	pdf := attachment{"disdetta.pdf", "application/pdf", []byte("%PDF-1.4\n% a very short document\n%%EOF\n")}
	mail := client.Mail{From: from, To: append(slices.Clone(to), cc...), Data: bytes.NewReader(s.original(from, to, cc, pdf))}
	return s.env.Submit("ALFA", alfa[0], mail)
}

// attachment is the file in a message.
type attachment struct {
	name, kind string
	data       []byte
}

func (s *story) original(from string, to, cc []string, file attachment) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\n", from, strings.Join(to, ",\r\n "))
	if len(cc) > 0 {
		fmt.Fprintf(&b, "Cc: %s\r\n", strings.Join(cc, ", "))
	}
	fmt.Fprintf(&b, "Subject: =?utf-8?Q?Disdetta_del_contratto_=E2=80=94_allegato?=\r\nDate: %s\r\nMessage-ID: %s\r\n",
		time.Now().Format(time.RFC1123Z), s.ref)
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"demo\"\r\n\r\n"+
		"--demo\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"+
		"In allegato la disdetta. Cordiali saluti.\r\n"+
		"--demo\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", file.kind, file.name)
	text := base64.StdEncoding.EncodeToString(file.data)
	b.WriteString(text + "\r\n--demo--\r\n")
	return b.Bytes()
}

// saved is one message written to a file.
type saved struct {
	file, mailbox string
	when          time.Time
	message       *client.Message
}

// save writes every message found into a file of its own and returns them in order of their own instants.
func (s *story) save() ([]saved, error) {
	if err := os.MkdirAll(s.files, 0o755); err != nil {
		return nil, err
	}
	var out []saved
	for box, list := range s.found {
		for _, m := range list {
			out = append(out, saved{mailbox: box, message: m, when: instant(m)})
		}
	}
	slices.SortFunc(out, func(a, b saved) int {
		if c := a.when.Compare(b.when); c != 0 {
			return c
		}
		return strings.Compare(string(a.message.Kind())+a.mailbox, string(b.message.Kind())+b.mailbox)
	})
	for i := range out {
		out[i].file = filepath.Join(s.files, fmt.Sprintf("%02d-%s-%s.eml", i+1, out[i].message.Kind(), out[i].mailbox))
		if err := os.WriteFile(out[i].file, out[i].message.Raw, 0o644); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func instant(m *client.Message) time.Time {
	for _, layout := range []string{time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, m.Header.Get("Date")); err == nil {
			return t
		}
	}
	return time.Time{}
}

// timeline shows what happened, in the order of the instants that the messages themselves state.
func (s *story) timeline(list []saved) {
	fmt.Fprintf(s.out, "\n%-10s %-18s %-28s %s\n", "instant", "kind", "mailbox", "subject")
	for _, m := range list {
		fmt.Fprintf(s.out, "%-10s %-18s %-28s %s\n", m.when.Format("15:04:05"), m.message.Kind(), m.mailbox,
			pec.DecodeText(m.message.Header.Get("Subject")))
	}
	fmt.Fprintln(s.out, "\nThere is no other message about it in any mailbox, and no queue holds one.")
}

// check asks OpenSSL, with CA and CRL, and ceralacca verify about every message.
func (s *story) check(ctx context.Context, list []saved) (bool, error) {
	good := true
	fmt.Fprintln(s.out, "\nWhat OpenSSL (openssl cms -verify, with CA and CRL) and ceralacca verify say:")
	for _, m := range list {
		_, sslErr := client.OpenSSL(ctx, m.message.Raw, s.env["LAB_CA"], s.env["LAB_CRL"])
		said, verifyErr := s.verify(ctx, m.file)
		good = good && sslErr == nil && verifyErr == nil
		fmt.Fprintf(s.out, "\n%s\n  openssl: %s\n", m.file, verdict(sslErr))
		for line := range strings.Lines(said) {
			fmt.Fprint(s.out, "  "+line)
		}
	}
	return good, nil
}

func (s *story) verify(ctx context.Context, file string) (string, error) {
	cmd := exec.CommandContext(ctx, s.env["LAB_BIN"], "verify", "--ca", s.env["LAB_CA"], "--crl", s.env["LAB_CRL"],
		"--directory", s.env["DIRECTORY_P7M"], file)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func verdict(err error) string {
	if err != nil {
		return err.Error()
	}
	return "Verification successful"
}
